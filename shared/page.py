"""What every Streamlit page needs: a language switch that all pages of the hub share."""

from shared.phrases import LANGUAGES, Language, phrase

_NAMES: dict[Language, str] = {"en": "English", "zh": "中文"}


def choose_language() -> Language:
    """The switch in the sidebar. It starts from `?lang=zh`, else the browser's own language, and keeps its choice."""
    import streamlit as st

    if "language" not in st.session_state:
        asked = st.query_params.get("lang") or str(st.context.locale or "en")[:2]
        st.session_state["language"] = asked if asked in LANGUAGES else "en"
    before: Language = st.session_state["language"]
    chosen = st.sidebar.segmented_control(
        phrase("app.language", before), LANGUAGES, default=before, format_func=_NAMES.__getitem__, key="language_switch"
    )
    if chosen and chosen != before:
        st.session_state["language"] = chosen
        st.rerun()
    return before
