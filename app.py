"""The Streamlit hub: one menu over the pages of all projects. `make app`, or `streamlit run app.py`."""

from pathlib import Path

import streamlit as st

from shared.page import choose_language
from shared.phrases import Language, phrase

PAGES = {
    "transformer_from_scratch": "app.py",
    "bert_sentiment_analysis": "app.py",
    "gpt_text_generation": "app.py",
    "qa_system": "app/streamlit_ui.py",
    "model_optimization": "app.py",
    "multimodal_llm": "app.py",
}


def home(language: Language, here: set[str]) -> None:
    st.title(phrase("app.title", language))
    st.write(phrase("app.lead", language))
    for project in PAGES:
        with st.container(border=True):
            st.subheader(phrase(f"app.page.{project}", language))
            st.write(phrase(f"app.about.{project}", language))
            st.caption(phrase("app.here" if project in here else "app.not_yet", language))


def main() -> None:
    st.set_page_config(page_title="laptop-llm", layout="wide")
    language = choose_language()
    root = Path(__file__).parent
    files = {project: root / project / page for project, page in PAGES.items()}
    here = {project for project, file in files.items() if file.exists()}
    pages = [st.Page(lambda: home(language, here), title=phrase("app.home", language), url_path="home", default=True)]
    pages += [
        st.Page(files[project], title=phrase(f"app.page.{project}", language), url_path=project)
        for project in PAGES
        if project in here
    ]
    st.navigation(pages).run()


main()
