"""What the pictures for the browser and those for the README agree on: colours, names, texts and where axes begin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shared.phrases import Language, has_phrase, phrase

if TYPE_CHECKING:
    from bert_sentiment_analysis.evaluation.calibration import Calibration, RiskCoverage

BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = [BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
SHADES, INK = [[0, "#edf4fb"], [1, "#4b9cd3"]], "#10151c"


@dataclass(frozen=True)
class ModelScore:
    """One line of the model comparison. Published scores were measured by others, and rarely come with an interval."""

    name: str
    score: float
    low: float | None = None
    high: float | None = None
    published: bool = False


def class_name(name: str, language: Language) -> str:
    """The words for a class, or its name where there are none."""
    return phrase(f"sentiment.class.{name}", language) if has_phrase(f"sentiment.class.{name}") else name


def domain_name(name: str, language: Language) -> str:
    """The words for a data set, or its name where there are none."""
    return phrase(f"sentiment.domain.{name}", language) if has_phrase(f"sentiment.domain.{name}") else name


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Counts (C, C), each row divided by its sum; a row without texts stays 0."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def cell_texts(counts: np.ndarray, line_break: str) -> list[list[str]]:
    """What stands in each cell of a confusion matrix (C, C): how many, and which share of the row."""
    return [
        [f"{n:,}{line_break}{share:.0%}" for n, share in zip(*row, strict=True)]
        for row in zip(counts, row_shares(counts), strict=True)
    ]


def reliability_corner(calibrations: Mapping[str, "Calibration"]) -> tuple[float, float]:
    """Where the axes of a reliability diagram begin: two classes never have a confidence under one half."""
    filled = [bin_ for measured in calibrations.values() for bin_ in measured.bins if bin_.count]
    left = min((bin_.low for bin_ in filled), default=0.0)
    whiskers = [bin_.accuracy_low for bin_ in filled if bin_.accuracy_low is not None]
    return left, max(min([left, *whiskers]) - 0.02, 0.0)


def coverage_bottom(curves: Mapping[str, "RiskCoverage"], target: float | None) -> float:
    """Where the accuracy axis begins. The first few texts jump about, and may not squeeze all that follows."""
    settled = [a for c in curves.values() for a, x in zip(c.accuracy, c.coverage, strict=True) if x >= 0.05 or x == 1]
    return max(min([*settled, *([] if target is None else [target])], default=0.0) - 0.03, 0.0)


def domain_table(scores: Mapping[str, Mapping[str, float | None]]) -> tuple[list[str], list[str], np.ndarray]:
    """Rows, columns and values (rows, columns), with NaN where a pair was not measured."""
    rows, columns = list(scores), list(dict.fromkeys(tested for row in scores.values() for tested in row))
    values = [[scores[row].get(column) for column in columns] for row in rows]
    return rows, columns, np.array(values, dtype=float)  # None becomes NaN


def domain_range(values: np.ndarray) -> tuple[float, float]:
    """The scores that the lightest and darkest shade of (rows, columns) stand for: the tenth below the least, and 1."""
    return (0.0, 1.0) if np.isnan(values).all() else (float(np.floor(np.nanmin(values) * 10) / 10), 1.0)


def same_domain(rows: Sequence[str], columns: Sequence[str]) -> list[tuple[int, int]]:
    return [(i, columns.index(row)) for i, row in enumerate(rows) if row in columns]


def reach(row: ModelScore) -> tuple[float, float]:
    """How far the interval reaches above and below the score, NaN where there is none."""
    above, below = (np.nan if end is None else abs(end - row.score) for end in (row.high, row.low))
    return above, below
