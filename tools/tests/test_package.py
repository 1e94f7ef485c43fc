"""The package works where it is installed: as a wheel outside the checkout, and beside a mere folder named `shared`."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.projects import CHECKOUT, PROJECTS, existing_projects


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    built = subprocess.run([*pip, "--wheel-dir", folder, CHECKOUT], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel) -> Path:
    folder = wheel.parent / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder]
    subprocess.run([*pip, wheel], check=True, capture_output=True)
    return folder


def run_outside(installed: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    """Run Python in a folder that is not the checkout, with the wheel's files ahead of the editable install."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_the_wheel_holds_every_source_and_data_file(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    for package in ("shared", *existing_projects()):
        tracked = subprocess.run(["git", "ls-files", package], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        assert set(tracked.stdout.split("\n")) - {""} <= held
    assert "shared/phrases.yaml" in held


def test_the_wheel_leaves_out_what_is_no_package(wheel):
    top = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} <= {"shared", *PROJECTS}


def test_help_answers_outside_the_checkout(installed, tmp_path):
    shown = run_outside(installed, tmp_path, "-m", "transformer_from_scratch.train_simple_lm", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "--preset" in shown.stdout


@pytest.mark.network
def test_the_quickstart_runs_outside_the_checkout(installed, tmp_path):
    arguments = ("-m", "transformer_from_scratch.quickstart", "--smoke", "true", "--output", tmp_path / "out")
    shown = run_outside(installed, tmp_path, *arguments)
    assert shown.returncode == 0, shown.stderr
    assert any((tmp_path / "out").iterdir())


def test_the_wheels_own_files_are_the_ones_that_run(installed, tmp_path):
    shown = run_outside(installed, tmp_path, "-c", "import shared; print(shared.__file__)")
    assert Path(shown.stdout.strip()) == installed / "shared" / "__init__.py"


def test_a_mere_folder_named_shared_never_wins(tmp_path):
    """The checkout's parent may hold a folder `shared`; an editable install by finder hook would lose to it there."""
    (tmp_path / "shared" / "notes").mkdir(parents=True)
    (tmp_path / "main").symlink_to(CHECKOUT)
    code = "import shared.config, shared; print(shared.__file__)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert Path(shown.stdout.strip()) == CHECKOUT / "shared" / "__init__.py"
