"""A page's language: the visitor's choice, else the address, else the browser; and it stays."""

from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest


def page():
    import streamlit as st

    from shared.page import choose_language

    language = choose_language()
    st.markdown(f"language is {language}")


@pytest.fixture
def browser(monkeypatch):
    """Open the page in a browser with this locale."""

    def visit(locale, **address):
        monkeypatch.setattr(st, "context", SimpleNamespace(locale=locale))
        test = AppTest.from_function(page, default_timeout=30)
        for name, value in address.items():
            test.query_params[name] = value
        return test.run()

    return visit


def language_of(test):
    assert not test.exception
    return test.markdown[0].value.removeprefix("language is ")


@pytest.mark.parametrize(
    ("locale", "language"),
    [("zh-CN", "zh"), ("zh", "zh"), ("ZH-tw", "zh"), ("en-GB", "en"), ("de", "en"), (None, "en")],
)
def test_the_browser_decides_at_first(browser, locale, language):
    assert language_of(browser(locale)) == language


def test_the_address_beats_the_browser_unless_it_names_no_language_of_ours(browser):
    assert language_of(browser("en", lang="zh")) == "zh"
    assert language_of(browser("zh-CN", lang="en")) == "en"
    assert language_of(browser("zh-CN", lang="xx")) == "zh"


def page_with_a_choice():
    import streamlit as st

    from shared.page import choice_key, choose_language

    names = {"en": {"red": "red", "blue": "blue"}, "zh": {"red": "红色", "blue": "蓝色"}}[choose_language()]
    st.markdown(st.selectbox("colour", ["red", "blue"], format_func=names.get, key=choice_key("colour", "blue")))


def test_what_was_chosen_in_one_language_is_chosen_in_the_other():
    """Streamlit keeps the words of an option: they once stayed in the old language."""
    test = AppTest.from_function(page_with_a_choice, default_timeout=30).run()
    assert not test.exception and test.markdown[0].value == "blue"
    test.selectbox[0].set_value("red").run()
    for language, word in (("zh", "红色"), ("en", "red")):
        test.sidebar.radio[0].set_value(language).run()
        assert not test.exception and test.markdown[0].value == "red"
        assert test.selectbox[0].options[test.selectbox[0].index] == word


def test_a_choice_stays_and_is_written_into_the_address(browser):
    test = browser("en")
    assert "lang" not in test.query_params  # or there would be no way back from this page
    test.sidebar.radio[0].set_value("zh").run()
    assert language_of(test) == "zh"
    assert test.query_params["lang"] in ("zh", ["zh"])
    assert language_of(test.run()) == "zh"
