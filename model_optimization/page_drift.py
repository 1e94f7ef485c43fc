"""The demo page's third part: a window of film reviews into which other texts are mixed, and what the monitor says.

Everything comes from readings that ship with the project, so that it answers at once: make_shipped.py made them.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from model_optimization.config import PROJECT, REFERENCE
from model_optimization.monitoring.make_shipped import SHIFTS
from model_optimization.page_ship import Say
from shared.errors import UserError
from shared.page import chart, choice_key
from shared.phrases import Language, phrase

if TYPE_CHECKING:
    from model_optimization.monitoring.readings import Readings
    from model_optimization.monitoring.verdict import Verdict

SHIPPED = Path(REFERENCE).parent
SIZES = (50, 100, 200)
ALPHA = 0.05
RESULTS = Path(__file__).with_name("results") / "drift.json"
WATCHING = f"python -m {PROJECT}.monitoring.drift_detection --file texts.csv"


def show(language: Language, say: Say) -> None:
    st.markdown(say("drift.lead"))
    try:
        samples = load_samples()
    except UserError as error:
        st.error(say("fault", reason=error))
        return
    monitor(samples, language, say)
    st.markdown(say("drift.own"))
    st.code(WATCHING, language="bash", wrap_lines=True)


@st.cache_resource(show_spinner=False)
def load_samples() -> "dict[str, Readings]":
    """The reference, reviews that are not in it, and what can be mixed in. Raises UserError where one is damaged."""
    from model_optimization.monitoring.readings import load

    return {name: load(SHIPPED / name)[0] for name in ("reference", "reviews", *SHIFTS)}


# A fragment: the slider runs this part again, and not the rest of the page.
@st.fragment
def monitor(samples: "dict[str, Readings]", language: Language, say: Say) -> None:
    kinds = {kind: phrase(f"optimization.drift.kind.{kind}", language) for kind in SHIFTS}
    with st.container(horizontal=True, gap="large", vertical_alignment="bottom"):
        key = choice_key("optimization_drift_kind")
        kind = st.radio(say("drift.kind"), SHIFTS, format_func=kinds.get, horizontal=True, key=key)
        size = st.radio(say("drift.size"), SIZES, index=2, horizontal=True, key="optimization_drift_size")
        draw = st.session_state.setdefault("optimization_drift_draw", 0)
        if st.button(say("drift.again"), key="optimization_drift_again"):
            draw = st.session_state["optimization_drift_draw"] = draw + 1
    percent = st.slider(say("drift.share"), 0, 100, 20, 5, key="optimization_drift_share")
    window = mix(samples["reviews"], samples[kind], size, percent / 100, draw)
    verdict = _judge(samples["reference"], window, (SHIFTS.index(kind), size, percent, draw))
    _show_verdict(verdict, samples["reference"], window, language, say)
    _show_pictures(verdict, samples["reference"], window, language, say)


def mix(reviews: "Readings", others: "Readings", size: int, share: float, draw: int) -> "Readings":
    """A window of so many texts, a share of them drawn from the others, the rest from reviews, each text once."""
    from model_optimization.monitoring.readings import join

    random, n_others = np.random.default_rng(draw), round(share * size)
    return join(
        reviews[random.permutation(len(reviews))[: size - n_others]],
        others[random.permutation(len(others))[:n_others]],
    )


# Streamlit leaves arguments that begin with an underscore out of a cache's key; `settings` stand for the window.
@st.cache_data(max_entries=500, show_spinner=False)
def _judge(_reference: "Readings", _window: "Readings", settings: tuple[int, ...]) -> "Verdict":
    from model_optimization.monitoring.verdict import judge

    return judge(_reference, _window, ALPHA, seed=settings)


def _show_verdict(verdict: "Verdict", reference: "Readings", window: "Readings", language: Language, say: Say) -> None:
    from model_optimization.monitoring.drift_figures import test_names

    if verdict.drift:
        st.warning(say("drift.alarm", tests=test_names(verdict.because, language)))
    else:
        st.success(say("drift.quiet"))
    numbers = {
        "estimated": (verdict.estimated_accuracy, {}),
        "true": (window.right.mean(), {}),
        "on_reference": (reference.right.mean(), {"n": f"{len(reference):,}"}),
    }
    with st.container(horizontal=True, gap="large"):
        for name, (value, values) in numbers.items():
            how = say(f"drift.{name}_how", **values)
            st.metric(say(f"drift.{name}"), f"{value:.1%}", how, delta_color="off", delta_arrow="off", width="content")

    def column(name: str) -> str:
        return say(f"drift.column.{name}")

    rows: list[dict[str, Any]] = [
        {
            column("test"): test_names([name], language),
            column("statistic"): test.statistic,
            column("p"): f"{test.p:.2g}",
            column("adjusted"): f"{verdict.adjusted[name]:.2g}",
            column("speaks"): name in verdict.because,
        }
        for name, test in verdict.tests.items()
    ]
    formats = {column("statistic"): st.column_config.NumberColumn(format="%.4f")}
    st.dataframe(rows, hide_index=True, column_config=formats, height="content", key="optimization_drift_table")
    st.caption(say("drift.adjusted_why", alpha=f"{ALPHA:g}"))


def _show_pictures(verdict: "Verdict", reference: "Readings", window: "Readings", language: Language, say: Say) -> None:
    from model_optimization.monitoring import drift_figures as figures

    for place, measure in zip(st.columns(2), ("score", "length"), strict=True):
        values = (getattr(reference, f"{measure}s"), getattr(window, f"{measure}s"))
        with place:
            chart(figures.histograms(*values, measure, language), f"optimization_drift_{measure}")
    mmd = verdict.tests["mmd"]
    assert mmd.null is not None  # it is a test by permutation
    chart(figures.null_distribution(mmd.null, mmd.statistic, language), "optimization_drift_mmd")
    st.caption(say("drift.null"))
    if (measured := read_results()) is not None:
        curves = {kind: measured["power_by_share"][kind] for kind in SHIFTS}
        chart(figures.power(curves, language), "optimization_drift_power")
        rate = f"{measured['false_alarm_rate']:.1%}"
        st.caption(say("drift.power", window=measured["window"], rate=rate, n=f"{measured['n_windows']:,}"))


def read_results() -> dict[str, Any] | None:
    """What the benchmark measured, where that is there and whole."""
    try:
        found = json.loads(RESULTS.read_text(encoding="utf-8"))["result"]
        wanted = ("false_alarm_rate", "n_windows", "window")
        whole = all(isinstance(found[key], int | float) for key in wanted) and all(
            found["power_by_share"][k] for k in SHIFTS
        )
        return found if whole else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
