"""The demo page's first part: one text, the answer to it, the words that made it, and what other models say."""

from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from bert_sentiment_analysis.evaluation.picture_data import BLUE, ORANGE, class_name
from bert_sentiment_analysis.page_models import (
    GREY,
    SHADES,
    Page,
    Say,
    answer,
    explanation,
    load_or_say,
    model_name,
)
from shared.cleaning import clean
from shared.page import choice_key

if TYPE_CHECKING:
    from bert_sentiment_analysis.inference.attributions import Explanation
    from bert_sentiment_analysis.inference.predictor import Prediction

# English in both languages of the page, as the models that ship read no other.
EXAMPLES = {
    "film": "A warm, funny film with wonderful actors; I left the cinema smiling.",
    "product": "The battery died after two weeks and nobody answers my emails. A waste of money.",
    "tweet": "@anna omg the new album is AMAZING!!! 😍 can't stop listening https://example.org",
    "mixed": "Beautiful pictures, but the story goes nowhere and the ending left me cold.",
    "negation": "Not bad at all.",
}
LONGEST = 20_000  # characters; a file takes more
# Of the words' grounds, between a page's black and white letters in lightness: both can be read on them.
FOR, AGAINST = "#3d9be9", "#f0803c"
FULL_SHADE = 0.7  # opacity of the strongest word

_TEXT = (
    "font-size: 1.15rem; line-height: 1.9; white-space: pre-wrap; overflow-wrap: anywhere; "
    "max-height: 24rem; overflow-y: auto"
)
_WORD = "border-radius: 4px; padding: 2px 1px"
_TRACK = "height: 14px; border-radius: 7px"


def ask(say: Say) -> str:
    """The text to judge: the visitor's own, or one of the examples."""
    st.session_state.setdefault("text", EXAMPLES["film"])
    st.caption(say("examples"))
    with st.container(horizontal=True):
        for name, example in EXAMPLES.items():
            st.button(say(f"example_name.{name}"), key=f"example-{name}", on_click=_put, args=(example,))
    return st.text_area(say("text"), key="text", height=110, max_chars=LONGEST)


def show(page: Page, text: str, folders: list[Path]) -> None:
    """The answer to the text, its words, and what the other models in these folders say."""
    if not clean(text):
        st.info(page.say("empty"))
        return
    left, right = st.columns([1, 1.3], gap="large")
    with left:
        _show_answer(page, answer(page.model, text))
    with right:
        _show_words(page, text)
    if folders:  # one that is trained takes the place of counted words
        _side_by_side(page, text, folders)


def _show_answer(page: Page, found: "Prediction") -> None:
    """The label, the probability of each class as a bar, and what being unsure means; of a rating the scale."""
    say, language, predictor = page.say, page.language, page.model.predictor
    st.subheader(say("answer"))
    if found.rating is not None:
        st.html(_headline(f"{found.rating:+.2f}", SHADES[found.label]) + _scale(found.rating))
        st.caption(say("rating_means"))
        return
    if found.label is None:
        st.html(_headline(say("unsure"), GREY))
    else:
        st.html(_headline(class_name(found.label, language), SHADES.get(found.label, GREY)))
    assert found.probabilities is not None  # the model answers by classes
    st.html("".join(_bar(class_name(name, language), p, SHADES.get(name, GREY)) for name, p in
                    reversed(found.probabilities.items())))  # fmt: skip
    band = f"{predictor.abstain_below:.1%}"
    if found.abstained:
        st.caption(say("unsure_means", band=band, probability=f"{found.probability:.1%}"))
    elif predictor.abstain_below > 0:
        st.caption(say("sure_means", band=band))


def _show_words(page: Page, text: str) -> None:
    say = page.say
    st.subheader(say("words"))
    with st.spinner(say("reading")):
        found = explanation(page.model, text)
    st.html(coloured(found))
    if found.speaks_for is None or found.speaks_for == "positive":
        sides = (phrase_of(page, "negative"), phrase_of(page, "positive"))
    else:
        sides = (say("against"), say("for", label=phrase_of(page, found.speaks_for)))
    st.html(_legend(*sides))
    if found.n_read < len(found.text):
        st.info(say("words_cut", read=f"{found.n_read:,}", total=f"{len(found.text):,}"))
    st.caption(say("words_mean"))
    with st.expander(say("words_how")):
        unit = say("rating") if page.model.rates else say("log_odds")
        numbers = {"start": f"{found.start:+.2f}", "answer": f"{found.answer:+.2f}", "error": f"{found.error:.3f}"}
        how = "words_sum" if page.model.folder else "counted_words_sum"
        st.markdown(say(how, unit=unit, **numbers))


def phrase_of(page: Page, name: str) -> str:
    return class_name(name, page.language)


def _side_by_side(page: Page, text: str, folders: list[Path]) -> None:
    """The answers of several models to the same text."""
    say = page.say
    st.subheader(say("side_by_side"))
    if len(folders) < 2:
        st.caption(say("one_model_only"))
        return
    naming = partial(model_name, say=say)
    key = choice_key("compared", folders[:2])
    chosen = st.multiselect(say("compare"), folders, format_func=naming, key=key)
    rows = []
    for folder in chosen:
        if (model := load_or_say(folder, say)) is None:
            continue
        found = answer(model, text)
        rows.append(
            {
                say("model"): naming(folder),
                say("label"): say("unsure") if found.label is None else phrase_of(page, found.label),
                say("probability"): None if found.probability is None else f"{found.probability:.1%}",
                say("rating"): None if found.rating is None else f"{found.rating:+.2f}",
            }
        )
    filled = [name for name in rows[0] if any(row[name] is not None for row in rows)] if rows else []
    if filled:
        st.table([{name: "–" if row[name] is None else row[name] for name in filled} for row in rows])


def coloured(found: "Explanation") -> str:
    """The text as HTML, each word on a ground from orange (against) to blue (for), the stronger the more it adds.

    The ground is see-through and the letters have the page's own colour, so that both show on light and on dark.
    """
    most = max((abs(span.value) for span in found.spans), default=0.0) or 1.0
    parts, done = [], 0
    for span in found.spans:
        shade = round(FULL_SHADE * abs(span.value) / most * 100)
        ground = f"color-mix(in srgb, {FOR if span.value > 0 else AGAINST} {shade}%, transparent)"
        parts.append(escape(found.text[done : span.start]))
        word = escape(found.text[span.start : span.end])
        parts.append(f'<span title="{span.value:+.3f}" style="background: {ground}; {_WORD}">{word}</span>')
        done = span.end
    rest = escape(found.text[done:])
    return f'<div style="{_TEXT}">{"".join(parts)}<span style="opacity: 0.5">{rest}</span></div>'


def _legend(left: str, right: str) -> str:
    ends = (f"color-mix(in srgb, {colour} {FULL_SHADE:.0%}, transparent)" for colour in (AGAINST, FOR))
    ramp = "linear-gradient(to right, {}, transparent, {})".format(*ends)
    return (
        '<div style="display: flex; align-items: center; gap: 10px; font-size: 0.9rem">'
        f'<span>{escape(left)}</span><span style="flex: 0 1 200px; height: 12px; border-radius: 6px; '
        f'background: {ramp}"></span><span>{escape(right)}</span></div>'
    )


def _headline(word: str, colour: str) -> str:
    return (
        '<div style="display: flex; align-items: center; gap: 12px; font-size: 1.9rem; font-weight: 600">'
        f'<span style="width: 18px; height: 18px; flex: none; border-radius: 50%; background: {colour}"></span>'
        f"{escape(word)}</div>"
    )


def _bar(name: str, share: float, colour: str) -> str:
    row = "display: grid; grid-template-columns: 4.6rem 1fr 3.4rem; align-items: center; gap: 8px; margin: 5px 0"
    return (
        f'<div style="{row}"><span style="overflow-wrap: anywhere">{escape(name)}</span>'
        f'<span style="{_TRACK}; background: rgba(128,128,128,0.2)">'
        f'<span style="display: block; {_TRACK}; width: {share:.1%}; background: {colour}"></span></span>'
        f'<span style="text-align: right">{share:.1%}</span></div>'
    )


def _scale(rating: float) -> str:
    """Where a rating lies between -4 and 4."""
    place = (min(max(rating, -4.0), 4.0) + 4) / 8
    ramp = f"linear-gradient(to right, {ORANGE}, rgba(128,128,128,0.25), {BLUE})"
    knob = "width: 10px; height: 24px; border-radius: 5px; background: currentColor"
    return (
        f'<div style="position: relative; {_TRACK}; margin: 10px 8px 4px; background: {ramp}">'
        f'<span style="position: absolute; left: calc({place:.1%} - 5px); top: -5px; {knob}"></span></div>'
        '<div style="display: flex; justify-content: space-between; font-size: 0.85rem; padding: 0 4px">'
        "<span>-4</span><span>0</span><span>+4</span></div>"
    )


def _put(text: str) -> None:
    st.session_state["text"] = text
