"""The demo page: a caption, questions about shapes, labels of one's own, search through photos, and documents."""

from functools import partial

import streamlit as st

from multimodal_llm import page_caption
from shared.page import choose_language
from shared.phrases import Language, phrase


def main() -> None:
    st.set_page_config(layout="wide")  # picture and answers stand side by side
    language = choose_language()
    say = partial(words, language)
    st.title(phrase("app.page.multimodal_llm", language))
    names = ("caption", "questions", "labels", "search", "documents")
    caption, questions, labels, search, documents = st.tabs([say(f"tab.{name}") for name in names])
    with caption:
        page_caption.show(say)
    # The others load torch, which takes seconds: a photo can be given meanwhile.
    from multimodal_llm import page_documents, page_labels, page_questions, page_search

    with questions:
        page_questions.show(say)
    with labels:
        page_labels.show(say)
    with search:
        page_search.show(say)
    with documents:
        page_documents.show(say)


def words(language: Language, key: str, **values: object) -> str:
    return phrase(f"multimodal.page.{key}", language, **values)


main()
