"""The demo page's sections on one text: what comes next, where the model looks, why, and how the prediction forms."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st
import torch

from shared.page import chart
from shared.phrases import Language, phrase
from transformer_from_scratch import figures, page_figures, page_parts
from transformer_from_scratch.config import Sampling
from transformer_from_scratch.inspection import Inspection, most_focused, scores_by_distance
from transformer_from_scratch.page_writing import copy_value
from transformer_from_scratch.sampling import generate_tokens, next_token_probabilities
from transformer_from_scratch.tokenizer import CharTokenizer
from transformer_from_scratch.transformer_block import LanguageModel

Say = Callable[..., str]


@dataclass(frozen=True)
class Reading:
    """A model, the text it reads (T characters), what it computed, and the place that the visitor looks at."""

    model: LanguageModel
    tokenizer: CharTokenizer
    ids: np.ndarray
    characters: str
    inside: Inspection
    position: int
    text_key: str
    """Where the page keeps the whole text, of which `characters` are the last."""
    language: Language
    say: Say

    @property
    def here(self) -> str:
        """The chosen character, as a visible sign."""
        return figures.show(self.characters[self.position])


def what_comes_next(reading: Reading) -> None:
    """The text, shaded by surprise; the next character's probabilities under the sampling's sliders."""
    say, position = reading.say, reading.position
    expected = np.full(len(reading.ids), np.nan)
    expected[1:] = reading.inside.probabilities[-1, np.arange(len(reading.ids) - 1), reading.ids[1:]]
    page_parts.surprise_text(reading.characters, expected, position, "surprise", choose)
    st.caption(say("surprise"))

    left, right = st.columns([1, 2.4], gap="medium")
    with left:
        st.session_state.setdefault("temperature", 0.8)
        synced = partial(copy_value, "temperature", "temperature-writing")
        setting = {"help": say("temperature_help"), "key": "temperature", "on_change": synced}
        temperature = st.slider(say("temperature"), 0.0, 2.0, step=0.05, **setting)
        k, p = st.columns(2)
        top_k = k.slider(say("top_k"), 0, 50, 0, help=say("top_k_help"), key="top_k")
        top_p = p.slider(say("top_p"), 0.05, 1.0, 1.0, 0.05, help=say("top_p_help"), key="top_p")
        sampling = Sampling(temperature, top_k, top_p)
        append = partial(write_one, reading.model, reading.tokenizer, reading.text_key, sampling)
        st.button(say("write_one"), type="primary", on_click=append, help=say("write_one_help"))
    with right:
        scores = reading.inside.logits[position].copy()
        scores[0] = -np.inf  # the unknown character is never written
        plain, drawn_from = (next_token_probabilities(scores, setting) for setting in (Sampling(1.0), sampling))
        before = "".join(map(figures.show, reading.characters[max(0, position - 14) : position + 1]))
        went_on = reading.characters[position + 1 : position + 2]
        st.markdown(say("next_known" if went_on else "next", text=before, character=figures.show(went_on)))
        bars = page_figures.next_bars(plain, drawn_from, reading.tokenizer.characters, reading.language)
        chart(bars, "next-bars")


def where_it_looks(reading: Reading, run: str) -> tuple[int, int]:
    """All heads at a glance, the chosen one's gaze on the text and as a map. Returns the chosen layer and head.

    The choice is kept for each run by itself, for runs differ in size.
    """
    say, weights = reading.say, reading.inside.weights
    st.header(say("looks_title"))
    layers, heads = weights.shape[:2]
    layer_key, head_key = f"layer-{run}", f"head-{run}"
    for key, best in zip((layer_key, head_key), most_focused(weights), strict=True):
        st.session_state.setdefault(key, best + 1)
    left, right, _ = st.columns(3)
    layer = left.segmented_control(say("layer"), range(1, layers + 1), key=layer_key, required=True) - 1
    head = right.segmented_control(say("head"), range(1, heads + 1), key=head_key, required=True) - 1
    st.markdown(say("looks", character=reading.here, layer=layer + 1, head=head + 1))
    page_parts.gaze_text(reading.characters, weights[layer, head], reading.position, "gaze", choose)

    def choose_head(chosen_layer: int, chosen_head: int) -> None:
        st.session_state[layer_key], st.session_state[head_key] = chosen_layer + 1, chosen_head + 1

    left, right = st.columns(2, gap="medium")
    with left:
        st.caption(say("all_heads"))
        rows = [say("layer_n", layer=i + 1) for i in range(layers)]
        places = np.ndindex(layers, heads)
        names = [phrase("transformer.layer_head", reading.language, layer=i + 1, head=j + 1) for i, j in places]
        page_parts.head_grid(weights, (layer, head), reading.position, names, rows, "grid", choose_head)
    with right:
        st.caption(say("map"))
        figure = page_figures.gaze_map(weights[layer, head], reading.characters, reading.position, reading.language)
        chart(figure, "gaze-map")
    return layer, head


def why(reading: Reading, layer: int, head: int) -> None:
    """Query, keys, scores, weights, values, output of the chosen head at the chosen character."""
    say, inside, position = reading.say, reading.inside, reading.position
    st.header(say("why_title"))
    st.markdown(say("why", character=reading.here))
    chain = page_figures.head_arithmetic(inside, reading.characters, layer, head, position, reading.language)
    chart(chain, "chain")
    most = int(inside.weights[layer, head, position].argmax())
    numbers = {
        "product": f"{inside.queries[layer, head, position] @ inside.keys[layer, head, most]:.2f}",
        "scale": f"{inside.scale:.3g}",
        "score": f"{inside.scores[layer, head, position, most]:.2f}",
        "weight": f"{inside.weights[layer, head, position, most]:.1%}",
    }
    st.markdown(say("sum", character=figures.show(reading.characters[most]), **numbers))


def where_in_the_row(reading: Reading, layer: int, head: int) -> None:
    """How this model tells positions apart."""
    say, model = reading.say, reading.model
    st.subheader(say("positions_title"))
    st.markdown(say(f"positions.{model.config.positions}", layer=layer + 1, head=head + 1))
    curve = scores_by_distance(model, reading.inside, layer, head)
    if curve is not None:
        chart(page_figures.distance_curve(curve, reading.language), "positions")
    elif model.embedding.positions is not None:
        figure = figures.positional_encoding(model.embedding.positions.table.detach().numpy(), reading.language)
        figure.add_hline(y=reading.position, line={"color": page_figures.ORANGE, "width": 2})
        chart(figure.update_layout(height=340, margin={"t": 10}), "positions")


def what_flows(reading: Reading) -> None:
    """The prediction taking shape layer by layer, and how large what each layer adds is."""
    say, inside, position, language = reading.say, reading.inside, reading.position, reading.language
    alphabet = reading.tokenizer.characters
    st.header(say("flows_title"))
    st.markdown(say("lens"))
    ink = "white" if st.context.theme.type == "dark" else "black"
    chart(page_figures.lens(inside, reading.characters, alphabet, position, ink, language), "lens")
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(say("lens_course", character=reading.here))
        chart(page_figures.lens_course(inside, alphabet, position, language), "course")
    with right:
        st.markdown(say("growth", character=reading.here))
        chart(page_figures.stream_growth(inside, position, language), "growth")
    st.markdown(say("norms"))
    chart(page_figures.stream_map(inside, reading.characters, position, language), "norms")


def choose(position: int | None) -> None:
    """Make all pictures be about this position; None for the last."""
    st.session_state["position"] = position


def write_one(model: LanguageModel, tokenizer: CharTokenizer, text_key: str, sampling: Sampling) -> None:
    """Draw one character and append it to the text."""
    text = st.session_state[text_key]
    token = next(generate_tokens(model, torch.from_numpy(tokenizer.encode(text)), 1, sampling))
    st.session_state[text_key] = text + tokenizer.decode([token])
    choose(None)
