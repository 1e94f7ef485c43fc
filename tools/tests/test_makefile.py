"""`make` explains itself."""

import re
import subprocess

from tools.projects import CHECKOUT

PROMISED = (
    "help setup demo test test-slow test-browser screenshots lint app bench bench-full readme exercise clean".split()
)


def test_help_lists_every_target_with_what_it_does():
    shown = subprocess.run(["make", "--no-print-directory"], cwd=CHECKOUT, capture_output=True, text=True).stdout
    listed = dict(re.findall(r"^ *make ([a-z-]+) +(\S.*)$", shown, re.MULTILINE))
    assert list(listed) == PROMISED
    assert all(listed.values())


def test_every_target_but_the_inner_one_is_listed():
    targets = re.findall(r"^([a-z][a-z-]*):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(targets) - {"ready"} == set(PROMISED)


def test_ci_runs_the_readme_commands():
    lines = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("make ")] == ["make lint", "make test", "make demo"]
