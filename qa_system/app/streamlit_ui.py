"""The demo page: bring documents, ask in English or Chinese, and see on the page where each answer stands.

streamlit run qa_system/app/streamlit_ui.py
"""

from functools import partial

import streamlit as st

from qa_system.app import page_answer, page_documents
from qa_system.app.page_parts import Page, open_library, plain
from qa_system.example import QUESTIONS
from qa_system.generation.answer_generator import AnswerSettings
from shared.errors import UserError
from shared.page import choose_language
from shared.phrases import Language, phrase

GENERATORS = ("extractive", "smollm2")


def main() -> None:
    st.set_page_config(layout="wide")  # the answer, and beside it the page that it stands on
    language = choose_language()
    say = partial(words, language)
    st.title(phrase("app.page.qa_system", language))
    try:
        page = Page(open_library(), language, say)
    except UserError as error:
        st.error(plain(error))
        return
    page_documents.show(page)
    chosen, sources = settings(page)
    if not page.library.documents():
        welcome(page)
        return
    question = ask_for_question(page)
    if question:
        page_answer.ask(page, question, chosen, sources)
    page_answer.show(page, chosen)


def welcome(page: Page) -> None:
    """What to do where there is no document yet."""
    st.markdown(page.say("lead"))
    if page_documents.is_reading(page):
        st.info(page.say("reading"), icon=":material/hourglass_top:")
        return
    with st.container(border=True):
        st.markdown(page.say("example_about"))
        if st.button(page.say("example"), type="primary", icon=":material/science:"):
            page_documents.try_example(page)


def ask_for_question(page: Page) -> str:
    """The question that is asked now, "" where none is."""
    with st.form("qa_form", border=False):
        field, button = st.columns([7, 1], vertical_alignment="bottom")
        typed = field.text_input(page.say("question"), key="qa_question", placeholder=page.say("placeholder"))
        asked = button.form_submit_button(page.say("ask"), type="primary", width="stretch")
    picked = suggestion(page) if page_documents.has_example(page) else None
    # A pill stays pressed while other things on the page are clicked: it asks once.
    new = picked if picked != st.session_state.get("qa_suggested") else None
    st.session_state["qa_suggested"] = picked
    return typed.strip() if asked else new or ""


def suggestion(page: Page) -> str | None:
    """Questions that the example's documents answer, or do not."""
    texts = [each.text for each in QUESTIONS if each.language == page.language]
    return st.pills(page.say("suggestions"), texts, key=f"qa_suggestion_{page.language}")


def settings(page: Page) -> tuple[AnswerSettings, list[str] | None]:
    """How answers are made, and from which documents."""
    say, default = page.say, AnswerSettings()
    with st.sidebar.expander(say("settings"), icon=":material/tune:"):
        generator = st.selectbox(say("generator"), GENERATORS, format_func=lambda name: say(f"generator.{name}"))
        k = st.slider(say("k"), 1, 20, default.k)
        own = st.toggle(say("own_threshold"), help=say("threshold_help"))
        threshold = st.slider(say("threshold"), 0.0, 1.0, 0.5, 0.05) if own else None
        names = [line.source for line in page.library.documents()]
        sources = st.multiselect(say("only"), names, placeholder=say("all"))
    return AnswerSettings(generator=generator, k=k, threshold=threshold), sources or None


def words(language: Language, key: str, **values: object) -> str:
    return phrase(f"qa.page.{key}", language, **values)


main()
