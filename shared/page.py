"""What every Streamlit page shares: the choice of language, remembered from page to page and in the address; charts."""

from typing import Any

from shared.phrases import LANGUAGES, Language, phrase

NAMES: dict[Language, str] = {"zh": "中文", "en": "English"}


def current_language() -> Language:
    """The visit's language: the one chosen on a page, else `?lang=` in the address, else the browser's own."""
    import streamlit as st

    if "language" not in st.session_state:
        asked = st.query_params.get("lang")
        browsers = "zh" if (st.context.locale or "").lower().startswith("zh") else "en"
        st.session_state["language"] = asked if asked in LANGUAGES else browsers
    return st.session_state["language"]


def choose_language() -> Language:
    """Show the language switch in the sidebar and return the choice. A page calls it first, and once."""
    import streamlit as st

    language = current_language()
    names = list(NAMES)

    # Streamlit forgets a widget's value when the page changes; a value of our own stays for the whole visit. The
    # address changes here alone: each change is a step in the browser's history, and a page that took one by itself
    # would never let a visitor go back.
    def keep() -> None:
        st.session_state["language"] = st.query_params["lang"] = st.session_state["language_switch"]

    st.sidebar.radio(
        phrase("app.language", language),
        names,
        index=names.index(language),
        format_func=NAMES.get,
        horizontal=True,
        key="language_switch",
        on_change=keep,
    )
    return language


def choice_key(key: str, first: Any = None) -> str:
    """The key of a choice whose options are words in the page's language; `first` is what it begins with.

    Streamlit keeps the words of what was chosen: after a change of language they would stand there in the old one, or
    nothing would be chosen. So each language has a widget of its own, which takes over the choice from the other.
    """
    import streamlit as st

    own = f"{key}-{current_language()}"
    if own not in st.session_state:
        others = [f"{key}-{language}" for language in LANGUAGES]
        chosen = next((st.session_state[other] for other in others if other in st.session_state), first)
        if chosen is not None:
            st.session_state[own] = chosen
    return own


def chart(figure: Any, key: str, **settings: Any) -> None:
    """Draw a Plotly figure without its row of buttons, which would lie over titles and legends."""
    import streamlit as st

    st.plotly_chart(figure, key=key, config={"displayModeBar": False}, **settings)
