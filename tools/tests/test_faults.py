"""The faults tool finds what it is for: work that a kill leaves half, that a full disk confuses, or that goes wrong."""

import json
import subprocess
import sys

import pytest

from tools.fault_jobs import JOBS
from tools.fault_servers import SERVERS
from tools.projects import CHECKOUT

# A work of two files that belong together, written in three steps.
TOY = """
import random, sys, time
from pathlib import Path
from tools import fault_jobs, faults
from shared.files import write_text

def work(given, folder):
    for part in range({steps}):
        time.sleep(0.01)
        {write}

def look(folder):
    assert all(file.read_text() in ("", "x" * 9) for file in folder.glob("[0-9]*")), "half a file"

def outcome(folder):
    return {{"files": sorted(file.name for file in folder.glob("[0-9]*"))}}

toy = fault_jobs.Job("toy", lambda given: None, work, outcome, look)
with __import__("tempfile").TemporaryDirectory() as folder:
    bench = faults.Bench(toy, Path(folder), random.Random(0))
    cases, wrong = faults.{trial}(bench, {times}, lambda done: None)
print(cases, len(wrong), wrong[:1])
"""
WHOLE = "write_text(folder / str(part), 'x' * 9)"
HALF = "(folder / str(part)).write_text('xxx'); time.sleep(0.05); (folder / str(part)).write_text('x' * 9)"
ONCE = "(folder / str(part)).touch(exist_ok=False)"


def disturbed(trial: str, write: str, times: int = 6, steps: int = 3) -> tuple[int, int, str]:
    program = TOY.format(trial=trial, write=write, times=times, steps=steps)
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    cases, wrong, lines = done.stdout.split(maxsplit=2)
    return int(cases), int(wrong), lines


@pytest.mark.parametrize("trial", ["kill", "clock", "two"])
def test_work_that_goes_on_passes(trial):
    assert disturbed(trial, WHOLE)[:2] == (6, 0)


def test_half_a_file_after_a_kill_is_found():
    cases, wrong, lines = disturbed("kill", HALF, times=15)
    assert cases >= 15 and wrong and "half a file" in lines


def test_work_that_cannot_be_given_again_is_found():
    _, wrong, lines = disturbed("kill", ONCE)
    assert wrong and "does not go on" in lines


def test_every_project_is_disturbed_and_the_results_are_kept():
    file = CHECKOUT / "tools" / "results" / "faults.json"
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert {row["work"] for row in rows} == {*JOBS, *SERVERS}
    assert sum(row["cases"] for row in rows if row["trial"] in ("kill", "serve")) >= 200
    assert sum(row["wrong"] for row in rows) == 0


def test_a_real_work_is_killed():
    command = [sys.executable, "-m", "tools.faults", "--trial", "kill", "--only", "votes", "--kills", "4"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["cases"] == 4
