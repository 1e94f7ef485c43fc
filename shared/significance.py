"""Is it more than luck? Intervals for a measure, and tests of two answers to the same questions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

CELLS_AT_ONCE = 4_000_000  # rows times resamples drawn together: 32 MB


@dataclass(frozen=True)
class Interval:
    estimate: float
    low: float
    high: float


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
    from scipy.stats import binomtest

    right, other_right = np.asarray(right, dtype=bool), np.asarray(other_right, dtype=bool)
    check_same_length(right, other_right)
    only_first, only_other = int((right & ~other_right).sum()), int((~right & other_right).sum())
    discordant = only_first + only_other
    p = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return p, only_first, only_other


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for several tests (Holm 1979), in the order given; no tests give an empty list.

    The k-th smallest of m is multiplied by m - k + 1, and none may end below a smaller one's. Below .05 after it, the
    chance of even one false alarm among all the tests is at most 5 %. Raises ValueError for what is no p value.
    """
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"{list(p_values)} are not all p values: each must be from 0 to 1")
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected.tolist()


def check_same_length(*columns: np.ndarray) -> None:
    """Raise ValueError unless all have the same number of rows, at least one."""
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"lengths differ ({', '.join(map(str, lengths))}): pass the same texts in the same order")
    if lengths[0] == 0:
        raise ValueError("no values, and nothing can be measured on nothing: check the filter or split that left none")
