"""The demo page: strategies side by side, a writing assistant, a code generator, and a blind vote."""

from functools import partial

import streamlit as st

from gpt_text_generation import page_code, page_story, page_strategies, page_vote
from gpt_text_generation.page_model import DEFAULT, Page
from shared.page import choose_language
from shared.phrases import Language, phrase


def main() -> None:
    st.set_page_config(layout="wide")  # texts stand beside each other
    language = choose_language()
    say = partial(words, language)
    st.title(phrase("app.page.gpt_text_generation", language))
    name = st.sidebar.text_input(say("model"), DEFAULT, key="model").strip() or DEFAULT
    st.sidebar.caption(say("model_help"))
    page = Page(name, language, say)
    tabs = st.tabs([say(f"tab.{name}") for name in ("strategies", "story", "code", "vote")])
    for tab, part in zip(tabs, (page_strategies, page_story, page_code, page_vote), strict=True):
        with tab:
            part.show(page)


def words(language: Language, key: str, **values: object) -> str:
    return phrase(f"generation.page.{key}", language, **values)


main()
