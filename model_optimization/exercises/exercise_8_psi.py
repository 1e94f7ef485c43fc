"""Exercise 8: the population stability index, and why its usual limits say little."""

import numpy as np

REPLACES = "model_optimization.monitoring.shift_tests.psi"
CHECKED_BY = [
    "model_optimization/tests/test_shift_tests.py::test_psi_by_hand",
    "model_optimization/tests/test_shift_tests.py::test_psi_of_equal_shares_is_zero",
    "model_optimization/tests/test_shift_tests.py::test_without_a_shift_psi_is_chi_squared_whatever_the_sizes",
    "model_optimization/tests/test_shift_tests.py::test_the_usual_limit_of_psi_means_little_in_a_small_window",
]


def psi(reference: np.ndarray, window: np.ndarray):
    """Numbers of the reference (M,) and of the window (N,): `Evidence(index, p)`.

    The index is the sum of (w - r) ln(w / r) over the bins that `tenths(reference)` borders; r and w are the shares of
    the two in a bin, each bin with half a value more than it has. Where nothing has shifted, the index divided by
    1/M + 1/N is about chi-squared, with as many degrees of freedom as there are borders; p is the chance of one as
    large or larger.

    Hints: `from model_optimization.monitoring.shift_tests import Evidence, shares, tenths` inside the function;
    `shares(values, edges, 0.5)`; `scipy.stats.chi2.sf(value, degrees)`.

    Read: Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk Model
    Validation 14 (2020); the dissertation behind it: https://scholarworks.wmich.edu/dissertations/3208
    Expect: beside a reference of 1,000 and without any shift, 1 of 20 windows of 200 texts passes the limit of .1, and
    17 of 20 windows of 50 texts.
    """
    raise RuntimeError("fill in psi")
