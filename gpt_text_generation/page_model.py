"""What the parts of the demo page share: the model of the visitor's choice, loaded when it is first needed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import streamlit as st

from shared.errors import UserError
from shared.phrases import Language

DEFAULT = "smollm2"


class Page(NamedTuple):
    """The model's name, the language, and the words in it."""

    model: str
    language: Language
    say: Callable[..., str]


def model_or_say(page: Page) -> Any:
    """The LanguageModel; a fault is shown on the page, and None returned."""
    try:
        with st.spinner(page.say("loading", name=page.model)):
            return _load(page.model)
    except UserError as error:
        st.error(page.say("fault", reason=error))
        return None


# On transformers, which runs every strategy; two models in memory are enough for a comparison.
@st.cache_resource(max_entries=2, show_spinner=False)
def _load(name: str) -> Any:
    from shared.language_model import load_language_model

    return load_language_model(name, "transformers")
