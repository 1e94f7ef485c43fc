"""Exercise 8: is one model better than another, or was it luck? McNemar's test on the same texts."""

import numpy as np

REPLACES = "shared.significance.mcnemar"
CHECKED_BY = "bert_sentiment_analysis/tests/test_significance.py"


def mcnemar(right: np.ndarray, other_right: np.ndarray) -> tuple[float, int, int]:
    """Given which texts each of two models gets right, (N,) and (N,), return p, and how many only the first and only
    the other gets right.

    What both get right, or both wrong, tells nothing. If the models were equally good, a text that only one gets right
    would be either's by the toss of a coin; p is the probability of a split at least as uneven as the one seen. Without
    any such text it is 1.

    Hints: make both boolean, `np.asarray(right, dtype=bool)`; `right & ~other_right` are those of the first alone.
    `scipy.stats.binomtest(heads, tosses).pvalue` is the two-sided p. Call `check_same_length(right, other_right)` of
    `shared.significance` first, which refuses different texts. Return plain numbers.

    Read: "Approximate Statistical Tests for Comparing Supervised Classification Learning Algorithms", section 3.1,
    https://doi.org/10.1162/089976698300017197
    Expect: comparing the two accuracies as if they came from different texts finds far fewer differences.
    """
    raise RuntimeError("fill in mcnemar")
