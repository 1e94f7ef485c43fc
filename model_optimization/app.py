"""The demo page: which variant of a classifier to ship, one text through all of them, a server under load, drift."""

from functools import partial

import streamlit as st

from model_optimization import page_drift, page_serve, page_ship, page_variants
from shared.page import choose_language
from shared.phrases import Language, phrase


def main() -> None:
    st.set_page_config(layout="wide")  # the names of all methods need the room
    language = choose_language()
    say = partial(words, language)
    st.title(phrase("app.page.model_optimization", language))
    ship, text, serve, drift = st.tabs([say(f"tab.{name}") for name in ("ship", "text", "serve", "drift")])
    with ship:
        page_ship.show(language, say)
    with text:
        page_variants.show(language, say)
    with serve:
        page_serve.show(language, say)
    with drift:
        page_drift.show(language, say)


def words(language: Language, key: str, **values: object) -> str:
    return phrase(f"optimization.page.{key}", language, **values)


main()
