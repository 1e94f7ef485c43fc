"""The hub opens, speaks both languages, and links the pages that exist."""

import tomllib

import pytest
from streamlit.testing.v1 import AppTest

from shared.phrases import phrase
from tools.projects import CHECKOUT, PROJECTS, page_of


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("QA_STORE", str(tmp_path / "store"))  # where qa_system's page keeps its documents
    return AppTest.from_file(str(CHECKOUT / "app.py"), default_timeout=30)


def shown(hub):
    assert not hub.exception
    return [heading.value for heading in [*hub.title, *hub.subheader]]


def test_the_home_page_names_every_project(hub):
    hub.run()
    assert shown(hub) == [phrase("app.title", "en"), *names("en")]
    assert len(hub.caption) == sum(page_of(project) is None for project in PROJECTS)


def test_the_switch_turns_the_home_page_chinese_and_back(hub):
    hub.run()
    hub.sidebar.radio[0].set_value("zh").run()
    assert shown(hub) == [phrase("app.title", "zh"), *names("zh")]
    hub.sidebar.radio[0].set_value("en").run()
    assert shown(hub)[0] == phrase("app.title", "en")


def test_the_address_chooses_the_language(hub):
    hub.query_params["lang"] = "zh"
    hub.run()
    assert shown(hub)[0] == phrase("app.title", "zh")


def names(language):
    return [phrase(f"app.page.{project}", language) for project in PROJECTS]


@pytest.mark.parametrize("project", [project for project in PROJECTS if page_of(project)])
def test_a_page_opens_within_the_hub_in_the_language_chosen_at_home(hub, project):
    """The hub and its pages once drew the language switch twice, and every page raised."""
    hub.run()
    hub.sidebar.radio[0].set_value("zh").run()
    hub.switch_page(str(page_of(project).relative_to(CHECKOUT))).run(timeout=120)
    assert not hub.exception
    assert hub.title[0].value == phrase(f"app.page.{project}", "zh")


def test_the_pages_do_not_watch_the_whole_checkout_for_edits():
    """Regression: with .venv's thousands of folders below, that kept a processor busy for minutes."""
    settings = tomllib.loads((CHECKOUT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert settings["server"]["fileWatcherType"] == "none"
