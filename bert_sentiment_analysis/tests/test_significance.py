"""Intervals and comparisons: coin tosses counted by hand, then scipy, then what they must get right by chance."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from bert_sentiment_analysis.evaluation.metrics import macro_f1
from bert_sentiment_analysis.evaluation.significance import compare_models
from shared.significance import CELLS_AT_ONCE, bootstrap_interval, holm, mcnemar


def test_the_interval_of_a_mean_equals_scipys():
    values = np.random.default_rng(1).normal(size=80)
    ours = bootstrap_interval(values, resamples=500, level=0.9, seed=7)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=500, confidence_level=0.9, method="percentile", rng=np.random.default_rng(7)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.estimate == pytest.approx(values.mean())


def test_the_interval_of_a_paired_statistic_equals_scipys():
    random = np.random.default_rng(2)
    x = random.normal(size=60)
    y = x + random.normal(size=60)

    def r(a, b):
        return np.corrcoef(a, b)[0, 1]

    ours = bootstrap_interval(x, y, statistic=r, resamples=300, seed=3)
    theirs = bootstrap(
        (x, y), r, paired=True, vectorized=False, n_resamples=300, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.low > 0.3, "columns redrawn apart from each other would not correlate"


def test_a_mean_by_statistic_and_by_matrix_is_the_same():
    right = np.random.default_rng(4).integers(0, 2, 50)
    by_matrix = bootstrap_interval(right, resamples=200)
    by_statistic = bootstrap_interval(right, statistic=np.mean, resamples=200)
    assert vars(by_matrix) == pytest.approx(vars(by_statistic))


def test_many_texts_are_drawn_in_chunks_with_every_resample_made(monkeypatch):
    values = np.arange(10.0)
    whole = bootstrap_interval(values, resamples=25)
    monkeypatch.setattr("shared.significance.CELLS_AT_ONCE", 70)  # 7 + 7 + 7 + 4
    assert bootstrap_interval(values, resamples=25) == whole
    assert CELLS_AT_ONCE > 70


def test_the_interval_of_an_accuracy_is_as_wide_as_theory_says():
    # 400 texts, 80 % right: standard error sqrt(.8 * .2 / 400) = .02, so about .8 -+ .039.
    interval = bootstrap_interval(np.array([1] * 320 + [0] * 80), resamples=4000)
    assert (interval.low, interval.high) == pytest.approx((0.761, 0.839), abs=0.005)


def test_macro_f1_has_an_interval():
    random = np.random.default_rng(5)
    labels = random.integers(0, 2, 200)
    predictions = np.where(random.random(200) < 0.8, labels, 1 - labels)
    interval = bootstrap_interval(labels, predictions, statistic=macro_f1, resamples=300)
    assert interval.low < interval.estimate == macro_f1(labels, predictions) < interval.high


def test_a_seed_repeats_an_interval_and_another_moves_it():
    values = np.random.default_rng(6).normal(size=40)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_equal_values_have_an_interval_without_width():
    interval = bootstrap_interval(np.ones(5))
    assert (interval.estimate, interval.low, interval.high) == (1, 1, 1)


def test_bootstrap_refuses_what_has_no_interval():
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval(np.array([]))
    with pytest.raises(ValueError, match="lengths differ"):
        bootstrap_interval(np.ones(3), np.ones(4), statistic=macro_f1)
    with pytest.raises(ValueError, match="one column"):
        bootstrap_interval(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval(np.ones(3), level=95)
    with pytest.raises(ValueError, match="undefined"):
        bootstrap_interval(np.ones(3), statistic=lambda values: np.nan)


def test_mcnemar_by_hand():
    # Ten texts that only one gets right: 8 against 2. P(8 or more of 10 tosses) = (45 + 10 + 1) / 1024, twice that.
    right = np.array([True] * 8 + [False] * 2 + [True] * 50 + [False] * 7)
    other = np.array([False] * 8 + [True] * 2 + [True] * 50 + [False] * 7)
    assert mcnemar(right, other) == (pytest.approx(112 / 1024), 8, 2)
    assert mcnemar(other, right) == (pytest.approx(112 / 1024), 2, 8)


def test_models_that_agree_everywhere_do_not_differ():
    assert mcnemar(np.array([1, 0, 1]), np.array([1, 0, 1])) == (1.0, 0, 0)


def test_mcnemar_ignores_what_both_get_right():
    right, other = np.array([1] * 9 + [0]), np.array([0] * 9 + [1])
    more = np.ones(1000, dtype=int)
    assert mcnemar(np.append(right, more), np.append(other, more)) == mcnemar(right, other)


def test_holm_by_hand():
    # Sorted .01 .03 .04 times 3 2 1: .03 .06 .04, and the last may not fall below .06.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_holm_equals_its_step_down_procedure():
    random = np.random.default_rng(8)
    for _ in range(20):
        p = random.random(6) ** 3
        for level in (0.01, 0.05, 0.3):
            rejected = set()
            for step, index in enumerate(np.argsort(p)):
                if p[index] > level / (len(p) - step):
                    break
                rejected.add(index)
            assert {i for i, corrected in enumerate(holm(p)) if corrected <= level} == rejected


def test_holm_of_one_test_changes_nothing_and_never_exceeds_one():
    assert holm([0.2]) == [0.2]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match="p values"):
        holm([0.5, np.nan])


def two_models(n=1000, apart=10):
    """Labels, and two models of which one is right wherever the other is and on `apart` texts more."""
    labels = np.random.default_rng(9).integers(0, 2, n)
    better = np.where(np.arange(n) < n // 5, 1 - labels, labels)  # 80 % right
    worse = better.copy()
    worse[-apart:] = 1 - labels[-apart:]
    return labels, better, worse


def test_a_small_difference_counts_when_it_is_always_on_one_side():
    # A difference of .01 with 80 % right: apart from each other each would waver by .0126, paired the gap by .0031.
    labels, better, worse = two_models()
    (comparison,) = compare_models(labels, {"better": better, "worse": worse})
    assert comparison.difference == pytest.approx(0.01)
    assert 0 < comparison.low < 0.01 < comparison.high < 0.02
    assert comparison.p_value == pytest.approx(2 * 0.5**10)
    assert (comparison.only_model_right, comparison.only_other_right, comparison.n) == (10, 0, 1000)


def test_the_difference_favours_the_first_named_and_turns_with_the_order():
    labels, better, worse = two_models()
    (forward,) = compare_models(labels, {"better": better, "worse": worse})
    (backward,) = compare_models(labels, {"worse": worse, "better": better})
    assert (forward.model, forward.other) == (backward.other, backward.model) == ("better", "worse")
    assert forward.difference == -backward.difference
    assert (forward.low, forward.high) == pytest.approx((-backward.high, -backward.low), abs=1e-3)


def test_all_pairs_are_compared_and_corrected_together():
    labels, better, worse = two_models()
    comparisons = compare_models(labels, {"a": better, "b": worse, "c": 1 - labels})
    assert [(c.model, c.other) for c in comparisons] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [c.p_holm for c in comparisons] == pytest.approx(holm([c.p_value for c in comparisons]))
    assert comparisons[0].p_holm == pytest.approx(comparisons[0].p_value), "the largest of the three stays"
    assert comparisons[1].p_holm > comparisons[1].p_value


def test_a_reference_is_compared_with_each_other_model_only():
    labels, better, worse = two_models()
    comparisons = compare_models(labels, {"a": better, "b": worse, "c": 1 - labels}, reference="b")
    assert [(c.model, c.other) for c in comparisons] == [("a", "b"), ("c", "b")]
    assert comparisons[0].difference > 0 > comparisons[1].difference
    # Two tests, not three, are corrected for.
    assert comparisons[1].p_holm == pytest.approx(2 * comparisons[1].p_value)


def test_models_that_are_equally_good_are_rarely_told_apart():
    random = np.random.default_rng(10)
    labels = np.zeros(200, dtype=int)
    alarms = sum(mcnemar(*(random.random((2, 200)) < 0.8))[0] < 0.05 for _ in range(300))
    assert alarms / 300 < 0.06
    assert len(compare_models(labels, {"alone": labels})) == 0


def test_comparing_refuses_other_texts_and_unknown_references():
    labels = np.array([0, 1])
    with pytest.raises(ValueError, match="lengths differ"):
        compare_models(labels, {"a": np.array([0, 1, 1])})
    with pytest.raises(ValueError, match="reference 'z'"):
        compare_models(labels, {"a": labels}, reference="z")
    with pytest.raises(ValueError, match="no labels"):
        compare_models(np.array([], dtype=int), {"a": np.array([], dtype=int)})
    with pytest.raises(ValueError, match="whole number"):
        compare_models(labels, {"a": np.array([[0.5, 0.5], [0.5, 0.5]])})
