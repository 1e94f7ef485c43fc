"""The projects' READMEs have one frame, so that a reader of one finds the way in all."""

import re

import pytest

from tools.projects import CHECKOUT, PROJECTS

FRAME = {
    "README.md": ["Quickstart", "Exercises", "Change this, expect that", "Limits", "Files", "References"],
    "README.zh-CN.md": ["快速开始", "练习", "改一处，看结果", "局限", "文件", "参考文献"],
}


@pytest.mark.parametrize("name", FRAME)
@pytest.mark.parametrize("project", PROJECTS)
def test_every_readme_has_the_same_frame_in_the_same_order(project, name):
    text = (CHECKOUT / project / name).read_text(encoding="utf-8")
    assert [words for words in re.findall(r"^## (.+)$", text, re.MULTILINE) if words in FRAME[name]] == FRAME[name]


@pytest.mark.parametrize("project", PROJECTS)
def test_no_paragraph_of_a_readme_begins_twice(project):
    """Changed paragraphs once kept their old first lines, and lost the blank lines between them."""
    lines = (CHECKOUT / project / "README.md").read_text(encoding="utf-8").splitlines()
    begins = [place for place, line in enumerate(lines) if line.startswith(("**", "## ", "<!-- results "))]
    assert [lines[place] for place in begins if place and lines[place - 1].strip()] == []
