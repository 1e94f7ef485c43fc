"""The demo page's fourth part: two texts, nobody knows who wrote which, and three buttons."""

from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from gpt_text_generation.evaluation.human_evaluation import STORE, as_csv, summarise
from gpt_text_generation.evaluation.samples import Sample
from gpt_text_generation.evaluation.vote_store import LONGEST_NAME, Shown, VoteStore, rater_name
from gpt_text_generation.page_model import Page
from shared.errors import UserError
from shared.page import chart

BLUE = "#2a78d6"
LONGEST_REASON = 500  # characters
RESAMPLES = 200  # the page waits for them

_TEXT = "font-size: 1.02rem; line-height: 1.7; white-space: pre-wrap; overflow-wrap: anywhere"


def show(page: Page) -> None:
    say = page.say
    st.markdown(say("vote_lead"))
    try:
        file = Path(STORE).absolute()
        if not file.exists():  # removed while the page was open
            _open.clear()
        store = _open(str(file))
        _take_over(page, store)
        rater = st.text_input(say("rater"), key="rater", max_chars=LONGEST_NAME)
        if not rater.strip():
            st.info(say("rater_needed"))
        else:
            _ask(page, store, rater_name(rater))
        _results(page, store)
    except UserError as error:
        st.error(say("fault", reason=error))


@st.cache_resource(max_entries=1, show_spinner=False)
def _open(file: str) -> VoteStore:
    return VoteStore(file)


def _take_over(page: Page, store: VoteStore) -> None:
    """Pairs of what the strategies wrote on the first tab."""
    written = st.session_state.get("written", {})
    if len(written) < 2:
        return
    if st.button(page.say("take_over", n=len(written)), key="take-over"):
        samples = [Sample(each.text, each.beginning, name) for name, each in written.items() if each.text.strip()]
        st.toast(page.say("taken_over", n=store.add(samples)))


def _ask(page: Page, store: VoteStore, rater: str) -> None:
    say = page.say
    done, n = store.progress(rater)
    if not n:
        st.info(say("no_pairs"))
        st.code("python -m gpt_text_generation.evaluation.human_evaluation add --file texts.jsonl", language="bash")
        return
    st.progress(done / n, say("vote_progress", done=done, n=n))
    shown = store.next_pair(rater)
    if shown is None:
        st.success(say("vote_finished"))
        return
    if shown.prompt.strip():
        st.caption(say("vote_prompt"))
        st.html(f'<div style="{_TEXT}">{escape(shown.prompt)}</div>')
    for number, (column, text) in enumerate(zip(st.columns(2, gap="medium"), shown.texts, strict=True), start=1):
        with column.container(border=True, height="stretch"):
            st.markdown(f"**{say('vote_text', number=number)}**")
            st.html(f'<div style="{_TEXT}">{escape(text)}</div>')
    st.text_input(say("reason"), key=f"reason-{shown.pair}", max_chars=LONGEST_REASON)
    for column, better in zip(st.columns(3), ("first", "tie", "second"), strict=True):
        column.button(
            say(f"better.{better}"),
            key=f"vote-{better}",
            width="stretch",
            on_click=_vote,
            args=(store, rater, shown, better),
        )


def _vote(store: VoteStore, rater: str, shown: Shown, better: Any) -> None:
    store.vote(rater, shown.pair, better, st.session_state.get(f"reason-{shown.pair}", ""))


def _results(page: Page, store: VoteStore) -> None:
    """Behind a switch: who has seen which source wins no longer votes blindly."""
    say = page.say
    votes = store.votes()
    if not votes or not st.toggle(say("show_results"), key="show-results"):
        return
    found = summarise(votes, RESAMPLES)
    chart(_strengths(found["rows"], say("strength_axis")), "strengths")
    agreed = "–" if found["alpha"] is None else f"{found['alpha']:.2f}"
    counts = {name: found[f"n_{name}"] for name in ("votes", "pairs", "raters")}
    st.caption(say("vote_facts", **counts, tied=f"{found['share_tied']:.0%}", alpha=agreed))
    if found["decided"]:
        p = f"{found['first_won_p']:.2g}"
        st.caption(say("first_place", won=found["first_won"], decided=found["decided"], p=p))
    st.download_button(say("download_votes"), as_csv(votes), "votes.csv", "text/csv", key="votes-file")


def _strengths(rows: list[dict], axis: str) -> go.Figure:
    """Each source's log strength with its interval, the strongest on top."""
    rows = rows[::-1]
    strength = [row["log_strength"] for row in rows]
    above = [row["high"] - row["log_strength"] for row in rows]
    below = [row["log_strength"] - row["low"] for row in rows]
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    figure = go.Figure(
        go.Scatter(x=strength, y=[row["source"] for row in rows], mode="markers", error_x=bars, marker={"color": BLUE})
    )
    return figure.update_layout(
        xaxis_title=axis, height=120 + 40 * len(rows), margin={"t": 20, "b": 40, "l": 10, "r": 10}
    )
