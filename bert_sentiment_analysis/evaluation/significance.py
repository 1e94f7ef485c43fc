"""Is it more than luck? Intervals for a measure, and paired comparisons of models on the same texts.

Two models are compared text by text: what both get right or wrong says nothing about which is better.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import binomtest

from bert_sentiment_analysis.evaluation.metrics import check_labels, check_same_length

CELLS_AT_ONCE = 4_000_000  # rows times resamples drawn together: 32 MB


@dataclass(frozen=True)
class Interval:
    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """`model` against `other` on the same texts; above 0, `difference` is in favour of `model`."""

    model: str
    other: str
    n: int
    difference: float  # of the accuracies
    low: float  # paired bootstrap interval of the difference, for this pair alone
    high: float
    only_model_right: int
    only_other_right: int
    p_value: float  # exact McNemar
    p_holm: float  # the same, corrected for all comparisons made together


def bootstrap_interval(
    *columns: np.ndarray,
    statistic: Callable[..., float] | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap (Efron & Tibshirani 1993, chapter 13): redraw the texts with replacement, measure again.

    Each of `columns` is (N,), one value a text, and all are redrawn alike. Without a `statistic` it is the mean of the
    only column, such as 0 and 1 for wrong and right; otherwise `statistic(*columns)` is called on each resample, for
    example `macro_f1` on labels and predictions. The same seed gives the same interval; values that are all equal give
    one without width. Raises ValueError for empty input, for columns of different length, and where the statistic of a
    resample is not a number.
    """
    arrays = [np.asarray(column) for column in columns]
    if not arrays or (statistic is None and len(arrays) > 1):
        raise ValueError(f"a mean of {len(arrays)} columns is not defined: pass one column, or a statistic of several")
    check_same_length(*arrays)
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(
            f"{resamples} resamples at level {level} make no interval: pass 1 or more, and a level in (0, 1)"
        )
    n, random = len(arrays[0]), np.random.default_rng(seed)
    chunk = max(1, CELLS_AT_ONCE // n)
    drawn = []
    for start in range(0, resamples, chunk):
        rows = random.integers(0, n, (min(chunk, resamples - start), n))
        if statistic is None:
            drawn.append(arrays[0][rows].mean(axis=1))
        else:
            drawn.append(np.array([statistic(*(array[row] for array in arrays)) for row in rows], dtype=float))
    measured = np.concatenate(drawn)
    if np.isnan(measured).any():
        raise ValueError("the statistic is undefined on a resample, so no interval exists: pass more texts or another")
    low, high = np.quantile(measured, [(1 - level) / 2, (1 + level) / 2])
    estimate = arrays[0].mean() if statistic is None else statistic(*arrays)
    return Interval(float(estimate), float(low), float(high))


def mcnemar(right: np.ndarray, other_right: np.ndarray) -> tuple[float, int, int]:
    """Exact McNemar test of two models' rights and wrongs (N,) on the same texts: p, only first right, only other.

    If both were equally good, a text that only one gets right would be either's by the toss of a coin: a two-sided
    binomial test (McNemar 1947). With no such text p is 1.
    """
    right, other_right = np.asarray(right, dtype=bool), np.asarray(other_right, dtype=bool)
    check_same_length(right, other_right)
    only_first, only_other = int((right & ~other_right).sum()), int((~right & other_right).sum())
    discordant = only_first + only_other
    p = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return p, only_first, only_other


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for several tests (Holm 1979), in the order given; no tests give an empty list.

    The k-th smallest of m is multiplied by m - k + 1, and none may end below a smaller one's. Below .05 after it, the
    chance of even one false alarm among all the tests is at most 5 %.
    """
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"{list(p_values)} are not all p values: each must be from 0 to 1")
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected.tolist()


def compare_models(
    labels: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    reference: str | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> list[Comparison]:
    """Compare each model with the `reference`, or all pairs without one: predicted classes (N,) by model name.

    The p values are corrected for the comparisons returned, so ask for those you mean to look at and no others.
    """
    labels = check_labels(labels)
    right = {}
    for name, predicted in predictions.items():
        predicted = check_labels(predicted)
        check_same_length(labels, predicted)
        right[name] = predicted == labels
    if reference is not None and reference not in right:
        raise ValueError(f"no predictions of the reference {reference!r}: pass one of {', '.join(right)}")
    others = [name for name in right if name != reference]
    pairs = list(combinations(right, 2)) if reference is None else [(name, reference) for name in others]
    tests = [mcnemar(right[model], right[other]) for model, other in pairs]
    corrected = holm([p for p, _, _ in tests])
    comparisons = []
    for (model, other), (p, only_model, only_other), p_holm in zip(pairs, tests, corrected, strict=True):
        difference = right[model].astype(float) - right[other]
        gap = bootstrap_interval(difference, resamples=resamples, level=level, seed=seed)
        comparisons.append(
            Comparison(model, other, len(labels), gap.estimate, gap.low, gap.high, only_model, only_other, p, p_holm)
        )
    return comparisons
