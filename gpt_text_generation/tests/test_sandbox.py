"""The sandbox's verdicts: what passes, what fails and how, and that nothing stays behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from gpt_text_generation.sandbox import guards as guards_module
from gpt_text_generation.sandbox.guards import guards, guards_to_use
from gpt_text_generation.sandbox.hostile import processes_left
from gpt_text_generation.sandbox.keeper import Limits
from gpt_text_generation.sandbox.runner import run_tests
from shared.errors import UserError

pytestmark = pytest.mark.usefixtures("every_guard")

DOUBLE = "def double(x):\n    return 2 * x\n"


def test_a_right_program_passes_every_test():
    result = run_tests(DOUBLE, "double", "assert double(3) == 6\nassert candidate('ab') == 'abab'")
    assert result.passed and result.outcome == "passed" and result.detail == ""
    assert [(test.text, test.passed) for test in result.tests] == [
        ("assert double(3) == 6", True),
        ("assert candidate('ab') == 'abab'", True),
    ]


def test_a_wrong_program_fails_and_the_other_tests_still_count():
    result = run_tests("def double(x):\n    return x * x\n", "double", "assert double(2) == 4\nassert double(3) == 6")
    assert result.outcome == "failed"
    assert [test.passed for test in result.tests] == [True, False]
    assert result.detail == "assert double(3) == 6: AssertionError"


@pytest.mark.parametrize(
    "program, outcome, detail",
    [
        ("def f(x)\n", "failed", "SyntaxError"),
        ("import no_such_module\n", "failed", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def g(x): return 1\n", "failed", "AttributeError"),
        ("def f(x): return undefined\n", "failed", "NameError: name 'undefined' is not defined"),
        ("raise SystemExit\n", "failed", "SystemExit"),
        ("import os\nos._exit(3)\n", "killed", "ended with exit code 3"),
        ("import os\ndef f(x): os.kill(os.getpid(), 9)\n", "failed", "AssertionError"),
        ("import ctypes\ndef f(x): ctypes.string_at(0)\n", "killed", "ended by SIGSEGV"),
        ("def f(x): return bytearray(10 ** 9)\n", "failed", "MemoryError"),
        ("def f(x): print('spam' * 10 ** 6)\n", "output_limit", "printed more than 256 kB"),
        ("def f(x):\n    while True: pass\n", "timeout", "not done after 1 s"),
        ("import time\ntime.sleep(60)\n", "timeout", "not done after 1 s"),
    ],
)
def test_how_a_program_can_fail(program, outcome, detail):
    result = run_tests(program, "f", "assert f(1) == 1", limits=Limits(seconds=1))
    assert result.outcome == outcome
    assert detail in result.detail
    assert [test.passed for test in result.tests] == [False]


def test_what_it_prints_is_kept():
    program = "import sys\ndef f(x):\n    print('seen' * 3)\n    print('complaint', file=sys.stderr)\n    return x\n"
    result = run_tests(program, "f", "assert f(1) == 1")
    assert result.passed
    assert (result.stdout, result.stderr) == ("seenseenseen\n", "complaint\n")


def test_tests_that_are_none_are_told_apart_from_a_failure():
    assert run_tests(DOUBLE, "double", "x = (").outcome == "broken_tests"
    assert run_tests(DOUBLE, "double", "x = double(2)").detail == "there is no assertion among the tests"
    assert run_tests(DOUBLE, "double", "import os\nos._exit(0)\nassert True").outcome == "broken_tests"
    assert run_tests(DOUBLE, "double", "assert True", prompt="1 / 0").detail == "ZeroDivisionError: division by zero"


def test_the_program_sees_no_test_and_the_tests_see_no_program():
    test = "import sys\nassert 'candidate' not in sys.modules\nassert double(1) == 2"
    assert run_tests(DOUBLE, "double", test).passed


def test_it_has_a_folder_of_its_own_and_an_empty_environment():
    program = (
        "import os\ndef f():\n    open('kept', 'w').write('x')\n"
        "    return [os.getcwd(), os.listdir(), sorted(os.environ), os.getuid() != 0, os.getpid()]\n"
    )
    expected = ["/tmp", ["kept"], ["HOME", "LANG", "PYTHONHASHSEED"], True, 1]
    assert run_tests(program, "f", f"assert f() == {expected}").passed


def test_sets_have_the_same_order_in_every_run():
    program = "def f():\n    return list({'one', 'two', 'three', 'four'})\n"
    orders = {run_tests(program, "f", "raise ValueError(f())\nassert True").detail for _ in range(3)}
    assert len(orders) == 1


def test_ordinary_programs_can_use_the_library():
    program = (
        "import bisect, collections, dataclasses, datetime, decimal, fractions, functools, hashlib, heapq, itertools\n"
        "import json, math, random, re, statistics, string, sqlite3, threading, typing, unicodedata, zoneinfo\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int\n"
        "def f():\n"
        "    seen = []\n"
        "    thread = threading.Thread(target=lambda: seen.append(Point(3).x))\n"
        "    thread.start()\n    thread.join()\n"
        "    day = datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo('UTC'))\n"
        "    return [seen, str(day.date()), str(fractions.Fraction(2, 4))]\n"
    )
    assert run_tests(program, "f", "assert f() == [[3], '2024-07-01', '1/2']").passed


def test_nothing_is_left_when_it_is_over():
    before = set(os.listdir(tempfile.gettempdir()))
    program = "import os, time\ndef f():\n    if os.fork() == 0:\n        time.sleep(60)\n    return 1\n"
    assert run_tests(program, "f", "assert f() == 1").passed
    assert processes_left(0) == []
    assert {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("sandbox-")} <= before


def test_it_dies_with_us():
    """A box must not outlive whoever started it, even if that was killed and could tidy nothing up."""
    code = (
        "from gpt_text_generation.sandbox.runner import run_tests\n"
        "from gpt_text_generation.sandbox.box import GUARDS\n"
        "from gpt_text_generation.sandbox.keeper import Limits\n"
        "limits = Limits(seconds=50, cpu_seconds=50)\n"
        "run_tests('def f():\\n    while True: pass', 'f', 'assert f()', limits=limits, guards=GUARDS)\n"
    )
    ours = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    mark = f"kept-for-{ours.pid}".encode()

    def boxes() -> int:
        return sum(mark in _command(folder) for folder in Path("/proc").glob("[0-9]*"))

    _wait_for(lambda: boxes() == 4, "two keepers and their two boxes")
    ours.send_signal(signal.SIGKILL)
    ours.wait()
    _wait_for(lambda: boxes() == 0, "no box")


def _command(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


def _wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"never came to {what}"
        time.sleep(0.05)


def test_a_missing_guard_is_named_and_refused(monkeypatch):
    found = {**guards(), "network": "unshare: Operation not permitted"}
    monkeypatch.setattr(guards_module, "guards", lambda: found)
    with pytest.raises(
        UserError, match=r"lacks a guard: network \(unshare: Operation not permitted\): .*allow_missing"
    ):
        run_tests(DOUBLE, "double", "assert double(1) == 2")
    assert guards_to_use(allow_missing=True) == [name for name in found if name != "network"]
    assert run_tests(DOUBLE, "double", "assert double(1) == 2", allow_missing_guards=True).passed


def test_with_limits_only_it_still_judges_and_cleans_up():
    """As on a system without namespaces: the folder is one of the system's, and is taken away."""
    program = "import os\ndef f():\n    open('kept', 'w').close()\n    print(os.getcwd())\n    return os.listdir()\n"
    result = run_tests(program, "f", "assert f() == ['kept']", guards=["user", "limits"])
    assert result.passed, result.detail
    assert not os.path.exists(result.stdout.strip())
    slow = run_tests("def f():\n    while True: pass", "f", "assert f()", limits=Limits(seconds=1), guards=["limits"])
    assert slow.outcome == "timeout"
    assert processes_left(0) == []


def test_a_box_that_cannot_be_made_is_one_clear_line(monkeypatch):
    from gpt_text_generation.sandbox import keeper

    monkeypatch.setattr(keeper, "_CODE", Path("/nowhere"))
    with pytest.raises(UserError, match="the sandbox did not start .*No module named 'gpt_text_generation'"):
        run_tests(DOUBLE, "double", "assert double(1) == 2")
