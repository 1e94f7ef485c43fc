"""The single tests: by hand, against loops and scikit-learn, and whether their p-values mean what they say."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chi2, kstest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, cross_val_predict

from model_optimization.monitoring.shift_tests import (
    BINS,
    DIRECTIONS,
    FOLDS,
    by_permutation,
    domain_auc,
    ks,
    mmd,
    psi,
    random_splits,
    rbf_kernel,
    shares,
    tenths,
    whiten,
)
from shared.errors import UserError


def draw(seed=0):
    return np.random.default_rng(seed)


def one_split(n_reference, n_window):
    return np.repeat([False, True], [n_reference, n_window])[None]


def test_mmd_by_hand():
    # Similarity .8 within the reference, .6 within the window, .25 on average across: .8 + .6 - 2 * .25.
    kernel = np.array([[1, 0.8, 0.1, 0.2], [0.8, 1, 0.3, 0.4], [0.1, 0.3, 1, 0.6], [0.2, 0.4, 0.6, 1]])
    assert mmd(kernel, one_split(2, 2)) == pytest.approx([0.9])


def test_mmd_of_every_split_is_that_of_plain_loops():
    rows = draw().normal(size=(11, 3))
    kernel, splits = rbf_kernel(rows), random_splits(7, 4, 5, draw())
    expected = []
    for split in splits:
        r, w = np.flatnonzero(~split), np.flatnonzero(split)
        within = [np.mean([kernel[i, j] for i in side for j in side if i != j]) for side in (r, w)]
        expected.append(sum(within) - 2 * np.mean([kernel[i, j] for i in r for j in w]))
    np.testing.assert_allclose(mmd(kernel, splits), expected, atol=1e-12)


def test_mmd_is_unbiased_its_mean_over_all_splits_is_zero():
    kernel = rbf_kernel(draw().normal(size=(7, 2)))
    splits = np.array([[i in window for i in range(7)] for window in combinations(range(7), 3)])
    assert mmd(kernel, splits).mean() == pytest.approx(0, abs=1e-12)


def test_mmd_does_not_ask_which_sample_is_the_window_nor_for_the_order_of_rows():
    rows, split = draw().normal(size=(30, 4)), one_split(20, 10)
    found = mmd(rbf_kernel(rows), split)
    assert mmd(rbf_kernel(rows), ~split) == pytest.approx(found)
    order = draw(1).permutation(30)
    assert mmd(rbf_kernel(rows[order]), split[:, order]) == pytest.approx(found)


def test_32_bits_are_enough_for_mmd():
    rows, splits = draw().normal(size=(600, 50)), random_splits(500, 100, 99, draw())
    kernel = rbf_kernel(rows)
    exact = mmd(kernel, splits)
    np.testing.assert_allclose(mmd(kernel.astype(np.float32), splits), exact, atol=exact.std() / 100)


def test_the_kernel_is_as_wide_as_the_median_distance():
    # Distances 1, 2 and 3, of which 2 is the median: exp(-1 / 8), exp(-4 / 8), exp(-9 / 8).
    kernel = rbf_kernel(np.array([[0.0], [1.0], [3.0]]))
    expected = [[1, math.exp(-1 / 8), math.exp(-9 / 8)], [math.exp(-1 / 8), 1, math.exp(-0.5)]]
    np.testing.assert_allclose(kernel[:2], expected)
    np.testing.assert_allclose(rbf_kernel(np.array([[0.0], [10.0], [30.0]])), kernel)


def test_the_kernel_of_rows_most_of_which_are_the_same_is_still_a_kernel():
    kernel = rbf_kernel(np.array([[0.0]] * 8 + [[1.0], [2.0]]))
    assert np.isfinite(kernel).all() and kernel[0, 1] == 1 and 0 < kernel[0, 9] < kernel[0, 8] < 1


def test_the_p_value_counts_the_true_split_among_all():
    found = by_permutation(np.array([3.0, 1.0, 2.0, 3.0]))
    assert found.statistic == 3 and found.p == 0.5 and found.null.tolist() == [1, 2, 3]
    assert by_permutation(np.array([9.0] + [0.0] * 99)).p == 0.01, "it is never 0"


def test_splits_begin_with_the_true_one_and_put_every_row_into_the_window_equally_often():
    splits = random_splits(6, 2, 4000, draw())
    assert splits[0].tolist() == [False] * 6 + [True] * 2
    assert (splits.sum(1) == 2).all()
    np.testing.assert_allclose(splits[1:].mean(0), 0.25, atol=0.03)


def test_whitening_leaves_directions_of_equal_variance_and_at_most_half_of_the_numbers():
    rows = draw().normal(size=(400, 8)) * np.array([100, 10, 1, 1, 1, 0.1, 0.1, 0.1])
    white = whiten(rows)
    assert white.shape == (400, 4)
    np.testing.assert_allclose(np.cov(white.T), np.eye(4), atol=1e-3)
    assert whiten(draw().normal(size=(300, 200))).shape == (300, DIRECTIONS)


def test_texts_that_are_all_the_same_are_one_clear_line():
    with pytest.raises(UserError, match="all texts .* are the same") as caught:
        whiten(np.ones((30, 8), np.float16))
    assert "\n" not in str(caught.value)


def test_the_area_of_each_split_is_that_of_scikit_learn():
    rows, splits = draw().normal(size=(40, 5)), random_splits(25, 15, 3, draw())
    rows[splits[0], 0] += 1
    rows -= rows.mean(0)
    order, model = draw(7).permutation(40), Ridge(fit_intercept=False)
    expected = [
        roc_auc_score(split, cross_val_predict(model, rows[order], split - split.mean(), cv=KFold(FOLDS)))
        for split in splits[:, order]
    ]
    np.testing.assert_allclose(domain_auc(rows + 3, splits, draw(7)), expected, atol=1e-12)


def test_the_area_is_one_where_a_line_parts_them_and_about_a_half_where_nothing_does():
    rows, splits = draw().normal(size=(300, 6)), random_splits(200, 100, 200, draw())
    assert domain_auc(rows, splits, draw()).mean() == pytest.approx(0.5, abs=0.02)
    rows[splits[0], 2] += 20
    assert domain_auc(rows, splits, draw())[0] == 1


def test_equal_rows_on_both_sides_are_no_evidence():
    rows = np.tile(draw().normal(size=(4, 3)), (60, 1))
    p_values = [by_permutation(domain_auc(rows, random_splits(160, 80, 99, draw(i)), draw(i))).p for i in range(60)]
    assert np.mean(p_values) > 0.5


@pytest.mark.parametrize("statistic", ["mmd", "classifier"])
def test_without_a_shift_the_p_values_of_permutations_are_uniform(statistic):
    p_values = []
    for trial in range(250):
        random = draw(trial)
        rows, splits = whiten(random.standard_t(4, size=(60, 6))), random_splits(40, 20, 99, random)
        found = mmd(rbf_kernel(rows), splits) if statistic == "mmd" else domain_auc(rows, splits, random)
        p_values.append(by_permutation(found).p)
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.1) == pytest.approx(0.1, abs=0.06)


def test_a_shift_of_the_vectors_is_noticed_the_surer_the_larger_the_window():
    def p_value(n):
        rows = draw(n).normal(size=(300 + n, 6))
        rows[300:, 3] += 1
        return by_permutation(mmd(rbf_kernel(whiten(rows)), random_splits(300, n, 199, draw()))).p

    assert p_value(100) == 0.005 and p_value(5) > 0.05


def test_ks_by_hand():
    # Up to 3 lie three of four of the one and none of the other.
    found = ks(np.array([1, 2, 3, 9]), np.array([4, 5, 6, 10]))
    assert found.statistic == pytest.approx(0.75)
    # Of the 70 ways to split eight values, 16 have a gap of .75 or 1: 2 of them of 1.
    ways = [set(window) for window in combinations(range(8), 4)]
    gaps = [max(abs(sum(i <= x for i in w) - sum(i <= x for i in set(range(8)) - w)) for x in range(8)) for w in ways]
    assert found.p == pytest.approx(np.mean(np.array(gaps) >= 3))


def test_psi_by_hand():
    # The reference fills ten bins with 100 texts each; of 100 in the window all lie in the last. Each bin has half a
    # text more: shares .1 of the reference, .5 / 105 and 100.5 / 105 of the window.
    found = psi(np.arange(1000), np.full(100, 5000))
    few, many = 0.5 / 105, 100.5 / 105
    assert found.statistic == pytest.approx(9 * (few - 0.1) * math.log(few / 0.1) + (many - 0.1) * math.log(many / 0.1))
    assert found.p < 1e-50
    # Three of ten bins of another height, 100 texts in all: ten bins leave nine degrees of freedom.
    found = psi(
        np.arange(1000), np.repeat([50, 150, 250, 350, 450, 550, 650, 750, 850, 950], [4, 16, 10, 14, 6] + [10] * 5)
    )
    assert found.p == pytest.approx(chi2.sf(found.statistic / (1 / 1000 + 1 / 100), 9)) and 0.05 < found.p < 0.5


def test_psi_of_equal_shares_is_zero():
    found = psi(np.arange(1000), np.arange(0, 1000, 5))
    assert found.statistic == pytest.approx(0, abs=1e-3) and found.p == pytest.approx(1, abs=1e-3)


def test_without_a_shift_psi_is_chi_squared_whatever_the_sizes():
    for m, n in ((1000, 200), (300, 300)):
        found = [psi(*np.split(draw(trial).gamma(2, size=m + n), [m])) for trial in range(600)]
        scaled = np.array([test.statistic for test in found]) / (1 / m + 1 / n)
        assert scaled.mean() == pytest.approx(BINS - 1, rel=0.08)
        assert np.mean([test.p <= 0.05 for test in found]) == pytest.approx(0.05, abs=0.03)


def test_the_usual_limit_of_psi_means_little_in_a_small_window():
    """Half of all windows of 50 texts are above .1 without any shift, and hardly any of 1000."""
    large, small = (
        np.mean([psi(*np.split(draw(trial).random(2000 + n), [2000])).statistic > 0.1 for trial in range(200)])
        for n in (1000, 50)
    )
    assert small > 0.5 and large == 0


def test_bins_of_few_distinct_values_are_fewer():
    assert tenths(np.array([5] * 100)).tolist() == [5]
    assert psi(np.full(100, 5), np.full(50, 5)).p == pytest.approx(1, abs=0.35)
    assert psi(np.full(100, 5), np.full(50, 9)).p < 1e-6


def test_shares_add_up_to_one_and_count_what_lies_outside_the_reference():
    found = shares(np.array([-7, 15, 999, 1e9]), tenths(np.arange(1000)))
    assert found.tolist() == [0.5] + [0] * 8 + [0.5]
