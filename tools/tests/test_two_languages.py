"""A page that stands in English and Chinese says the same in both: headings, commands, numbers, tables, pictures."""

import re

import pytest

from tools.projects import CHECKOUT, our_files

CHINESE = [file for file in our_files(CHECKOUT, "*.zh-CN.md")]
CODE = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def facts(page: str) -> dict[str, list]:
    """What does not depend on the language."""
    lines = "\n".join(CODE.findall(page)).splitlines()
    commands = [re.sub(r"\s+#.*", "", line) for line in lines if line.startswith(("python -m", "make ", ".venv/"))]
    return {
        "levels of headings": [len(marks) for marks in re.findall(r"^(#+) ", CODE.sub("", page), re.MULTILINE)],
        "commands": [re.sub(r'"[^"]*"', '"…"', command) for command in commands],
        "tables and numbers": sorted(re.findall(r"<!-- ((?:results|number) .*?) -->", page)),
        "pictures": sorted(re.sub(r"_(en|zh)\.png", "", path) for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page)),
    }


@pytest.mark.parametrize("chinese", CHINESE, ids=lambda file: str(file.relative_to(CHECKOUT)))
def test_both_languages_agree(chinese):
    english = chinese.with_name(chinese.name.replace(".zh-CN", ""))
    assert facts(chinese.read_text(encoding="utf-8")) == facts(english.read_text(encoding="utf-8"))


def test_every_readme_stands_in_both():
    readmes = {file.parent for file in our_files(CHECKOUT, "README.md") if "weights" not in file.parts}
    assert readmes == {file.parent for file in CHINESE if file.name == "README.zh-CN.md"}
