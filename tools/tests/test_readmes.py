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
