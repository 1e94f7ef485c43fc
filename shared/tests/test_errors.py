"""What a user sees when something goes wrong: one line and an exit code."""

import errno
import os

import pytest

from shared.errors import UserError, describe_os_error

START = "from shared.errors import UserError, run_program\n"


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        ("UserError('--lr -1: give a number above 0')", "error: --lr -1: give a number above 0\n"),
        ("UserError('two\\nlines')", "error: two lines\n"),
        ("OSError(28, 'No space', 'a.bin')", "error: the disk is full (a.bin): free some space"),
        ("FileNotFoundError(2, 'No such file or directory', 'a.bin')", "error: No such file or directory (a.bin)\n"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(run_python, raised, line):
    done = run_python("-c", f"{START}def main():\n    raise {raised}\nrun_program(main)")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(line)
    assert done.stdout == ""


def test_ctrl_c_exits_with_130_and_without_a_traceback(run_python):
    done = run_python("-c", f"{START}def main():\n    raise KeyboardInterrupt\nrun_program(main)")
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_fault_of_ours_keeps_its_traceback(run_python):
    done = run_python("-c", f"{START}run_program(lambda: {{}}['key'])")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "KeyError: 'key'" in done.stderr


def test_success_and_a_chosen_exit_code_pass_through(run_python):
    assert run_python("-c", f"{START}run_program(lambda: print('done'))").stdout == "done\n"
    assert run_python("-c", f"import sys\n{START}run_program(lambda: sys.exit(7))").returncode == 7


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full (a.bin): free some space"),
        (errno.EDQUOT, "the disk is full (a.bin): free some space"),
        (errno.EACCES, "not allowed to read or write (a.bin): check its permissions"),
        (errno.EROFS, "not allowed to read or write (a.bin): check its permissions"),
        (errno.EISDIR, "Is a directory (a.bin)"),
    ],
)
def test_an_operating_system_error_names_the_file_and_the_remedy(code, words):
    assert describe_os_error(OSError(code, os.strerror(code), "a.bin")).startswith(words)


def test_an_operating_system_error_without_details_keeps_its_text():
    assert describe_os_error(OSError("cannot bind")) == "cannot bind"


def test_a_user_error_is_no_operating_system_error():
    assert not issubclass(UserError, OSError)  # else `except OSError` would swallow its remedy
