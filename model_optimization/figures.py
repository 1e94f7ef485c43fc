"""The pictures as Plotly figures drawn by the browser, for the report and the demo page.

png_figures.py draws the first of them from the same numbers for the README. Nothing but points and lines has a colour
of its own, so that all is readable on a light page and on a dark one.
"""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from model_optimization.measurement import BASELINE
from model_optimization.picture_data import BLUE, COLOURS, ORANGE, Axis, Row, frontier, name_places, ranges, ticks
from shared.phrases import Language, has_phrase, phrase

GREY = "rgba(128,128,128,0.9)"
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"]
HEIGHT, MARGIN = 560, {"t": 50, "b": 60, "l": 70, "r": 15}
WIDTH = 720  # pixels of the drawing on a page of 1280; on a wider one the names have more room
LETTER = (6.7, 15.0)


def pareto(rows: Sequence[Row], axis: Axis, batch: int, language: Language) -> go.Figure:
    """Accuracy with its 95 % interval against what it costs, a point a method, of the rows of this batch size.

    A filled point passes the gate; the line has those on it that no other beats on both sides. The `customdata` of a
    point is its method.
    """
    rows = [row for row in rows if row["batch"] == batch]
    best = frontier(rows, axis)
    figure = go.Figure()
    figure.add_scatter(
        x=[row[axis] for row in best],
        y=[row["accuracy"] for row in best],
        mode="lines",
        line={"color": GREY, "width": 2, "shape": "hv"},  # there is nothing between two methods
        name=phrase("optimization.frontier", language),
        hoverinfo="skip",
    )
    others = [row for row in rows if row["method"] != BASELINE]
    kinds = [
        ("baseline", [row for row in rows if row["method"] == BASELINE], BLUE, "star-diamond"),
        ("passes", [row for row in others if row["ships"]], BLUE, "circle"),
        ("fails", [row for row in others if not row["ships"]], ORANGE, "circle-open"),
    ]
    for kind, chosen, colour, symbol in kinds:
        if chosen:
            name = phrase(f"optimization.kind.{kind}", language, baseline=BASELINE)
            figure.add_scatter(**_points(chosen, axis, colour, symbol, language), name=name)
    size = (WIDTH, HEIGHT - MARGIN["t"] - MARGIN["b"])
    x, y = ranges(rows, axis)
    for row, place in zip(rows, name_places(rows, axis, size, LETTER), strict=True):
        figure.add_annotation(_name(row, axis, *place))
    return figure.update_layout(
        xaxis={"type": "log", "range": x, "tickvals": ticks(*x), "title": measure_name(axis, language)},
        yaxis={"range": y, "tickformat": ".1~%", "title": measure_name("accuracy", language)},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        showlegend=True,
        hovermode="closest",
        height=HEIGHT,
        margin=MARGIN,
    )


def sensitivity(rows: Sequence[Row], language: Language) -> go.Figure:
    """Accuracy by the share of weights at zero: a line a layer that was pruned alone, or one for all together."""
    together, n = phrase("optimization.all_layers", language), len(COLOURS)
    figure = go.Figure()
    for i, layer in enumerate(dict.fromkeys(row.get("layer") for row in rows)):
        chosen = [row for row in rows if row.get("layer") == layer]
        figure.add_scatter(
            x=[row["sparsity"] for row in chosen],
            y=[row["accuracy"] for row in chosen],
            mode="lines+markers",
            # Another dash at each colour's return: no two of 36 layers look alike.
            line={"color": COLOURS[i % n], "dash": DASHES[(i + i // n) % n], "width": 2.5},
            marker={"size": 7},
            name=together if layer is None else phrase("optimization.layer", language, layer=layer),
            hovertext=[_hover(row, language) for row in chosen],
            hoverinfo="text",
        )
    return figure.update_layout(
        xaxis={"tickformat": ".0%", "title": measure_name("sparsity", language)},
        yaxis={"tickformat": ".1~%", "title": measure_name("accuracy", language)},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        showlegend=True,
        hovermode="closest",
        height=420,
    )


def measure_name(measure: str, language: Language) -> str:
    """The heading of what a row holds, or its own name where there are no words for it."""
    key = f"optimization.measure.{measure}"
    return phrase(key, language) if has_phrase(key) else measure


def shown(measure: str, value: Any, language: Language) -> str:
    """What a row holds, as people read it; differences of accuracies in percentage points."""
    if isinstance(value, bool):
        return phrase(f"optimization.{'yes' if value else 'no'}", language)
    if measure in ("accuracy", "sparsity"):
        return f"{value:.1%}"
    if measure == "accuracy_ci":
        return "–".join(f"{100 * end:.1f}" for end in value) + "%"
    if measure in ("loss", "loss_bound"):
        return f"{100 * value:.2f}".replace("-", "−")
    if isinstance(value, float):
        return f"{value:,.1f}" if value >= 10 else f"{value:.2f}"
    return str(value)


def _points(rows: Sequence[Row], axis: Axis, colour: str, symbol: str, language: Language) -> dict[str, Any]:
    faint = "rgba({},{},{},0.35)".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))
    return {
        "x": [row[axis] for row in rows],
        "y": [row["accuracy"] for row in rows],
        "error_y": {
            "array": [row["accuracy_ci"][1] - row["accuracy"] for row in rows],
            "arrayminus": [row["accuracy"] - row["accuracy_ci"][0] for row in rows],
            "color": faint,
            "thickness": 1.5,
            "width": 3,
        },
        "mode": "markers",
        "marker": {
            "size": 16 if symbol == "star-diamond" else 11,
            "color": colour,
            "symbol": symbol,
            "line": {"width": 2, "color": colour},
        },
        "selected": {"marker": {"size": 18}},
        "unselected": {"marker": {"opacity": 0.6}},
        "customdata": [row["method"] for row in rows],
        "hovertext": [_hover(row, language) for row in rows],
        "hoverinfo": "text",
    }


def _name(row: Row, axis: Axis, right: float, up: float) -> dict[str, Any]:
    """A method's name beside its point, with a thin line between them where there is room for one."""
    return {
        "x": math.log10(row[axis]),  # on a logarithmic axis annotations are placed by the logarithm
        "y": row["accuracy"],
        "text": row["method"],
        "ax": right,
        "ay": -up,
        "xanchor": "center",
        "yanchor": "middle",
        "arrowhead": 0,
        "arrowwidth": 1,
        "arrowcolor": GREY,
        "standoff": 6,
        "font": {"size": 12},
    }


def _hover(row: Row, language: Language) -> str:
    lines = [(measure_name(measure, language), shown(measure, value, language)) for measure, value in row.items()]
    return "<br>".join(f"{name} <b>{value}</b>" for name, value in lines)
