"""The pictures of visualization.py as PNG files with English labels, for the README.

A browser would be needed to export the Plotly figures, so matplotlib draws the same numbers. Backgrounds are white and
opaque: on a dark page the picture is a white card, and its black labels stay readable.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_sentiment_analysis.evaluation.picture_data import (
    BLUE,
    COLOURS,
    INK,
    ORANGE,
    SHADES,
    ModelScore,
    cell_texts,
    class_name,
    coverage_bottom,
    domain_name,
    domain_range,
    domain_table,
    reach,
    reliability_corner,
    row_shares,
    same_domain,
)
from shared.files import atomic_path
from shared.phrases import phrase

if TYPE_CHECKING:
    from bert_sentiment_analysis.evaluation.calibration import Calibration, RiskCoverage
    from bert_sentiment_analysis.evaluation.metrics import RocCurve

LINES = ["-", "--", ":", "-.", (0, (8, 3)), (0, (8, 3, 2, 3))]
GUIDE = {"color": "0.5", "linestyle": ":", "linewidth": 1.3}


def draw_confusion_map(confusion: Sequence[Sequence[int]], class_names: Sequence[str], file: Path) -> None:
    counts = np.asarray(confusion)
    names = [class_name(name, "en") for name in class_names]
    side = 2.2 + 1.1 * len(names)
    with _saved(file, (side, side)) as figure:
        axes = _heat_map(figure, row_shares(counts), cell_texts(counts, "\n"), (0, 1), names, names)
        axes.set(xlabel=_words("predicted_class"), ylabel=_words("true_class"))


def draw_reliability_diagram(calibrations: Mapping[str, "Calibration"], file: Path) -> None:
    left, bottom = reliability_corner(calibrations)
    with _saved(file, (7, 5.5)) as figure:
        top, low = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        top.plot([0, 1], [0, 1], label=_words("calibrated"), **GUIDE)
        for i, (name, measured) in enumerate(calibrations.items()):
            bins = [bin_ for bin_ in measured.bins if bin_.count]
            accuracy = np.array([bin_.accuracy for bin_ in bins])
            whiskers = [
                accuracy - [bin_.accuracy_low for bin_ in bins],
                np.array([bin_.accuracy_high for bin_ in bins]) - accuracy,
            ]
            style = {**_line(i), "marker": "o", "markersize": 5, "capsize": 3, "elinewidth": 1}
            label = f"{name} (ECE {measured.ece:.3f})"
            # Wilson's interval may end a rounding error short of an accuracy of 1.
            top.errorbar([bin_.confidence for bin_ in bins], accuracy, np.clip(whiskers, 0, None), label=label, **style)
            # Side by side inside each bin.
            width = (bins[0].high - bins[0].low) * 0.9 / len(calibrations)
            starts = [bin_.low + (bin_.high - bin_.low) * 0.05 + width * i for bin_ in bins]
            shares = [bin_.count / measured.n for bin_ in bins]
            low.bar(starts, shares, width, align="edge", color=COLOURS[i % len(COLOURS)])
        top.set(ylim=(bottom, 1.01), ylabel=_words("accuracy"))
        low.set(xlim=(left, 1.005), xlabel=_words("confidence"), ylabel=_words("share"))
        top.legend(loc="upper left")
        _percent(top.yaxis, low.xaxis, low.yaxis)


def draw_roc_curves(curves: Mapping[str, "RocCurve"], file: Path) -> None:
    with _saved(file, (5.5, 5)) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], label=_words("guessing"), **GUIDE)
        for i, (name, curve) in enumerate(curves.items()):
            label = f"{name} (AUC {curve.auc:.3f})"
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=label, **_line(i))
        axes.set(xlim=(-0.01, 1), ylim=(0, 1.01), xlabel=_words("false_positives"), ylabel=_words("true_positives"))
        axes.legend(loc="lower right")
        _percent(axes.xaxis, axes.yaxis)


def draw_risk_coverage_curves(curves: Mapping[str, "RiskCoverage"], file: Path, target: float | None = None) -> None:
    with _saved(file, (7, 4.5)) as figure:
        axes = figure.subplots()
        for i, (name, curve) in enumerate(curves.items()):
            marker = "o" if len(curve.coverage) == 1 else ""
            axes.plot(curve.coverage, curve.accuracy, label=name, marker=marker, **_line(i))
        if target is not None:
            axes.axhline(target, label=_words("wanted_accuracy", target=f"{target:.0%}"), **GUIDE)
        bottom = coverage_bottom(curves, target)
        axes.set(xlim=(0, 1.01), ylim=(bottom, 1.005), xlabel=_words("coverage"), ylabel=_words("accuracy_answered"))
        axes.legend(loc="lower left")
        _percent(axes.xaxis, axes.yaxis)


def draw_domain_map(scores: Mapping[str, Mapping[str, float | None]], file: Path, measure: str) -> None:
    """`measure` is what the numbers are, as the title."""
    rows, columns, values = domain_table(scores)
    texts = [["" if np.isnan(value) else f"{value:.3f}" for value in row] for row in values]
    trained, tested = ([domain_name(name, "en") for name in names] for names in (rows, columns))
    with _saved(file, (2.2 + 1.15 * len(columns), 1.5 + 0.75 * len(rows))) as figure:
        axes = _heat_map(figure, values, texts, domain_range(values), tested, trained)
        for i, j in same_domain(rows, columns):
            axes.add_patch(_frame(i, j))
        axes.set(xlabel=_words("tested_on"), ylabel=_words("trained_on"))
        figure.suptitle(measure, fontsize=11)


def draw_model_comparison(rows: Sequence[ModelScore], measure: str, file: Path) -> None:
    with _saved(file, (7.5, 1.4 + 0.48 * len(rows))) as figure:
        axes = figure.subplots()
        for published, key in ((False, "measured"), (True, "published")):
            chosen = [(height, row) for height, row in enumerate(rows) if row.published == published]
            if not chosen:
                continue
            above, below = zip(*(reach(row) for _, row in chosen), strict=True)
            axes.errorbar(
                [row.score for _, row in chosen],
                [height for height, _ in chosen],
                xerr=[below, above],
                fmt="D" if published else "o",
                color=ORANGE if published else BLUE,
                markerfacecolor="white" if published else BLUE,
                markersize=7,
                capsize=4,
                label=_words(key),
            )
            for height, row in chosen:
                axes.annotate(
                    f"{row.score:.3f}", (row.score, height), (0, 7), textcoords="offset points", ha="center", fontsize=9
                )
        axes.set(yticks=range(len(rows)), yticklabels=[row.name for row in rows], xlabel=measure)
        axes.set_ylim(len(rows) - 0.5, -0.7)  # the first on top
        axes.grid(axis="x", alpha=0.3)
        figure.legend(loc="outside upper center", ncols=2, frameon=False)


@contextmanager
def _saved(file: Path, size: tuple[float, float]) -> Iterator[Any]:
    """A figure to draw on, written whole once the block has succeeded."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    yield figure
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        if not axes.images:
            axes.set_axisbelow(True)
            axes.grid(alpha=0.3)
    with atomic_path(file) as draft:
        # Without the version in it, the file changes only where the picture does.
        figure.savefig(draft, dpi=130, format="png", metadata={"Software": None})


def _heat_map(
    figure: Any,
    values: np.ndarray,
    texts: Sequence[Sequence[str]],
    value_range: tuple[float, float],
    columns: Sequence[str],
    rows: Sequence[str],
) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("shades", [tuple(shade) for shade in SHADES])
    low, high = value_range
    axes = figure.subplots()
    axes.imshow(values, cmap=shades, vmin=low, vmax=high, aspect="auto")
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            axes.text(j, i, text, ha="center", va="center", color=INK, fontsize=12)
    axes.set(xticks=range(len(columns)), xticklabels=columns, yticks=range(len(rows)), yticklabels=rows)
    # White gaps between the cells.
    axes.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=3)
    axes.tick_params(which="both", length=0)
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    return axes


def _frame(i: int, j: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((j - 0.46, i - 0.45), 0.92, 0.9, fill=False, edgecolor=ORANGE, linewidth=2.5)


def _line(i: int) -> dict[str, Any]:
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)], "linewidth": 2}


def _percent(*axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    for one in axis:
        one.set_major_formatter(PercentFormatter(1, decimals=0))


def _words(key: str, **values: Any) -> str:
    return phrase(f"sentiment.{key}", "en", **values)
