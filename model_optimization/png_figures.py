"""The pictures of the README as PNG files with English labels: what to ship, servers under load, drift.

A browser would be needed to export a Plotly figure for the README, so matplotlib draws the same numbers. The background
is white and opaque: on a dark page the picture is a white card, and its black labels stay readable.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_optimization.figures import measure_name
from model_optimization.measurement import BASELINE
from model_optimization.picture_data import BLUE, COLOURS, ORANGE, Axis, Row, frontier, name_places, ranges, ticks
from shared.files import atomic_path
from shared.phrases import phrase

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES = (9.0, 5.6)
SIZE, LETTER = (575.0, 330.0), (4.9, 10.5)  # the drawing inside its labels and a letter, in points: 72 an inch


def draw_pareto(rows: Sequence[Row], axis: Axis, batch: int, file: Path) -> None:
    """Accuracy against what it costs, as `figures.pareto` shows it."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator, PercentFormatter

    rows = [row for row in rows if row["batch"] == batch]
    figure = Figure(figsize=INCHES, layout="constrained", facecolor="white")
    axes = figure.subplots()
    best = frontier(rows, axis)
    steps = ([row[axis] for row in best], [row["accuracy"] for row in best])
    axes.plot(*steps, drawstyle="steps-post", color="0.5", linewidth=1.5, label=_words("frontier"))
    others = [row for row in rows if row["method"] != BASELINE]
    kinds = [
        ("baseline", [row for row in rows if row["method"] == BASELINE], BLUE, BLUE, "D"),
        ("passes", [row for row in others if row["ships"]], BLUE, BLUE, "o"),
        ("fails", [row for row in others if not row["ships"]], ORANGE, "white", "o"),
    ]
    for kind, chosen, colour, inside, marker in kinds:
        for i, row in enumerate(chosen):
            low, high = row["accuracy_ci"]
            axes.plot([row[axis]] * 2, [low, high], color=colour, alpha=0.35, linewidth=1.2)
            label = _words(f"kind.{kind}", baseline=BASELINE) if i == 0 else None
            style: dict[str, Any] = {
                "color": colour,
                "markerfacecolor": inside,
                "markersize": 8 if marker == "D" else 7,
            }
            axes.plot(row[axis], row["accuracy"], marker, label=label, zorder=3, **style)
    for row, place in zip(rows, name_places(rows, axis, SIZE, LETTER), strict=True):
        axes.annotate(
            row["method"],
            (row[axis], row["accuracy"]),
            place,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.7, "shrinkA": 1, "shrinkB": 4},
        )
    x, y = ranges(rows, axis)
    axes.set(xscale="log", xlim=(10 ** x[0], 10 ** x[1]), ylim=y)
    axes.set(xlabel=measure_name(axis, "en"), ylabel=measure_name("accuracy", "en"))
    axes.set_xticks(ticks(*x), [f"{tick:g}" for tick in ticks(*x)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    _save(figure, file)


def draw_power(curves: Mapping[str, Mapping[str, float]], false_alarm_rate: float, file: Path) -> None:
    """The share of windows with an alarm by the share of other texts in them, as `drift_figures.power` shows it.

    Each curve begins with the false alarms.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(7.5, 4.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    styles = zip(COLOURS, ("o-", "s--", "^:"), strict=False)
    for (kind, curve), (colour, style) in zip(curves.items(), styles, strict=False):
        x, y = [0.0, *map(float, curve)], [false_alarm_rate, *curve.values()]
        axes.plot(x, y, style, color=colour, label=_words(f"drift.kind.{kind}"))
    axes.axhline(0.05, color="0.5", linewidth=1, linestyle=":")
    axes.set(xlabel=_words("drift.axis.mixed"), ylabel=_words("drift.axis.alarms"), ylim=(-0.03, 1.05))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="center right")
    _save(figure, file)


def draw_estimates(
    accuracy: Mapping[str, float],
    estimates: Mapping[str, Mapping[str, float]],
    chosen: str,
    reference: float,
    file: Path,
) -> None:
    """True accuracy on each kind of other texts, and beside it what each estimate makes of them without labels."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(7.5, 4.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    places = range(len(accuracy))
    axes.bar([x - 0.2 for x in places], accuracy.values(), 0.36, color="0.75", label=_words("drift.accuracy"))
    values = [estimates[chosen][kind] for kind in accuracy]
    axes.bar([x + 0.2 for x in places], values, 0.36, color=BLUE, label=_words("drift.estimated_accuracy"))
    others = [name for name in estimates if name != chosen]
    for name, marker, colour in zip(others, "osD^v", COLOURS[1:], strict=False):
        at = [x + 0.2 for x in places]
        axes.plot(at, [estimates[name][kind] for kind in accuracy], marker, color=colour, mec="white", label=name)
    axes.axhline(reference, color="0.5", linewidth=1, linestyle=":", label=_words("drift.reference_accuracy"))
    axes.set_xticks(places, [_words(f"drift.kind.{kind}") for kind in accuracy])
    low = min([reference, *accuracy.values(), *(each for found in estimates.values() for each in found.values())])
    axes.set(ylim=(max(0.0, low - 0.05), 1.0), ylabel=_words("drift.axis.accuracy"))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    _save(figure, file)


def draw_load(rows: Sequence[Row], limit_ms: float, file: Path) -> None:
    """Latency by load, a curve a server, as `load_figures.curves` shows it."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    from model_optimization.monitoring.load_figures import by_server

    figure = Figure(figsize=(7.5, 4.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    styles = zip(COLOURS, ("^:", "s--", "D-.", "o-"), strict=False)
    for (server, points), (colour, style) in zip(by_server(rows).items(), styles, strict=False):
        x, y = [row["rate"] for row in points], [row["p99_ms"] for row in points]
        axes.plot(x, y, style, color=colour, markersize=5, label=_words(f"load.server.{server}"))
    axes.axhline(limit_ms, color="0.5", linewidth=1, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel=_words("load.axis.rate"), ylabel=_words("load.axis.p99"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    low, high = axes.get_xlim()
    marks = ticks(math.log10(low), math.log10(high))
    axes.set_xticks(marks, [f"{tick:g}" for tick in marks])
    marks = ticks(*(math.log10(end) for end in axes.get_ylim()))
    axes.set_yticks(marks, [f"{tick:g}" for tick in marks])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    _save(figure, file)


def _save(figure: "Figure", file: Path) -> None:
    with atomic_path(file) as draft:
        # Without the version in it, the file changes only where the picture does.
        figure.savefig(draft, dpi=130, format="png", metadata={"Software": None})


def _words(key: str, **values: object) -> str:
    return phrase(f"optimization.{key}", "en", **values)
