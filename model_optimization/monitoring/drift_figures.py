"""The pictures of drift as Plotly figures drawn by the browser, for the report and the demo page.

Nothing but points, bars and lines has a colour of its own, so that all is readable on a light page and on a dark one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from model_optimization.picture_data import BLUE, COLOURS, ORANGE
from shared.phrases import Language, phrase

GREY = "rgba(128,128,128,0.9)"
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"]
FLOOR = 1e-4  # smaller p-values are drawn here
TICKS = [0.0001, 0.001, 0.01, 0.1, 1]
MARGIN = {"t": 45, "b": 55, "l": 65, "r": 20}
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}

Line = Mapping[str, Any]  # of windows.jsonl


def p_values(lines: Sequence[Line], alpha: float, language: Language) -> go.Figure:
    """Adjusted p-value of each test by window; what lies below the dotted line is drift."""
    figure = go.Figure()
    for i, test in enumerate(lines[0]["adjusted_p"]):
        values = [line["adjusted_p"][test] for line in lines]
        figure.add_scatter(
            x=[line["window"] for line in lines],
            y=[max(value, FLOOR) for value in values],
            mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i], "width": 2},
            name=_words(f"test.{test}", language),
            hovertext=[f"{_words(f'test.{test}', language)}: p = {value:.2g}" for value in values],
            hoverinfo="text",
        )
    figure.add_hline(alpha, line={"color": GREY, "dash": "dot"})
    y = {"type": "log", "range": [np.log10(FLOOR) - 0.2, 0.1], "title": _words("axis.p", language)}
    y |= {"tickvals": TICKS, "ticktext": [f"{tick:g}" for tick in TICKS]}
    return figure.update_layout(
        xaxis=_windows(lines, language), yaxis=y, legend=LEGEND, showlegend=True, height=420, margin=MARGIN
    )


def accuracies(lines: Sequence[Line], reference: float | None, language: Language) -> go.Figure:
    """Estimated accuracy by window, the true one where it is known, and the reference's as a dotted line."""
    figure = go.Figure()
    for measure, colour, dash in (("estimated_accuracy", BLUE, "solid"), ("accuracy", ORANGE, "dash")):
        known = [line for line in lines if line[measure] is not None]
        if known:
            figure.add_scatter(
                x=[line["window"] for line in known],
                y=[line[measure] for line in known],
                mode="lines+markers",
                line={"color": colour, "dash": dash, "width": 2},
                name=_words(measure, language),
            )
    if reference is not None:
        words = _words("reference_accuracy", language)
        figure.add_hline(reference, line={"color": GREY, "dash": "dot"}, annotation_text=words)
    y = {"tickformat": ".0%", "title": _words("axis.accuracy", language)}
    return figure.update_layout(
        xaxis=_windows(lines, language), yaxis=y, legend=LEGEND, showlegend=True, height=380, margin=MARGIN
    )


def tenths_map(lines: Sequence[Line], measure: str, language: Language) -> go.Figure:
    """How a window's scores or lengths fill the reference's tenths, which without drift would all be as full."""
    table = np.array([line[f"{measure}_shares"] for line in lines]).T  # (bins, windows)
    figure = go.Figure(
        go.Heatmap(
            x=[line["window"] for line in lines],
            y=list(range(1, len(table) + 1)),
            z=table,
            zmin=0,
            zmax=max(0.2, float(table.max())),
            colorscale=[[0, "#f7fbff"], [0.5, "#6baed6"], [1, "#08306b"]],
            colorbar={"tickformat": ".0%"},
            hovertemplate="%{x}: %{z:.1%}<extra></extra>",
        )
    )
    y = {"title": _words(f"axis.{measure}_tenth", language), "dtick": 1}
    return figure.update_layout(xaxis=_windows(lines, language), yaxis=y, height=320, margin=MARGIN)


def histograms(reference: np.ndarray, window: np.ndarray, axis: str, language: Language) -> go.Figure:
    """The share of texts by score or length, of reference and window, each longest tail drawn in the last bar."""
    top = float(np.quantile(np.concatenate([reference, window]), 0.99))
    edges = np.linspace(0, 1 if axis == "score" else top, 21)
    figure = go.Figure()
    for values, name, colour in ((reference, "reference", BLUE), (window, "window", ORANGE)):
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        figure.add_bar(
            x=(edges[1:] + edges[:-1]) / 2, y=counts / len(values), name=_words(name, language), marker_color=colour
        )
    y = {"tickformat": ".0%", "title": _words("axis.share", language)}
    return figure.update_layout(
        xaxis={"title": _words(f"axis.{axis}", language)}, yaxis=y, legend=LEGEND, bargap=0.1, height=320, margin=MARGIN
    )


def null_distribution(null: np.ndarray, observed: float, language: Language) -> go.Figure:
    """The discrepancy of random splits (S,), which hold no drift, and that of the true one."""
    counts, edges = np.histogram(null, 30)
    figure = go.Figure(
        go.Bar(x=(edges[1:] + edges[:-1]) / 2, y=counts, marker_color=BLUE, name=_words("null", language))
    )
    # A line within the legend, where a shape would have no place.
    figure.add_scatter(
        x=[observed, observed],
        y=[0, int(counts.max())],
        mode="lines",
        line={"color": ORANGE, "width": 4},
        name=_words("observed", language),
    )
    low, high = min(null.min(), observed), max(null.max(), observed)
    room = [low - 0.05 * (high - low), high + 0.05 * (high - low)]
    axes = {
        "xaxis": {"range": room, "title": _words("axis.mmd", language)},
        "yaxis": {"title": _words("axis.splits", language)},
    }
    return figure.update_layout(**axes, legend=LEGEND, bargap=0.05, showlegend=True, height=320, margin=MARGIN)


def power(curves: Mapping[str, Mapping[str, float]], language: Language) -> go.Figure:
    """The share of windows with an alarm, by the share of other texts in them; a curve a kind of texts."""
    figure = go.Figure()
    for i, (kind, curve) in enumerate(curves.items()):
        figure.add_scatter(
            x=[float(share) for share in curve],
            y=list(curve.values()),
            mode="lines+markers",
            line={"color": COLOURS[i], "dash": DASHES[i], "width": 2.5},
            name=_words(f"kind.{kind}", language),
        )
    x = {"tickformat": ".0%", "title": _words("axis.mixed", language)}
    y = {"tickformat": ".0%", "range": [-0.03, 1.05], "title": _words("axis.alarms", language)}
    return figure.update_layout(xaxis=x, yaxis=y, legend=LEGEND, showlegend=True, height=380, margin=MARGIN)


def test_names(tests: Sequence[str], language: Language) -> str:
    """The tests in words, as a list within a sentence."""
    return {"en": ", ", "zh": "、"}[language].join(_words(f"test.{test}", language) for test in tests)


def _windows(lines: Sequence[Line], language: Language) -> dict[str, Any]:
    return {"title": _words("axis.window", language), "tick0": 1, "dtick": max(1, round(len(lines) / 10))}


def _words(key: str, language: Language) -> str:
    return phrase(f"optimization.drift.{key}", language)
