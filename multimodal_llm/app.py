"""The demo page: a photo gets its caption, and a picture of a shape answers questions."""

from functools import partial

import streamlit as st

from multimodal_llm import page_caption, page_questions
from shared.page import choose_language
from shared.phrases import Language, phrase


def main() -> None:
    st.set_page_config(layout="wide")  # picture and answers stand side by side
    language = choose_language()
    say = partial(words, language)
    st.title(phrase("app.page.multimodal_llm", language))
    caption, questions = st.tabs([say(f"tab.{name}") for name in ("caption", "questions")])
    with caption:
        page_caption.show(say)
    with questions:
        page_questions.show(say)


def words(language: Language, key: str, **values: object) -> str:
    return phrase(f"multimodal.page.{key}", language, **values)


main()
