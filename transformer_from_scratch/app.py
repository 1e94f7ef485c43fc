"""The demo page: an instrument to play. Type, click a character, turn the temperature, and watch the model inside.

It reads from top to bottom: the text, what comes next, where the model looks, why, what flows through it, what it
writes, how it learned.
"""

from functools import partial
from pathlib import Path

import streamlit as st
import torch

from shared.errors import UserError
from shared.page import choose_language
from shared.phrases import Language, phrase
from transformer_from_scratch import page_inside, page_writing
from transformer_from_scratch.figures import show
from transformer_from_scratch.inspection import look_inside
from transformer_from_scratch.page_models import SHIPPED, find_models, load, reads_chinese
from transformer_from_scratch.tokenizer import CharTokenizer
from transformer_from_scratch.transformer_block import LanguageModel

EXAMPLES = {"en": "the film is funny and the f", "zh": "这本书很好看，我很喜欢这本"}
LONGEST_SHOWN = 64  # characters; more would be too small to read


def main() -> None:
    language = choose_language()
    say = partial(words, language)
    st.title(phrase("app.page.transformer_from_scratch", language))
    folder, model, tokenizer = choose_model(language, say)
    if folder is None:
        st.warning(say("untrained"))

    # Each language of models has a text of its own, so that changing the model leaves something to read.
    reads = "zh" if reads_chinese(tokenizer) or (folder is None and language == "zh") else "en"
    text_key = f"text-{reads}"
    st.session_state.setdefault(text_key, EXAMPLES[reads])
    text = st.text_input(say("text"), key=text_key, live=True, on_change=page_inside.choose, args=(None,))
    if not text:
        st.info(say("empty"))
        st.stop()
    ids = tokenizer.encode(text)
    unknown = sorted({character for character, i in zip(text, ids, strict=True) if i == 0})
    if unknown:
        st.info(say("unknown", characters=" ".join(map(show, unknown))))
    ids = ids[-min(model.config.context, LONGEST_SHOWN) :]
    chosen = st.session_state.get("position")
    reading = page_inside.Reading(
        model=model,
        tokenizer=tokenizer,
        ids=ids,
        characters=text[-len(ids) :],
        inside=look_inside(model, torch.from_numpy(ids).long()),
        position=len(ids) - 1 if chosen is None else min(chosen, len(ids) - 1),
        text_key=text_key,
        language=language,
        say=say,
    )

    page_inside.what_comes_next(reading)
    layer, head = page_inside.where_it_looks(reading, str(folder))
    page_inside.why(reading, layer, head)
    page_inside.where_in_the_row(reading, layer, head)
    page_inside.what_flows(reading)
    writing = st.container()
    page_writing.how_it_learned(folder, language, say)
    with writing:  # last, for it goes on for a while
        page_writing.let_it_write(model, tokenizer, text_key, say)


def words(language: Language, key: str, **values: object) -> str:
    return phrase(f"transformer.page.{key}", language, **values)


def choose_model(language: Language, say: page_inside.Say) -> tuple[Path | None, LanguageModel, CharTokenizer]:
    """The model of the visitor's choice: shipped, trained here, or a random one where there is none."""

    def name(folder: Path) -> str:
        return say("shipped", name=folder.name) if folder.parent == SHIPPED else str(folder)

    models = find_models(language)
    folder = st.sidebar.selectbox(say("run"), models, format_func=name, key=f"model-{language}") if models else None
    try:
        model, tokenizer = load(folder)
    except UserError as error:
        st.error(str(error))
        st.stop()
    count = sum(weight.numel() for weight in model.parameters())
    config = model.config
    shape = {"layers": config.n_layers, "heads": config.n_heads, "width": config.width, "context": config.context}
    st.sidebar.caption(say("model", params=f"{count:,}", **shape))
    return folder, model, tokenizer


main()
