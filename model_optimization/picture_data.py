"""What the picture for the browser and the one for the README agree on: colours, frontier, axes, where names stand."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

# Okabe and Ito's, which colour-blind readers tell apart.
BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = [BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]

Row = Mapping[str, Any]
Axis = Literal["p50_ms", "texts_per_s", "size_mb", "peak_mb"]
AXES: tuple[Axis, ...] = get_args(Axis)
MORE_IS_BETTER: Axis = "texts_per_s"

GAP = 9.0  # pixels between a point and its name
REACH = np.array([0.0, 14.0, 30.0, 50.0, 75.0, 105.0])  # pixels further, where there is no room
DIRECTIONS = np.linspace(0, 2 * np.pi, 16, endpoint=False)


def frontier(rows: Sequence[Row], axis: Axis) -> list[Row]:
    """The rows that no other one beats in accuracy and on the axis at once, the best on the axis first."""
    sign = -1 if axis == MORE_IS_BETTER else 1
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: (sign * row[axis], -row["accuracy"])):
        if not best or row["accuracy"] > best[-1]["accuracy"]:
            best.append(row)
    return best


def ranges(rows: Sequence[Row], axis: Axis) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where both axes begin and end, with room for names. The first is logarithmic, and so is its range."""
    x = np.log10([row[axis] for row in rows])
    low, high = min(row["accuracy_ci"][0] for row in rows), max(row["accuracy_ci"][1] for row in rows)
    beside, above = max(0.1 * np.ptp(x), 0.05), 0.05 * (high - low)
    return (float(x.min() - beside), float(x.max() + beside)), (low - above, high + above)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis of this range, at least four."""
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 5, 7), np.arange(10, 100, 5) / 10, np.arange(100, 1000, 5) / 100):
        numbers = np.array([10.0**power * step for power in range(int(np.floor(low)), 7) for step in steps])
        found = numbers[(np.log10(numbers) >= low) & (np.log10(numbers) <= high)]
        if len(found) >= 4:
            break
    return [float(f"{number:.4g}") for number in found]


def name_places(
    rows: Sequence[Row], axis: Axis, size: tuple[float, float], letter: tuple[float, float]
) -> list[tuple[float, float]]:
    """How far to the right of its point, and above it, each method's name has its middle, so that none is covered.

    In pixels, as `size`, width and height of the drawing, and `letter`, those of a letter. A name takes the place that
    covers least of the points, lines and other names, the nearer the better; in later rounds it knows all others.
    """
    (left, right), (low, high) = ranges(rows, axis)

    def pixels(x: Sequence[float], y: Sequence[float]) -> np.ndarray:
        return np.column_stack([(np.log10(x) - left) / (right - left), (np.array(y) - low) / (high - low)]) * size

    x, y = [row[axis] for row in rows], [row["accuracy"] for row in rows]
    points = pixels(x, y)
    low_ends, high_ends = (pixels(x, [row["accuracy_ci"][end] for row in rows]) for end in (0, 1))
    best = frontier(rows, axis)
    corners = pixels([row[axis] for row in best for _ in (0, 1)], [row["accuracy"] for row in best for _ in (0, 1)])
    corners[1:-1, 0] = corners[2:, 0]  # the line turns where the next method stands
    halves = np.array([[len(row["method"]) * letter[0] / 2, letter[1] / 2] for row in rows])
    reach = np.repeat(REACH, len(DIRECTIONS))
    around = np.tile(np.column_stack([np.cos(DIRECTIONS), np.sin(DIRECTIONS)]), (len(REACH), 1))
    offsets = np.full_like(points, np.nan)
    for _ in range(4):
        for i, half in enumerate(halves):
            choices = around * (half + GAP + reach[:, None])
            places = points[i] + choices
            others = [j for j in range(len(rows)) if j != i and not np.isnan(offsets[j, 0])]
            names = points[others] + offsets[others]
            cost = 4 * _covered(places, half, names - halves[others], names + halves[others])
            cost = cost + 2 * _covered(places, half, points - 6, points + 6)
            cost = cost + 0.8 * _covered(places, half, corners[:-1], corners[1:])
            cost = cost + 0.15 * _covered(places, half, low_ends, high_ends)
            outside = ((places - half < 0) | (places + half > size)).any(1)
            offsets[i] = choices[np.argmin(cost + 9 * outside + reach / 100)]
    return [(float(right), float(up)) for right, up in offsets]


def _covered(places: np.ndarray, half: np.ndarray, some: np.ndarray, opposite: np.ndarray) -> np.ndarray:
    """How many of the boxes with these opposite corners a box of this half size covers, at each of the places."""
    middles, halves = (some + opposite) / 2, np.abs(some - opposite) / 2
    return (np.abs(places[:, None] - middles) < half + halves).all(-1).sum(1)
