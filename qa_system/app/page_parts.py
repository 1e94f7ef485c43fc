"""What the parts of the demo page share: the documents, the generator, and texts of strangers made harmless."""

import os
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from qa_system.app.library import Library
from qa_system.generation.answer_generator import AnswerGenerator, AnswerSettings
from shared.phrases import Language

STORE = "runs/qa_system/store"  # or what QA_STORE names


class Page(NamedTuple):
    """The documents, the language, and the words in it."""

    library: Library
    language: Language
    say: Callable[..., str]


def open_library() -> Library:
    """The documents of this folder, opened once for all visitors. Raises UserError."""
    return _open(os.environ.get("QA_STORE", STORE))


@st.cache_resource(show_spinner=False)
def _open(folder: str) -> Library:
    from qa_system.store import open_store

    library = Library(open_store(folder, create=True), Path(folder))
    library.start()
    return library


def generator_of(library: Library, settings: AnswerSettings) -> AnswerGenerator:
    """The generator with these settings; the last few are kept, with the models that they have loaded."""
    return _generator(library, settings)


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs={Library: lambda library: str(library.files)})
def _generator(library: Library, settings: AnswerSettings) -> AnswerGenerator:
    return AnswerGenerator(library.store, settings)


def plain(text: Any) -> str:
    """A stranger's text for a place that reads Markdown, such as a button: each sign stands for itself."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(str(text).split()))


def html_text(text: str) -> str:
    """The same for HTML: no tag, no entity; line breaks as spaces."""
    return escape(" ".join(text.split()))
