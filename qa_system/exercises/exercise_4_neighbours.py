"""Exercise 4: passages speak for those that are like them."""

import numpy as np

REPLACES = "qa_system.retrieval.hybrid_retrieval.with_neighbours"
CHECKED_BY = [
    "qa_system/tests/test_hybrid_retrieval.py::test_neighbours_by_hand",
    "qa_system/tests/test_hybrid_retrieval.py::"
    "test_a_passage_that_is_like_a_good_one_passes_one_that_is_like_a_bad_one",
]


def with_neighbours(scores: np.ndarray, likeness: np.ndarray, share: float) -> np.ndarray:
    """Scores (N,), each mixed with `share` parts of the others' mean, weighted by their likeness (N, N) to it.

      1. weights: likeness, clipped to 0..1, to the power LIKENESS_POWER; nobody speaks for itself;
      2. means (N,): each row of weights times the scores, divided by the row's sum (at least 1e-30);
      3. (scores + share * means) / (1 + share).

    Hints: LIKENESS_POWER is in `qa_system.retrieval.hybrid_retrieval`; `np.fill_diagonal(weights, 0)`.

    Read: "Regularizing Query-Based Retrieval Scores", section 3, https://doi.org/10.1007/s10791-007-9034-8
    Expect: without the power every passage is a little like every other, and all scores move towards one mean.
    """
    raise RuntimeError("fill in with_neighbours")
