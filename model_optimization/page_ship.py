"""The demo page's first part: what each method costs and gains, and which one to ship."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from model_optimization.config import PROJECT
from model_optimization.figures import measure_name, pareto, shown
from model_optimization.measurement import BASELINE
from model_optimization.optimize import OptimizeConfig, recommend
from model_optimization.picture_data import AXES, Row
from shared.page import chart, choice_key
from shared.phrases import Language, has_phrase, phrase

RESULTS = Path(__file__).with_name("results") / "compress.json"
MEASURING = f"python -m {PROJECT}.optimize"
CHART, CHOSEN = "optimization_pareto", "optimization_method"  # in the session: no other visitor sees them

# What a row must hold, in the order of the table, with the format of a number; shares are shown in percent.
COLUMNS = {
    "method": None,
    "ships": None,
    "accuracy": "%.1f%%",
    "size_mb": "%.1f",
    "p50_ms": "%.2f",
    "texts_per_s": "%.0f",
    "speed_up": "%.2f",
    "loss": "%.2f",
    "loss_bound": "%.2f",
    "p95_ms": "%.2f",
    "peak_mb": "%.0f",
    "accuracy_ci": None,
}
SHARES = ("accuracy", "loss", "loss_bound")

Say = Callable[..., str]


def show(language: Language, say: Say) -> None:
    found = newest_rows()
    if found is None:
        st.info(say("no_rows"))
        st.code(MEASURING, language="bash", wrap_lines=True)
        return
    file, rows = found
    st.markdown(say("ship_lead", limit=f"{100 * OptimizeConfig.most_lost:g}"))
    best = recommend(rows)  # type: ignore[arg-type]
    _show_recommended(best, rows, language, say)
    with st.container(horizontal=True, gap="large"):
        batches = sorted({row["batch"] for row in rows})
        batch = st.radio(say("batch"), batches, horizontal=True, key="optimization_batch")
        naming = {axis: measure_name(axis, language) for axis in AXES}
        axis = st.radio(say("axis"), AXES, format_func=naming.get, horizontal=True, key=choice_key("optimization_axis"))
    chart(pareto(rows, axis, batch, language), CHART, on_select=remember_click, selection_mode="points")
    here = {row["method"]: row for row in rows if row["batch"] == batch}
    chosen = st.session_state.get(CHOSEN)
    if chosen not in here:
        st.caption(say("click"))
        chosen = best.get("one_text", next(iter(here)))
    with st.container(border=True):
        st.markdown(f"#### `{chosen}`")
        st.markdown("\n".join(f"- {sentence}" for sentence in in_words(here[chosen], language, say)))
    st.subheader(say("all_rows", batch=batch))
    _show_table([row for row in rows if row["batch"] == batch], language)
    st.caption(say("rows_from", file="/".join(file.parts[-3 if file == RESULTS else -4 :])))


def newest_rows() -> tuple[Path, list[Row]] | None:
    """The newest whole table, of the benchmark or of an `optimize` below the current folder."""
    files = [file for file in (RESULTS, *Path("runs", PROJECT).glob("*/table.json")) if file.is_file()]
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        if rows := read_rows(file):
            return file, rows
    return None


def read_rows(file: Path) -> list[Row]:
    """The rows of a table; none where the file is damaged or holds other ones."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
        return rows if all({*COLUMNS, "batch"} <= row.keys() for row in rows) else []
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []


def remember_click() -> None:
    """Keep the method of the point that was clicked; a click beside all of them changes nothing."""
    points = st.session_state[CHART]["selection"]["points"]
    if points:
        st.session_state[CHOSEN] = points[0]["customdata"]


def in_words(row: Row, language: Language, say: Say) -> list[str]:
    """A row as sentences: what the method is, what it loses, how quick it is, and how large."""
    method, value = row["method"], {measure: shown(measure, each, language) for measure, each in row.items()}
    low, high = (f"{end:.1%}" for end in row["accuracy_ci"])
    sentences = [say("words.accuracy", accuracy=value["accuracy"], low=low, high=high)]
    if method != BASELINE:
        change = "gained" if row["loss"] < 0 else "lost"
        points = shown("loss", abs(row["loss"]), language)
        sentences.append(say(f"words.{change}", baseline=BASELINE, points=points, bound=value["loss_bound"]))
    sentences.append(say("words.passes" if row["ships"] else "words.fails"))
    numbers = {"p50": value["p50_ms"], "p95": value["p95_ms"], "n": value["texts_per_s"]}
    sentences.append(say("words.speed", batch=row["batch"], **numbers))
    if method != BASELINE:
        sentences.append(say("words.speed_up", baseline=BASELINE, times=value["speed_up"]))
    sentences.append(say("words.size", size=value["size_mb"], memory=value["peak_mb"]))
    key = f"optimization.method.{method}"
    return [phrase(key, language), *sentences] if has_phrase(key) else sentences


def _show_recommended(best: Mapping[str, str], rows: Sequence[Row], language: Language, say: Say) -> None:
    if not best:
        st.warning(say("none_ships"))
        return
    by_name = {(row["method"], row["batch"]): row for row in rows}
    purposes = {"one_text": (1, "p50_ms"), "many_texts": (16, "texts_per_s"), "smallest": (1, "size_mb")}
    with st.container(horizontal=True, gap="large"):
        for purpose, method in best.items():
            batch, measure = purposes[purpose]
            value = shown(measure, by_name[method, batch][measure], language)
            unit = say(f"by.{measure}", value=value)
            st.metric(say(purpose), method, unit, delta_color="off", delta_arrow="off", width="content")


def _show_table(rows: Sequence[Row], language: Language) -> None:
    """The rows, as numbers where there are any, so that a click on a heading sorts by them; the name stays in sight."""
    names = {measure: measure_name(measure, language) for measure in COLUMNS}

    def cell(row: Row, measure: str) -> Any:
        if measure == "accuracy_ci":
            return shown(measure, row[measure], language)
        return 100 * row[measure] if measure in SHARES else row[measure]

    table = [{name: cell(row, measure) for measure, name in names.items()} for row in rows]
    formats = {names[measure]: st.column_config.NumberColumn(format=form) for measure, form in COLUMNS.items() if form}
    formats[names["method"]] = st.column_config.TextColumn(pinned=True)
    st.dataframe(table, hide_index=True, column_config=formats, height="content", key="optimization_table")
