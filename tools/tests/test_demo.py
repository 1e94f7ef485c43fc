"""demo.py on a toy tree of projects: one works, one fails, one is killed, and the page is written all the same."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import demo
from shared.errors import UserError
from shared.report import SECTION
from tools.projects import CHECKOUT, PROJECTS

WORKS, FAILS, KILLED = PROJECTS[:3]
QUICKSTART = """
import argparse, os, signal, sys, time
from pathlib import Path
from shared.report import Section
SECONDS = 7  # measured
parser = argparse.ArgumentParser()
parser.add_argument("--output", type=Path)
parser.add_argument("--smoke", default="false")
arguments = parser.parse_args()
arguments.output.mkdir(parents=True)
(arguments.output / "model.bin").write_text("whole")
print("to stdout")
print("working", file=sys.stderr, flush=True)
section = Section({{"en": "Title of {name}", "zh": "标题"}}, "smoke " + arguments.smoke)
section.text(f"go on with --run {{arguments.output}}")
{body}
section.save(arguments.output)
"""


@pytest.fixture
def tree(tmp_path):
    """Write a project with this at the end of its quickstart."""

    def add(name, body=""):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / "quickstart.py").write_text(QUICKSTART.format(name=name, body=body), encoding="utf-8")
        return tmp_path

    return add


def run(root, **settings):
    return demo.run_demo(demo.DemoConfig(output=str(root / "outputs"), **settings), root)


def test_one_failure_hides_no_other(tree):
    tree(FAILS, "raise ValueError('a [/] b')")
    tree(KILLED, "os.kill(os.getpid(), signal.SIGKILL)")
    tree(PROJECTS[3], "sys.exit(3)")
    tree(PROJECTS[4], "print('error: no disk', file=sys.stderr); sys.exit(2)")
    tree(PROJECTS[5], "sys.exit(0)")
    root = tree(WORKS)
    result = run(root)
    page = (root / "outputs" / "report.html").read_text(encoding="utf-8")
    assert result["failed"] == list(PROJECTS[1:])
    assert list(result["projects"]) == list(PROJECTS)
    assert result["projects"][WORKS] > 0 and result["projects"][KILLED] is None
    reasons = (
        "ValueError: a [/] b",
        "killed by SIGKILL",
        "被 SIGKILL 信号终止",
        "no disk",
        f"without writing {SECTION}",
    )
    for words in (f"Title of {WORKS}", *reasons, f"outputs/{FAILS}.log"):
        assert words in page
    assert "working" in (root / "outputs" / f"{KILLED}.log").read_text()
    assert not (root / "outputs" / FAILS).exists()


def test_a_rerun_replaces_a_folder_only_once_the_new_one_is_whole(tree):
    root = tree(WORKS)
    run(root)
    kept = root / "outputs" / WORKS / "model.bin"
    kept.write_text("the old one")
    tree(WORKS, "raise MemoryError")
    assert run(root)["failed"] == [WORKS]
    assert kept.read_text() == "the old one"
    assert f"Title of {WORKS}" not in (root / "outputs" / "report.html").read_text(encoding="utf-8")
    tree(WORKS)
    assert run(root, fresh=True)["failed"] == []
    assert kept.read_text() == "whole"
    assert not (root / "outputs" / f".{WORKS}.draft").exists()


def test_a_section_names_the_folder_in_which_its_run_ends_up(tree):
    root = tree(WORKS)
    run(root, smoke=True)
    section = json.loads((root / "outputs" / WORKS / SECTION).read_text())
    assert section["blocks"][0]["text"]["en"] == f"go on with --run outputs/{WORKS}"
    assert section["summary"]["en"] == "smoke true"


def test_what_a_quickstart_says_is_in_its_log_and_on_the_terminal(tree, capfdbinary):
    root = tree(WORKS, "sys.stderr.write('\\r\\x1b[2Kbar 1\\r\\x1b[2K\\x1b[32mbar 2\\x1b[0m\\n')")
    run(root)
    lines = (root / "outputs" / f"{WORKS}.log").read_text().splitlines()
    assert sorted(lines) == ["bar 2", "to stdout", "working"]
    assert b"bar 1" in capfdbinary.readouterr().err


def test_only_runs_what_was_asked_for(tree):
    tree(WORKS)
    root = tree(FAILS)
    assert list(run(root, only=f"{FAILS}, ")["projects"]) == [FAILS]
    with pytest.raises(UserError, match=f"--only {KILLED}: not in this copy yet: choose from {WORKS}, {FAILS}"):
        run(root, only=KILLED)
    with pytest.raises(ValueError, match="--only nonsense: choose from transformer_from_scratch"):
        demo.DemoConfig(only="nonsense")


def test_a_server_left_behind_by_a_quickstart_ends_with_it(tree):
    body = "import subprocess; p = subprocess.Popen(['sleep', '60']); (arguments.output / 'pid').write_text(str(p.pid))"
    root = tree(WORKS, body)
    started = time.monotonic()
    assert run(root)["failed"] == []
    assert time.monotonic() - started < 30
    assert not running(int((root / "outputs" / WORKS / "pid").read_text()))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_child_and_still_writes_what_is_done(tree, ending):
    tree(WORKS)
    root = tree(FAILS, "Path('pid').write_text(str(os.getpid())); time.sleep(60)")
    started = start_main(root)
    pid = root / "pid"
    while not (pid.exists() and pid.read_text()):
        assert started.poll() is None, started.communicate()
        time.sleep(0.05)
    started.send_signal(ending)
    out, _ = started.communicate(timeout=30)
    result = json.loads(out.splitlines()[-1])
    page = (root / "outputs" / "report.html").read_text(encoding="utf-8")
    assert started.returncode == 130
    assert result["interrupted"] and result["failed"] == [FAILS] and result["projects"][FAILS] is None
    assert f"Title of {WORKS}" in page and "尚未完成即被中断" in page
    assert not running(int(pid.read_text()))


def test_after_an_interrupt_the_same_command_runs_only_what_is_missing(tree):
    tree(WORKS, "open('runs.txt', 'a').write('first ')")
    root = tree(FAILS, "open('runs.txt', 'a').write('second '); os.kill(os.getppid(), signal.SIGINT); time.sleep(60)")
    started = start_main(root)
    started.communicate(timeout=30)
    assert started.returncode == 130
    tree(FAILS, "open('runs.txt', 'a').write('again ')")
    again = start_main(root)
    out, err = again.communicate(timeout=30)
    result = json.loads(out.splitlines()[-1])
    page = (root / "outputs" / "report.html").read_text(encoding="utf-8")
    assert again.returncode == 0 and (root / "runs.txt").read_text() == "first second again "
    assert f"kept: {WORKS}." in err and f"1 of 1: {FAILS}" in err
    assert all(result["projects"].values()) and list(result["projects"]) == [WORKS, FAILS]
    assert page.index(f"Title of {WORKS}") < page.index(f"Title of {FAILS}") and "interrupted before" not in page


def test_a_second_demo_runs_only_what_has_changed(tree):
    tree(WORKS, "open('runs.txt', 'a').write('first ')")
    root = tree(FAILS, "open('runs.txt', 'a').write('second ')")
    for runs, kept in (("first second ", []), ("first second ", [WORKS, FAILS])):
        out, err = start_main(root).communicate(timeout=30)
        assert (root / "runs.txt").read_text() == runs
        assert (f"kept: {', '.join(kept)}." in err) == bool(kept)
        result = json.loads(out.splitlines()[-1])
        assert all(result["projects"].values()) and result["failed"] == []
    tree(FAILS, "open('runs.txt', 'a').write('changed ')")
    start_main(root).communicate(timeout=30)
    assert (root / "runs.txt").read_text() == "first second changed "


def test_after_a_failure_what_changed_or_is_gone_is_run_again(tree):
    counts = "open('runs.txt', 'a').write('{} ')".format
    for name, word in ((WORKS, "kept"), (PROJECTS[3], "gone"), (PROJECTS[4], "changed")):
        tree(name, counts(word))
    root = tree(FAILS, "sys.exit(3)")
    run(root)
    shutil.rmtree(root / "outputs" / PROJECTS[3])
    tree(PROJECTS[4], counts("new"))
    run(root)
    assert sorted((root / "runs.txt").read_text().split()) == ["changed", "gone", "gone", "kept", "new"]
    for settings in ({"fresh": True}, {"smoke": True}):  # the second is another demo, and starts anew too
        (root / "runs.txt").unlink()
        run(root, **settings)
        assert sorted((root / "runs.txt").read_text().split()) == ["gone", "kept", "new"]


def test_the_exit_code_and_the_last_line_tell_the_outcome(tree):
    root = tree(WORKS)
    started = start_main(root)
    out, err = started.communicate(timeout=30)
    assert started.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["report"] == "outputs/report.html"
    assert f"1 of 1: {WORKS}, about 7 s left" in err and (root / "outputs" / "report.html").as_uri() in err
    tree(FAILS, "sys.exit(1)")
    started = start_main(root)
    assert json.loads(started.communicate(timeout=30)[0].splitlines()[-1])["failed"] == [FAILS]
    assert started.returncode == 1


def test_the_seconds_of_a_quickstart_are_read_without_running_it(tmp_path):
    file = tmp_path / "quickstart.py"
    for text, seconds in (("import nonsense\nSECONDS = 42\n", 42), ("SECONDS = f()", 60), ("SECONDS =", 60)):
        file.write_text(text)
        assert demo.expected_seconds(file) == seconds


def test_the_time_left_follows_the_pace_of_this_machine():
    expected = {"a": 60.0, "b": 60.0, "c": 120.0}
    assert demo.time_left([60.0, 60.0, 120.0], expected, {}) == "4 min"
    assert demo.time_left([60.0, 120.0], expected, {"a": 20.0}) == "60 s"


def test_the_last_words_are_the_error_line_else_the_exception():
    assert demo.last_words("error: one\nlater\n") == "one"
    assert demo.last_words("Traceback\n  File x\ntorch.OutOfMemoryError: no\nmore\n") == "torch.OutOfMemoryError: no"
    assert demo.last_words("a\nb\n\n") == "b"
    assert demo.last_words("") == ""


def test_every_quickstart_here_says_how_long_it_takes():
    quickstarts = [file for project in PROJECTS if (file := CHECKOUT / project / "quickstart.py").exists()]
    assert quickstarts
    for file in quickstarts:
        assert f"SECONDS = {demo.expected_seconds(file):.0f}" in file.read_text(encoding="utf-8")


def start_main(root: Path) -> subprocess.Popen:
    code = f"""
import sys
from pathlib import Path
import demo
from shared.errors import run_program
run_program(lambda: demo.main(["--output", {str(root / "outputs")!r}], Path({str(root)!r})))
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "COLUMNS": "300"}
    return subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, env=environment, **pipes)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed process that nobody has collected yet still has a number.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
