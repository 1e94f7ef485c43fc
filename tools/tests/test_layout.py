"""What the build files say matches the folders that are here, and the arrows between them hold."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools.projects import CHECKOUT, existing_projects, our_files

PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
BIN = Path(sys.executable).parent


def test_there_is_a_project():
    assert "transformer_from_scratch" in existing_projects()


@pytest.mark.parametrize("project", existing_projects())
def test_every_build_file_names_the_project(project):
    tool = PYPROJECT["tool"]
    contracts = {contract["type"]: contract for contract in tool["importlinter"]["contracts"]}
    workflow = (CHECKOUT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    standalone = next(line for line in workflow.splitlines() if line.strip().startswith("project: ["))
    assert project in tool["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert project in tool["pytest"]["ini_options"]["testpaths"]
    assert project in tool["importlinter"]["root_packages"]
    assert project in contracts["forbidden"]["forbidden_modules"]
    assert project in contracts["independence"]["modules"]
    assert project in standalone


def test_imports_follow_the_arrows():
    result = subprocess.run([BIN / "lint-imports"], cwd=CHECKOUT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("folder", ["data", "models"])
def test_source_folders_named_like_outputs_are_not_ignored(folder):
    path = f"bert_sentiment_analysis/{folder}/module.py"
    ignored = subprocess.run(["git", "check-ignore", path], cwd=CHECKOUT, capture_output=True, text=True)
    assert ignored.returncode == 1, ignored.stdout + ignored.stderr


def test_no_source_file_is_longer_than_a_reader_can_hold():
    files = [file for name in ("shared", "tools", *existing_projects()) for file in (CHECKOUT / name).rglob("*.py")]
    assert {str(file): count for file in files if (count := len(file.read_text().splitlines())) > 520} == {}


def test_no_file_holds_the_marks_of_a_merge():
    files = [file for pattern in ("*.py", "*.md", "*.yaml", "*.toml", "*.txt") for file in our_files(CHECKOUT, pattern)]
    assert len(files) > 500
    marks = re.compile("^(<{7}|>{7}) ", re.MULTILINE)
    assert [file for file in files if marks.search(file.read_text(encoding="utf-8", errors="replace"))] == []
