"""The hub: a home page and every project's demo page, in one Streamlit app.

streamlit run app.py
"""

import streamlit as st

from shared.page import choose_language, current_language
from shared.phrases import phrase
from tools.projects import PROJECTS, page_of


def home() -> None:
    """What the six projects are, and links to those that are here."""
    language = choose_language()
    st.set_page_config(page_title=phrase("app.title", language))  # the other pages go by their names in the menu
    st.title(phrase("app.title", language))
    st.markdown(phrase("app.lead", language))
    for start in range(0, len(PROJECTS), 2):
        for column, project in zip(st.columns(2), PROJECTS[start : start + 2], strict=True):
            with column.container(border=True, height="stretch"):
                st.subheader(phrase(f"app.page.{project}", language))
                st.markdown(phrase(f"app.about.{project}", language))
                if project in pages:
                    st.page_link(pages[project], label=phrase("app.open", language), icon=":material/arrow_forward:")
                else:
                    st.caption(phrase("app.not_yet", language))


language = current_language()
pages = {
    project: st.Page(path, title=phrase(f"app.page.{project}", language), url_path=project)
    for project in PROJECTS
    if (path := page_of(project))
}
st.set_page_config(layout="wide")
st.navigation([st.Page(home, title=phrase("app.home", language), default=True), *pages.values()]).run()
