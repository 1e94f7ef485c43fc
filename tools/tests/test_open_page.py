"""Every project's Streamlit page opens, as CI asks of it with only that project installed."""

import pytest

from shared.errors import UserError
from tools import open_page
from tools.projects import existing_projects, page_of


@pytest.mark.parametrize("project", [name for name in existing_projects() if page_of(name)])
def test_the_page_opens(project):
    open_page.main([project])


def test_every_project_has_a_page():
    assert [project for project in existing_projects() if page_of(project) is None] == []


def test_a_page_that_raises_is_one_line(tmp_path, monkeypatch):
    page = tmp_path / "toyproject" / "app.py"
    page.parent.mkdir()
    page.write_text("import streamlit as st\nst.title('here')\nraise ValueError('two\\nlines')\n")
    monkeypatch.setattr(open_page, "CHECKOUT", tmp_path)
    monkeypatch.setattr(open_page, "page_of", lambda project: page)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"toyproject/app.py: the page raises: two lines"):
        open_page.main(["toyproject"])


def test_a_project_without_a_page_names_the_choices():
    with pytest.raises(UserError, match="nothing: no page here: choose one of transformer_from_scratch"):
        open_page.main(["nothing"])
