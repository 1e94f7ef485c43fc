"""`make setup`: what it refuses, what it trusts, and what it asks of pip. No test here uses the network."""

import ast
import sys

import pytest

from tools import setup_venv
from tools.projects import CHECKOUT

PYPROJECT = """
[project]
name = "example"

[project.optional-dependencies]
transformer-from-scratch = ["torch"]
scale = ["ray"]
hub = ["datasets"]
dev = ["pytest"]
all = ["example[scale,hub,dev]"]

[tool.ruff]
"""

# Stands for .venv/bin/python: notes what it was asked, and speaks like pip.
FAKE_PYTHON = """#!/bin/sh
echo "$@" >> "{calls}"
case "$*" in
  *"import sys, pip"*) exit 0 ;;
  *--dry-run*) echo "Processing torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl" ;;
  *"install -e"*) cat "{says}"; exit $(cat "{exit}") ;;
esac
"""


class Checkout:
    """A folder with the two files that setup reads, and an environment with a fake pip."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "constraints.txt").write_text("torch==2.13.0\n")
        self.stamp = folder / ".venv" / "setup-complete.json"
        self.calls, self.says, self.exit = folder / "calls", folder / "says", folder / "exit"

    def with_fake_pip(self):
        self.calls.write_text("")
        self.pip_ends("", 0)
        python = self.folder / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(FAKE_PYTHON.format(calls=self.calls, says=self.says, exit=self.exit))
        python.chmod(0o755)
        return self

    def pip_ends(self, words, code):
        self.says.write_text(words)
        self.exit.write_text(str(code))

    def set_up(self, *arguments):
        return setup_venv.main(list(arguments), checkout=str(self.folder))

    def installs(self):
        return [line for line in self.calls.read_text().splitlines() if "install -e" in line]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def one_error_line(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 15), (3, 10, 13), (3, 14, 0)])
def test_an_unsupported_python_is_refused_in_one_line(checkout, capsys, monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    assert checkout.set_up() == 2
    line = one_error_line(capsys)
    assert f"Python {version[0]}.{version[1]} is not supported" in line and "make setup PYTHON=" in line
    assert not (checkout.folder / ".venv").exists()


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 4), (3, 13, 9)])
def test_a_supported_python_is_accepted(version):
    setup_venv.check_this_python(version)


def test_the_file_can_be_parsed_by_old_pythons():
    source = (CHECKOUT / "tools" / "setup_venv.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source, feature_version=(3, 7))):
        assert not isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.NamedExpr), ast.dump(node)
        assert not (isinstance(node, ast.Raise) and node.cause), "`raise ... from` is younger than Python 2"
        if isinstance(node, ast.FunctionDef):
            assert node.returns is None and not node.args.kwonlyargs and not node.args.posonlyargs


def test_too_little_disk_is_refused_before_anything_is_made(checkout, capsys, monkeypatch):
    monkeypatch.setattr(setup_venv, "free_disk_mb", lambda folder: 500)
    assert checkout.set_up() == 2
    assert "too little free disk: 2.6 GB are needed and 0.5 GB are free" in one_error_line(capsys)
    assert not (checkout.folder / ".venv").exists()


def test_cuda_packages_ask_for_more_disk(monkeypatch):
    monkeypatch.setattr(setup_venv, "free_disk_mb", lambda folder: 5000)
    setup_venv.check_disk("here", {"dev"}, "cpu", already=False)
    with pytest.raises(setup_venv.SetupError, match="too little free disk"):
        setup_venv.check_disk("here", {"dev"}, "cuda", already=False)


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_without_venv_or_pip_is_refused_with_the_remedy(checkout, capsys, monkeypatch, missing):
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name))
    assert checkout.set_up() == 2
    assert f"has no module {missing}" in (line := one_error_line(capsys)) and "apt install python3-venv" in line


def test_size_and_free_disk_are_said_before_the_installation(checkout, capsys):
    assert checkout.with_fake_pip().set_up() == 0
    shown = capsys.readouterr().out
    assert shown.index("to download: about 500 MB") < shown.index("3/3 installing")
    assert "free: " in shown


def test_a_second_run_asks_nothing_of_pip(checkout):
    assert checkout.with_fake_pip().set_up() == 0
    calls = checkout.calls.read_text()
    assert checkout.set_up() == 0
    assert checkout.calls.read_text() == calls


def test_a_changed_pin_installs_again(checkout):
    checkout.with_fake_pip().set_up()
    (checkout.folder / "constraints.txt").write_text("torch==2.14.0\n")
    assert checkout.set_up() == 0
    assert len(checkout.installs()) == 2


def test_a_complete_environment_serves_under_any_python(checkout, monkeypatch):
    checkout.with_fake_pip().set_up()
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    assert checkout.set_up() == 0


def test_a_failed_installation_is_one_line_and_never_trusted(checkout, capsys):
    checkout.with_fake_pip().set_up()
    (checkout.folder / "constraints.txt").write_text("torch==2.14.0\n")
    checkout.pip_ends("ERROR: something broke\n", 1)
    capsys.readouterr()
    assert checkout.set_up() == 2
    assert "something broke" in one_error_line(capsys)
    assert not checkout.stamp.exists()
    checkout.pip_ends("", 0)
    assert checkout.set_up() == 0
    assert checkout.stamp.exists()


@pytest.mark.parametrize(
    "pip_says, told",
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("WARNING: Retrying: Failed to establish a new connection: x\nERROR: No matching distribution", "cannot reach"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no such package for this machine"),
    ],
)
def test_known_faults_name_their_remedy(checkout, capsys, pip_says, told):
    checkout.with_fake_pip().pip_ends(pip_says + "\n", 1)
    assert checkout.set_up() == 2
    assert told in one_error_line(capsys)


def test_heavy_extras_only_on_request_and_then_kept(checkout):
    checkout.with_fake_pip().set_up()
    assert "-e .[dev,hub,transformer-from-scratch]" in checkout.installs()[0]
    checkout.set_up("all")
    checkout.set_up()
    assert len(checkout.installs()) == 2
    assert "-e .[dev,hub,scale,transformer-from-scratch]" in checkout.installs()[1]


def test_an_unknown_extra_is_refused(checkout, capsys):
    assert checkout.with_fake_pip().set_up("scael") == 2
    assert "unknown extra 'scael'" in one_error_line(capsys)


def test_where_packages_come_from_is_left_to_pips_own_settings(checkout):
    checkout.with_fake_pip().set_up()
    (install,) = checkout.installs()
    assert "-c constraints.txt" in install
    assert not any(option in install for option in ("index", "find-links", "trusted-host", "proxy"))


@pytest.mark.parametrize(
    "line, build",
    [
        ("Processing ./wheels/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "cpu"),
        ("  Downloading torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl (526.6 MB)", "cuda"),
        ("  Downloading torch-2.13.0-cp312-none-macosx_14_0_arm64.whl (79.1 MB)", "cpu"),
        ("  Downloading torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl.metadata (30 kB)", None),
        ("Collecting nvidia-cudnn-cu13==9.20.0.48 (from torch)", "cuda"),
        ("Processing ./files/cuda_toolkit-13.0.3.0-py2.py3-none-any.whl (from torch)", "cuda"),
        ("Collecting filelock (from torch)", None),
    ],
)
def test_the_build_of_torch_is_read_from_pips_first_telling_line(line, build):
    assert setup_venv.torch_build_told_by(line) == build
