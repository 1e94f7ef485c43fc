"""A project's requirements.txt is its extra of pyproject.toml, and constraints.txt pins all of it."""

import re
import tomllib
from pathlib import Path

import pytest

from tools.projects import CHECKOUT, existing_projects

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def lines_of(file: Path) -> list[str]:
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("project", existing_projects())
def test_requirements_are_the_projects_extra(project):
    extra = PROJECT["optional-dependencies"][project.replace("_", "-")]
    first, *packages = lines_of(CHECKOUT / project / "requirements.txt")
    assert first == "-e ."
    assert sorted(packages) == sorted(extra)


@pytest.mark.parametrize("project", existing_projects())
def test_the_extra_all_holds_the_project(project):
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert project.replace("_", "-") in everything.partition("[")[2].rstrip("]").split(",")


def test_every_constraint_is_one_exact_version_without_address():
    for line in lines_of(CHECKOUT / "constraints.txt"):
        name, equals, version = line.partition("==")
        assert equals and name and version, line
        assert not set(version) & set("+*:/@ "), line


def test_everything_asked_for_is_pinned():
    pinned = {line.partition("==")[0] for line in lines_of(CHECKOUT / "constraints.txt")}
    asked = PROJECT["dependencies"] + [each for extra in PROJECT["optional-dependencies"].values() for each in extra]
    names = {re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-") for requirement in asked}
    assert names - {"laptop-llm"} <= pinned
