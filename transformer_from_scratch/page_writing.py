"""The demo page's last sections: the model writes on under the visitor's hand, and how it learned to."""

import time
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path

import streamlit as st
import torch

from shared.errors import UserError
from shared.page import chart
from shared.phrases import Language, phrase
from shared.runs import RunFolder
from transformer_from_scratch import figures
from transformer_from_scratch.config import Sampling
from transformer_from_scratch.page_figures import ORANGE
from transformer_from_scratch.sampling import generate_tokens
from transformer_from_scratch.tokenizer import CharTokenizer
from transformer_from_scratch.transformer_block import LanguageModel

PACE = 0.02  # seconds between written characters: slow enough to watch

Piece = list  # [the temperature it was written at, its characters]


def let_it_write(model: LanguageModel, tokenizer: CharTokenizer, text_key: str, say: Callable[..., str]) -> None:
    """Write on, character by character. Moving a slider meanwhile changes how the rest is drawn.

    A moved slider or the button ends this function and starts the page anew, so what was written so far is kept in
    the session. It is no Streamlit fragment, for those are not interrupted.
    """
    state = st.session_state
    st.header(say("write_title"))
    left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
    state.setdefault("temperature-writing", state["temperature"])
    synced = partial(copy_value, "temperature-writing", "temperature")
    temperature = left.slider(say("temperature"), 0.0, 2.0, step=0.05, key="temperature-writing", on_change=synced)
    length = middle.slider(say("length"), 50, 1000, 300, 50, key="length")
    label = say("stop") if state.get("writing") else say("write")
    right.button(label, type="primary", key="write", on_click=start_or_stop, args=(text_key,))
    st.caption(say("write_help"))

    pieces: list[Piece] = state.setdefault("pieces", [])
    place = st.empty()
    if pieces:
        place.html(written(state["start"], pieces))
    if not state.get("writing"):
        return
    so_far = "".join(piece for _, piece in pieces)
    prompt = torch.from_numpy(tokenizer.encode(state["start"] + so_far))
    sampling = Sampling(temperature, state["top_k"], state["top_p"])
    for token in generate_tokens(model, prompt, length - len(so_far), sampling):
        if not pieces or pieces[-1][0] != temperature:
            pieces.append([temperature, ""])
        pieces[-1][1] += tokenizer.decode([token])
        place.html(written(state["start"], pieces))
        time.sleep(PACE)
    state["writing"] = False
    st.rerun()  # the button's label


def how_it_learned(folder: Path | None, language: Language, say: Callable[..., str]) -> None:
    """The training's curve, and what the model wrote at each moment of it."""
    st.header(say("learned_title"))
    try:
        metrics = [] if folder is None else RunFolder(folder).metrics()
    except UserError as error:
        st.error(str(error))
        return
    moments = {line["step"]: line for line in metrics if "sample" in line}
    if not moments:
        st.info(say("no_curve"))
        return
    st.markdown(say("learned"))
    step = list(moments)[-1]
    if len(moments) > 1:
        step = st.select_slider(phrase("transformer.step", language), list(moments), step, key=f"step-{folder}")
    left, right = st.columns(2, gap="medium")
    curve = figures.training_curve(metrics, {}, language)
    with left:
        chart(curve.add_vline(x=step, line={"color": ORANGE, "width": 2}), "curve")
    right.caption(phrase("transformer.after_steps", language, step=step, loss=f"{moments[step]['val_loss']:.2f}"))
    right.code(moments[step]["sample"], language=None, wrap_lines=True)


def start_or_stop(text_key: str) -> None:
    """Begin to write on from the text above, or leave off."""
    state = st.session_state
    state["writing"] = not state.get("writing", False)
    if state["writing"]:
        state["start"], state["pieces"] = state[text_key], []


def copy_value(source: str, target: str) -> None:
    """Let one widget follow another."""
    st.session_state[target] = st.session_state[source]


def written(start: str, pieces: list[Piece]) -> str:
    """The text as HTML, what was written on a ground from blue (cold) to red (hot) by its temperature."""
    spans = [
        f'<span style="background: hsla({220 - 110 * temperature:.0f}, 80%, 50%, 0.18)">{escape(piece)}</span>'
        for temperature, piece in pieces
    ]
    return f'<div style="white-space: pre-wrap; font-size: 1.1rem">{escape(start)}{"".join(spans)}</div>'
