"""The pictures of a server under load as Plotly figures drawn by the browser, for the demo page.

Nothing but lines has a colour of its own, so that all is readable on a light page and on a dark one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from model_optimization.deployment.server_metrics import STAGES
from model_optimization.monitoring.drift_figures import DASHES, GREY, LEGEND, MARGIN
from model_optimization.picture_data import COLOURS
from shared.phrases import Language, phrase

Row = Mapping[str, Any]
# What each live picture shows: keys of the rows of live_load.py. Figures of one kind stand in one picture.
PICTURES: dict[str, tuple[str, ...]] = {
    "throughput": ("rate", "answered_rps", "errors_rps"),
    "latency": ("p50_ms", "p99_ms"),
    "batches": ("windows_a_batch", "waiting_tokens"),
    "stages": tuple(f"{stage}_ms" for stage in STAGES),
}
# The labels of a logarithmic axis; left to itself Plotly labels 20 as 2.
ROUND = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
SERVERS = ("naive", "unbatched", "litserve", "batched")


def timeline(rows: Sequence[Row], picture: str, limit_ms: float, language: Language) -> go.Figure:
    """One of PICTURES, by the second; stages lie on each other, since a request goes through one after the other."""
    figure = go.Figure()
    for i, measure in enumerate(PICTURES[picture]):
        figure.add_scatter(
            x=[row["second"] for row in rows],
            y=[row.get(measure) for row in rows],
            mode="lines",
            line={"color": COLOURS[i], "dash": "solid" if picture == "stages" else DASHES[i], "width": 2},
            stackgroup="stages" if picture == "stages" else None,
            yaxis="y2" if measure == "waiting_tokens" else "y",
            name=_words(f"measure.{measure}", language),
            hovertemplate="%{y:.1f}",
        )
    y: dict[str, Any] = {"rangemode": "tozero", "title": _words(f"axis.{picture}", language)}
    if picture == "latency":
        # From a millisecond to five seconds: on a scale of equal steps either end would be invisible.
        y |= {"type": "log", "tickvals": ROUND}
        figure.add_hline(limit_ms, line={"color": GREY, "dash": "dot"})
    if picture == "batches":
        y2 = {"overlaying": "y", "side": "right", "rangemode": "tozero", "tickmode": "auto", "showgrid": False}
        figure.update_layout(yaxis2={**y2, "title": _words("axis.waiting", language)})
    return figure.update_layout(
        xaxis={"title": _words("axis.second", language), "rangemode": "tozero"},
        yaxis=y,
        legend=LEGEND,
        showlegend=True,
        hovermode="x unified",
        height=300,
        margin=MARGIN,
    )


def curves(rows: Sequence[Row], limit_ms: float, language: Language) -> go.Figure:
    """The benchmark's measurements: latency by the load, a curve a server; where it leaves the picture it gives way."""
    figure = go.Figure()
    for i, (server, points) in enumerate(by_server(rows).items()):
        figure.add_scatter(
            x=[row["rate"] for row in points],
            y=[row["p99_ms"] for row in points],
            mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i], "width": 2},
            name=_words(f"server.{server}", language),
        )
    figure.add_hline(limit_ms, line={"color": GREY, "dash": "dot"})
    y = {"type": "log", "tickvals": ROUND, "title": _words("axis.p99", language)}
    x = {"type": "log", "tickvals": ROUND, "title": _words("axis.rate", language)}
    return figure.update_layout(xaxis=x, yaxis=y, legend=LEGEND, showlegend=True, height=380, margin=MARGIN)


def by_server(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The measurements of each server by rising load: the better of two at the same load, as the search takes it."""
    found: dict[str, list[Row]] = {}
    for server in SERVERS:
        best: dict[float, Row] = {}
        for row in rows:
            if row["server"] == server and row["p99_ms"] is not None:
                rate = row["rate"]
                if rate not in best or row["p99_ms"] < best[rate]["p99_ms"]:
                    best[rate] = row
        if best:
            found[server] = [best[rate] for rate in sorted(best)]
    return found


def _words(key: str, language: Language) -> str:
    return phrase(f"optimization.load.{key}", language)
