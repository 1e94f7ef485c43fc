"""Quality against diversity of the decoding strategies, as a PNG file with English labels.

A browser would be needed to export a Plotly figure for the README, so matplotlib draws it. The background is white and
opaque: on a dark page the picture is a white card, and its black labels stay readable.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpt_text_generation.strategies import HUMAN
from shared.files import atomic_path
from shared.phrases import phrase

BLUE, ORANGE = "#0072b2", "#d55e00"  # told apart by the colour-blind too


def draw_strategies(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Each strategy's perplexity by its share of different word pairs, with intervals; people's texts are the aim."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    figure = Figure(figsize=(8.0, 5.0), layout="constrained", facecolor="white")
    axes = figure.subplots()
    offsets = _away_from_neighbours(np.array([(row["distinct_2"], math.log(row["perplexity"])) for row in rows]))
    for row, offset in zip(rows, offsets, strict=True):
        human = row["strategy"] == HUMAN
        x, y = row["distinct_2"], row["perplexity"]
        colour = ORANGE if human else BLUE
        axes.errorbar(
            x,
            y,
            xerr=_around(x, row["distinct_2_interval"]),
            yerr=_around(y, row["perplexity_interval"]),
            fmt="*" if human else "o",
            markersize=13 if human else 6,
            color=colour,
            ecolor=(*_rgb(colour), 0.35),
        )
        side = "left" if offset > 0 else "right"
        axes.annotate(row["strategy"], (x, y), (offset, 6), textcoords="offset points", ha=side, fontsize=9)
        if human:
            axes.axhline(y, color=ORANGE, linewidth=1, linestyle=":")
            axes.axvline(x, color=ORANGE, linewidth=1, linestyle=":")
    axes.set(yscale="log", xlabel=phrase("generation.axis.distinct_2", "en"))
    axes.set_ylabel(phrase("generation.axis.perplexity", "en"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    with atomic_path(file) as draft:
        # Without the version in it, the file changes only where the picture does.
        figure.savefig(draft, dpi=130, format="png", metadata={"Software": None})


def _away_from_neighbours(points: np.ndarray) -> list[int]:
    """How far right, in points, each name stands of its point (N, 2): left of it where the nearest one is to the right.

    Names on the same side would cover each other.
    """
    size = np.ptp(points, axis=0)
    scaled = points / np.where(size > 0, size, 1)
    distances = np.linalg.norm(scaled[:, None] - scaled, axis=-1)  # (N, N)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)  # (N,)
    return [6 if x >= other else -6 for x, other in zip(points[:, 0], points[nearest, 0], strict=True)]


def _around(value: float, interval: Sequence[float]) -> list[list[float]]:
    """Bars below and above; on a logarithmic axis a bar must end above 0."""
    low, high = interval
    return [[min(value - low, value * 0.95)], [high - value]]


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue
