"""Exercise 7: how far apart are two samples? The maximum mean discrepancy, of a thousand splits at once."""

import numpy as np

REPLACES = "model_optimization.monitoring.shift_tests.mmd"
CHECKED_BY = [
    "model_optimization/tests/test_shift_tests.py::test_mmd_by_hand",
    "model_optimization/tests/test_shift_tests.py::test_mmd_of_every_split_is_that_of_plain_loops",
    "model_optimization/tests/test_shift_tests.py::test_mmd_is_unbiased_its_mean_over_all_splits_is_zero",
]


def mmd(kernel: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """The unbiased squared discrepancy (S,) of splits (S, M + N), each True where a row is of the window.

    kernel (M + N, M + N) has the similarity of every two rows. Of one split, the discrepancy is the mean similarity
    within the reference, plus that within the window, less twice that across; a row is not compared with itself.

    Hints: begin with a loop over splits and plain means. Then note that `splits @ kernel` has, for every split at once,
    the sum of each row's similarities to the window; from it follow the sums within the window, across, and (as all
    three make up `kernel.sum()`) within the reference. Take the diagonal off before dividing by N (N - 1), M (M - 1)
    and M N.

    Read: Gretton et al., "A Kernel Two-Sample Test", lemma 6, https://jmlr.org/papers/v13/gretton12a.html
    Expect: with the diagonal left in, no sample is ever at a distance of 0 from another, least of all a small one.
    """
    raise RuntimeError("fill in mmd")
