"""What can go wrong in a fetch: one line that names the remedy, and nothing kept that is not whole."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from shared.assets import asset_path
from shared.errors import UserError

WHEEL = {"toy/model/weights.bin": b"weights" * 100, "toy/model/names.txt": b"a\nb\n"}
KEEP = {"toy/model/": ""}
OTHER_CHECKSUM = "0123456789ab" + "0" * 52


def fault_of_fetching(cache: Path) -> str:
    """The one line that fetching `toy` ends with; nothing of it may stay in the cache."""
    with pytest.raises(UserError) as caught:
        asset_path("toy")
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert line.startswith("toy: ")
    assert not cache.exists() or os.listdir(cache) == []
    return line


def test_a_wrong_checksum_is_named_and_nothing_kept(shelf, empty_cache):
    right = shelf.wheel(WHEEL, KEEP).sha256
    shelf.wheel(WHEEL, KEEP, sha256=OTHER_CHECKSUM)
    line = fault_of_fetching(empty_cache)
    assert f"checksum of toy==1.0 is {right[:12]}" in line
    assert "not 0123456789ab" in line


def test_a_wrong_checksum_is_found_where_pip_does_not_look_for_it(shelf, empty_cache, fake_interpreter):
    shelf.wheel(WHEEL, KEEP, sha256=OTHER_CHECKSUM)
    # A pip that delivers the file all the same.
    fake_interpreter(
        'while [ "$1" != --dest ]; do shift; done; mkdir "$2"; cp "$PIP_FIND_LINKS"/*.whl "$2"',
    )
    assert "not 0123456789ab" in fault_of_fetching(empty_cache)


def test_the_build_script_of_a_source_archive_with_a_wrong_checksum_never_runs(shelf, empty_cache, tmp_path):
    """Regression: pip ran it for the metadata, and the checksum was looked at afterwards."""
    members = {"toy-1.0/a.txt": b"a"}
    shelf.source(members, {"toy-1.0/a.txt": "a.txt"}, sha256=OTHER_CHECKSUM)
    assert "checksum" in fault_of_fetching(empty_cache)
    assert not (tmp_path / "ran").exists()
    shelf.source(members, {"toy-1.0/a.txt": "a.txt"})
    asset_path("toy")
    assert (tmp_path / "ran").exists()  # else the test above could not fail


def test_too_little_space_is_told_before_the_download(shelf, empty_cache, monkeypatch, fake_interpreter, tmp_path):
    shelf.wheel(WHEEL, KEEP, size_mb=100)
    fake_interpreter(f"touch {tmp_path}/started")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 10**7, 10**7))
    line = fault_of_fetching(empty_cache)
    assert "needs 420 MB free" in line and "there are 10 MB" in line and "LAPTOP_LLM_CACHE" in line
    assert not (tmp_path / "started").exists()


def test_a_disk_that_fills_up_while_unpacking_leaves_nothing(shelf, empty_cache, monkeypatch):
    shelf.wheel(WHEEL, KEEP)
    real = Path.write_bytes

    def fill_up(path: Path, content: bytes) -> int:
        if path.name == "names.txt":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    assert "the disk is full" in fault_of_fetching(empty_cache)
    monkeypatch.undo()


def test_a_disk_that_fills_up_in_pip_is_told_as_such(shelf, empty_cache, fake_interpreter):
    shelf.wheel(WHEEL, KEEP)
    fake_interpreter(
        "echo 'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device'; exit 1"
    )
    assert "the disk is full" in fault_of_fetching(empty_cache)


def test_a_killed_download_is_told_as_such(shelf, empty_cache, fake_interpreter):
    shelf.wheel(WHEEL, KEEP)
    fake_interpreter("kill -KILL $$")
    assert "stopped by signal 9" in fault_of_fetching(empty_cache)


def test_ctrl_c_ends_pip_too_and_leaves_nothing(shelf, empty_cache, tmp_path):
    asset = shelf.wheel(WHEEL, KEEP)
    pid_file, interpreter = tmp_path / "pid", tmp_path / "interpreter"
    interpreter.write_text(f"#!/bin/sh\necho $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 60\n")
    interpreter.chmod(0o755)
    program = (
        "import sys\n"
        "from shared.asset_table import ASSETS, Asset\n"
        "from shared.assets import asset_path\n"
        "from shared.errors import run_program\n"
        f"ASSETS['toy'], sys.executable = {asset!r}, {str(interpreter)!r}\n"
        "run_program(lambda: asset_path('toy'))"
    )
    fetching = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not pid_file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    pip = int(pid_file.read_text())
    fetching.send_signal(signal.SIGINT)
    _, said = fetching.communicate(timeout=30)
    assert (fetching.returncode, said) == (130, "interrupted\n")
    with pytest.raises(ProcessLookupError):
        os.kill(pip, 0)
    assert os.listdir(empty_cache) == []


def test_a_package_that_nobody_offers_is_named(shelf, empty_cache):
    shelf.wheel(WHEEL, KEEP)
    (shelf.folder / "toy-1.0-py3-none-any.whl").unlink()
    line = fault_of_fetching(empty_cache)
    assert "could not download toy==1.0" in line and "pip settings" in line
    assert "requirements.txt" not in line  # a file of ours that is gone by then


def test_an_index_out_of_reach_is_told_with_the_way_around_it(shelf, empty_cache, monkeypatch, free_port):
    shelf.wheel(WHEEL, KEEP)
    (shelf.folder / "toy-1.0-py3-none-any.whl").unlink()
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port}/simple")
    line = fault_of_fetching(empty_cache)
    assert "cannot reach its package index" in line and "PIP_FIND_LINKS" in line


def test_a_python_without_pip_is_told_the_remedy(shelf, empty_cache, monkeypatch, tmp_path):
    shelf.wheel(WHEEL, KEEP)
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    assert "python -m ensurepip" in fault_of_fetching(empty_cache)


@pytest.mark.parametrize("member", ["toy/model/../../../../x", "toy/model//x"])
def test_an_unsafe_path_in_the_archive_is_refused(shelf, empty_cache, member):
    shelf.wheel({**WHEEL, member: b"evil"}, KEEP)
    assert f"unsafe path {member!r}" in fault_of_asset_only(empty_cache)


def test_a_path_out_of_the_archive_that_is_not_wanted_is_not_written(shelf, empty_cache, tmp_path):
    shelf.wheel({**WHEEL, "../x": b"evil"}, KEEP)
    folder = asset_path("toy")
    assert sorted(os.listdir(folder)) == ["manifest.json", "names.txt", "weights.bin"]
    assert not list(tmp_path.rglob("x"))


def test_an_archive_without_the_wanted_member_is_refused(shelf, empty_cache):
    shelf.wheel(WHEEL, {"toy/model/": "", "toy/gone.bin": "gone.bin"})
    assert "holds no toy/gone.bin" in fault_of_asset_only(empty_cache)


def fault_of_asset_only(cache: Path) -> str:
    """As `fault_of_fetching`, for the lines that begin with the archive's name."""
    with pytest.raises(UserError) as caught:
        asset_path("toy")
    assert os.listdir(cache) == []
    return str(caught.value)


def test_a_cache_folder_that_is_a_file_is_one_line(shelf, empty_cache):
    shelf.wheel(WHEEL, KEEP)
    empty_cache.write_text("a file")
    with pytest.raises(UserError, match="^toy: .*exists"):
        asset_path("toy")


def test_as_a_program_a_wrong_checksum_is_one_line_and_exit_code_2(shelf, empty_cache, run_python):
    asset = shelf.wheel(WHEEL, KEEP, sha256=OTHER_CHECKSUM)
    done = run_python(
        "-c",
        "from shared.asset_table import ASSETS, Asset\n"
        "from shared.assets import asset_path\n"
        "from shared.errors import run_program\n"
        f"ASSETS['toy'] = {asset!r}\n"
        "run_program(lambda: asset_path('toy'))",
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: toy: the checksum of toy==1.0 is ")
