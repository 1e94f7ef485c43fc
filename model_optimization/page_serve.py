"""The demo page's third part: a server under load that the visitor sets, second by second.

monitoring/live_load.py, a process of its own, starts the server, sends the load and writes a line a second to a file;
the page writes the wished rate to its standard input at every look, which is also the sign that somebody looks.
"""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import streamlit as st

from model_optimization.config import PROJECT
from model_optimization.monitoring.live_load import WINDOW_S, LiveConfig
from model_optimization.page_ship import Say
from shared.config import build
from shared.errors import UserError
from shared.page import chart, choice_key
from shared.phrases import Language

RATES = (5, 10, 20, 50, 100, 150, 200, 300, 400, 600, 800, 1000)
WAYS = ("batched", "alone")
LIMIT_MS = 100.0
RESULTS = Path(__file__).with_name("results") / "serve.json"
SERVING = f"python -m {PROJECT}.deployment.fastapi_server"
PROGRAM = [sys.executable, "-m", f"{PROJECT}.monitoring.live_load"]
LOADING = f"python -m {PROJECT}.monitoring.performance_metrics --url http://127.0.0.1:8000 --search true"

# In the session: what runs, why the last one ended, its rows, and the newest row of each way and rate so far.
LIVE, FAULT, ROWS, KEPT = (f"optimization_serve_{name}" for name in ("live", "fault", "rows", "kept"))
METRICS = ("answered_rps", "p50_ms", "p99_ms", "windows_a_batch", "waiting_tokens", "errors")
COLUMNS = {
    "rate": "%d",
    "answered_rps": "%.1f",
    "p50_ms": "%.1f",
    "p99_ms": "%.1f",
    "errors": "%d",
    "windows_a_batch": "%.1f",
    "computed_ms": "%.1f",
}


class Live:
    """A server under load: a process, and the file that it writes to."""

    def __init__(self, way: str, rate: float, url: str | None) -> None:
        """Raises UserError for an address that may not be loaded."""
        build(LiveConfig, {"url": url, "rate": rate})
        self.way = "url" if url else way
        flags = [f"--rate={rate}", f"--url={url}"] if url else [f"--rate={rate}", f"--batched={way == 'batched'}"]
        self.told, self.complained = tempfile.TemporaryFile("w+b"), tempfile.TemporaryFile("w+b")
        # In a session of its own, so that a Ctrl-C ends the page alone, and the page's end ends the process.
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": self.told, "stderr": self.complained}
        self.process = subprocess.Popen([*PROGRAM, *flags], **streams, start_new_session=True)
        assert self.process.stdin is not None  # it is a pipe
        self.wishes = self.process.stdin

    def alive(self) -> bool:
        return self.process.poll() is None

    def wish(self, rate: float) -> None:
        """The rate from now on; it also says that somebody looks."""
        with suppress(OSError, ValueError):  # it has just ended, or was told to
            os.write(self.wishes.fileno(), f"{rate}\n".encode())

    def stop(self) -> None:
        """Let it end its server and then itself, which takes a moment; does not wait for that."""
        self.wishes.close()

    def stopping(self) -> bool:
        return self.wishes.closed

    def rows(self) -> list[dict[str, Any]]:
        """A row for each second so far."""
        size = os.fstat(self.told.fileno()).st_size
        lines = os.pread(self.told.fileno(), size, 0).splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def fault(self) -> str | None:
        """Why it ended, where that was not as it should be."""
        if not self.process.returncode:
            return None
        lines = os.pread(self.complained.fileno(), 100_000, 0).decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("error: ") if lines else f"exit code {self.process.returncode}"


# Two at once would share the cores and measure each other: there is one for all visitors of this page's process.
ONE_AT_A_TIME = Lock()
_newest: list[Live] = []


def begin(way: str, rate: float, url: str | None) -> Live | None:
    """A new one; None while another visitor's runs. Raises UserError for an address that may not be loaded."""
    with ONE_AT_A_TIME:
        for live in _newest:
            if live.stopping():
                with suppress(subprocess.TimeoutExpired):
                    live.process.wait(30)
            if live.alive():
                return None
        _newest[:] = [Live(way, rate, url)]
        return _newest[0]


def show(language: Language, say: Say) -> None:
    st.markdown(say("serve.lead", limit=f"{LIMIT_MS:g}"))
    # A fragment: while a server runs this part is drawn anew every second, and the rest of the page is not.
    st.fragment(panel, run_every=1.0 if LIVE in st.session_state else None)(language, say)
    st.markdown(say("serve.own"))
    st.code(f"{SERVING}\n{LOADING}", language="bash", wrap_lines=True)


def panel(language: Language, say: Say) -> None:
    live: Live | None = st.session_state.get(LIVE)
    rate = controls(live is not None, say)
    if live is not None:
        live.wish(rate)
        follow(live)
        if not live.alive() or live.stopping():
            del st.session_state[LIVE]
            st.session_state[FAULT] = None if live.stopping() else live.fault()
            st.rerun()
    if fault := st.session_state.get(FAULT):
        st.error(say("fault", reason=fault))
    rows = st.session_state.get(ROWS)
    if rows:
        show_numbers(rows[-1], say)
        show_pictures(rows, language, say)
        show_kept(st.session_state[KEPT], say)
    elif live is not None:
        st.info(say("serve.starting"))
    show_measured(language, say)


def controls(runs: bool, say: Say) -> float:
    """What to serve and at which rate, and a button to begin or to end. Gives the rate."""
    with st.container(horizontal=True, gap="large", vertical_alignment="bottom"):
        names = {way: say(f"serve.way.{way}") for way in WAYS}
        chosen = {"horizontal": True, "key": choice_key("optimization_serve_way"), "disabled": runs}
        way = st.radio(say("serve.way"), WAYS, format_func=names.get, **chosen)
        given = {"key": "optimization_serve_url", "placeholder": say("serve.no_url"), "disabled": runs}
        url = st.text_input(say("serve.url"), **given).strip()
    rate = st.select_slider(say("serve.rate"), RATES, 50, key="optimization_serve_rate")
    if runs:
        st.button(say("serve.stop"), key="optimization_serve_stop", on_click=st.session_state[LIVE].stop)
    elif st.button(say("serve.start"), key="optimization_serve_start", type="primary"):
        try:
            live = begin(way, rate, url or None)
        except UserError as error:
            st.session_state[FAULT] = str(error)
            return rate
        if live is None:
            st.warning(say("serve.busy"))
            return rate
        st.session_state.update({LIVE: live, ROWS: [], FAULT: None})
        st.rerun()
    return rate


def follow(live: Live) -> None:
    """Take over its rows, and keep the newest of each rate, once no number in it tells of the rate before."""
    rows, kept = live.rows(), st.session_state.setdefault(KEPT, {})
    for i in range(WINDOW_S, len(rows)):
        if len({row["rate"] for row in rows[i - WINDOW_S : i + 1]}) == 1:
            kept[live.way, rows[i]["rate"]] = rows[i]
    st.session_state[ROWS] = rows


def show_numbers(row: dict[str, Any], say: Say) -> None:
    with st.container(horizontal=True, gap="large"):
        for measure in METRICS:
            value = row.get(measure)
            whole = isinstance(value, int) or (value or 0) >= 100
            shown = "–" if value is None else f"{value:,.0f}" if whole else f"{value:.1f}"
            st.metric(say(f"serve.{measure}"), shown, width="content")
    faults = [f"{status} × {n}" for status, n in row["by_status"].items() if status != "200"]
    if faults:
        st.caption(say("serve.faults", faults=", ".join(faults)))


def show_pictures(rows: list[dict[str, Any]], language: Language, say: Say) -> None:
    from model_optimization.monitoring.load_figures import PICTURES, timeline

    places = [place for _ in range(2) for place in st.columns(2)]
    for place, picture in zip(places, PICTURES, strict=True):
        with place:
            chart(timeline(rows, picture, LIMIT_MS, language), f"optimization_serve_{picture}")
    st.caption(say("serve.pictures", limit=f"{LIMIT_MS:g}"))


def show_kept(kept: dict[tuple[str, float], dict[str, Any]], say: Say) -> None:
    """The two ways beside each other, at each rate that was held long enough."""
    if not kept:
        return
    names = {measure: say(f"serve.{measure}") for measure in COLUMNS}
    rows = [
        {say("serve.way"): say(f"serve.way.{way}"), **{name: row.get(measure) for measure, name in names.items()}}
        for (way, _), row in sorted(kept.items(), key=lambda item: (item[0][1], item[0][0]))
    ]
    st.markdown(say("serve.kept"))
    formats = {names[measure]: st.column_config.NumberColumn(format=form) for measure, form in COLUMNS.items()}
    st.dataframe(rows, hide_index=True, column_config=formats, height="content", key="optimization_serve_table")


def show_measured(language: Language, say: Say) -> None:
    """What the benchmark measured, where it did."""
    from model_optimization.monitoring.load_figures import curves

    if (rows := read_results()) is not None:
        chart(curves(rows, LIMIT_MS, language), "optimization_serve_curves")
        st.caption(say("serve.curves", limit=f"{LIMIT_MS:g}"))


def read_results() -> list[dict[str, Any]] | None:
    """The benchmark's measurements, where they are there and whole."""
    try:
        rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
        whole = rows and all({"server", "rate", "p99_ms"} <= row.keys() for row in rows)
        return rows if whole else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
