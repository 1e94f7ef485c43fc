"""The demo page's first part: one beginning, continued by every strategy, each token with its probability."""

from html import escape
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from gpt_text_generation.decoding import generation_configs, settings_for
from gpt_text_generation.evaluation.diversity_metrics import distinct_n, repetition, words
from gpt_text_generation.page_model import Page, model_or_say
from gpt_text_generation.text_generator import write
from shared.errors import UserError
from shared.page import choice_key
from shared.timing import Timer

# English in both languages of the page, as the model that ships reads no other.
BEGINNINGS = {
    "lighthouse": "The lighthouse keeper had not spoken to anyone for a year when",
    "robot": "On the first day of school, the new robot teacher rolled into the classroom and",
    "train": "The night train stopped between two stations. Nobody knew why, until",
}
FIRST_CHOSEN = ["greedy", "beam_search", "sampling", "nucleus", "min_p", "dry"]
LONGEST = 2000  # characters of a beginning
OTHERS = 4  # likeliest tokens shown for each place
FULL_SURPRISE = 10  # bits at which the shade is full
ORANGE = "240, 128, 60"

_TEXT = "font-size: 1.02rem; line-height: 1.75; white-space: pre-wrap; overflow-wrap: anywhere"


class Token(NamedTuple):
    """A written token: its text, its probability by the model itself, and the likeliest ones in its place."""

    text: str
    probability: float
    likeliest: list[tuple[str, float]]


class Written(NamedTuple):
    beginning: str
    tokens: list[Token]
    tokens_per_s: float

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)


def show(page: Page) -> None:
    say, state = page.say, st.session_state
    state.setdefault("beginning", BEGINNINGS["lighthouse"])
    st.caption(say("beginnings"))
    with st.container(horizontal=True):
        for name, text in BEGINNINGS.items():
            st.button(say(f"beginning.{name}"), key=f"beginning-{name}", on_click=_put, args=(text,))
    beginning = st.text_area(say("beginning"), key="beginning", height=80, max_chars=LONGEST)
    chosen = st.multiselect(
        say("strategies"),
        list(generation_configs),
        format_func=lambda name: say(f"strategy.{name}"),
        key=choice_key("strategies", FIRST_CHOSEN),
    )
    left, right, _ = st.columns([1, 1, 2])
    length = left.number_input(say("length"), 10, 300, 60, 10, key="length")
    seed = right.number_input(say("seed"), 0, 9999, 0, key="seed")
    if st.button(say("write"), type="primary", key="write", disabled=not chosen):
        if not beginning.strip():
            st.info(say("empty_beginning"))
            return
        _write_all(page, beginning, chosen, int(length), int(seed))
    elif "written" in state:
        _cards(page, state["written"])
    if state.get("written"):
        st.html(_legend(say("expected"), say("surprising")))
        st.caption(say("hover"))


def _write_all(page: Page, beginning: str, chosen: list[str], length: int, seed: int) -> None:
    """Let each strategy write into its card; what is there is kept where the visitor breaks off."""
    if (model := model_or_say(page)) is None:
        return
    ids = model.encode(beginning)
    if len(ids) + length > model.context:
        st.error(page.say("too_long", n=len(ids), window=model.context))
        return
    written: dict[str, Written] = {}
    st.session_state["written"] = written
    places = _grid(page, chosen)
    for name in chosen:
        place = places[name]
        place.caption("…")
        stream = write(model, ids, settings_for(name), max_new_tokens=length, seed=seed)
        with Timer() as timer:
            try:
                for _ in stream:
                    place.html(_plain(beginning, stream.text))
            except UserError as error:
                place.error(page.say("fault", reason=error))
                continue
        tokens = with_probabilities(model, ids, stream.ids)
        written[name] = Written(beginning, tokens, timer.rate(len(stream.ids)))
        _fill(page, place, written[name])


def with_probabilities(model: Any, before: list[int], after: list[int]) -> list[Token]:
    """Each written token with the model's own probability, whatever strategy chose it; an end token is left out."""
    from shared.streaming import TextWriter

    after = [token for token in after if token not in model.stop_ids]
    if not after:
        return []
    logits = model.session().last_logits([*before, *after], len(after) + 1)[:-1]  # (T, V)
    logits = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    writer, tokens = TextWriter(model.decode, before, ()), []
    for token, row in zip(after, probabilities, strict=True):
        best = np.argsort(row)[::-1][:OTHERS]
        others = [(model.decode([int(other)]), float(row[other])) for other in best]
        tokens.append(Token(writer.add(token), float(row[token]), others))
    return tokens


def _grid(page: Page, names: list[str]) -> dict[str, Any]:
    """A titled card for each name, two in a row; returns the place for its text."""
    places = {}
    for start in range(0, len(names), 2):
        for column, name in zip(st.columns(2, gap="medium"), names[start : start + 2], strict=False):
            with column.container(border=True, height="stretch"):
                st.markdown(f"**{page.say(f'strategy.{name}')}**", help=page.say(f"strategy_help.{name}"))
                places[name] = st.empty()
    return places


def _cards(page: Page, written: dict[str, Written]) -> None:
    for name, place in _grid(page, list(written)).items():
        _fill(page, place, written[name])


def _fill(page: Page, place: Any, written: Written) -> None:
    """The text with its probabilities, and below it what can be counted of it."""
    tokens = words(written.text)
    with place.container():
        st.html(shaded(written))
        facts = {
            "n": len(written.tokens),
            "speed": f"{written.tokens_per_s:.1f}",
            "distinct": f"{distinct_n([tokens], 2):.2f}" if len(tokens) > 1 else "–",
            "repeats": f"{repetition(tokens):.2f}" if len(tokens) > 3 else "–",
        }
        st.caption(page.say("facts", **facts))


def shaded(written: Written) -> str:
    """The text as HTML, each token on a ground the stronger the less it was expected, with its odds under the mouse."""
    spans = []
    for token in written.tokens:
        surprise = -np.log2(max(token.probability, 2.0**-FULL_SURPRISE)) / FULL_SURPRISE
        odds = "\n".join(f"{other!r}  {share:.1%}" for other, share in token.likeliest)
        title = escape(f"{token.text!r}  {token.probability:.1%}\n———\n{odds}", quote=True)
        ground = f"rgba({ORANGE}, {0.75 * surprise:.2f})"
        spans.append(
            f'<span title="{title}" style="background: {ground}; border-radius: 3px">{escape(token.text)}</span>'
        )
    return f'<div style="{_TEXT}"><span style="opacity: 0.6">{escape(written.beginning)}</span>{"".join(spans)}</div>'


def _plain(beginning: str, text: str) -> str:
    return f'<div style="{_TEXT}"><span style="opacity: 0.6">{escape(beginning)}</span>{escape(text)}</div>'


def _legend(left: str, right: str) -> str:
    ramp = f"linear-gradient(to right, transparent, rgba({ORANGE}, 0.75))"
    return (
        '<div style="display: flex; align-items: center; gap: 10px; font-size: 0.9rem">'
        f'<span>{escape(left)}</span><span style="flex: 0 1 200px; height: 12px; border-radius: 6px; '
        f'background: {ramp}"></span><span>{escape(right)}</span></div>'
    )


def _put(text: str) -> None:
    st.session_state["beginning"] = text
