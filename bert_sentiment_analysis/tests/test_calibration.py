"""Calibration and abstaining: bins and bands worked out by hand, then slow definitions and scikit-learn."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from bert_sentiment_analysis.evaluation.calibration import (
    TEMPERATURES,
    abstain_band,
    abstains,
    apply_temperature,
    calibration,
    fit_temperature,
    risk_coverage,
)


def answers(confidences, right):
    """Labels and two-class probabilities: class 1 is always the answer, given with that confidence."""
    confidences = np.array(confidences, dtype=float)
    return np.array(right, dtype=int), np.column_stack([1 - confidences, confidences])


def random_logits(n=400, n_classes=3, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, n_classes, n)
    return 3 * (random.normal(size=(n, n_classes)) + np.eye(n_classes)[labels]), labels


def test_ece_by_hand():
    # Two bins over (.5, .75] and (.75, 1] of four: .6 .7 (one right: .5 against .65), .8 .9 (both: 1 against .85).
    # ECE = 2/4 * .15 + 2/4 * .15 = .15.
    result = calibration(*answers([0.6, 0.7, 0.8, 0.9], [0, 1, 1, 1]), n_bins=4)
    assert result.ece == pytest.approx(0.15)
    assert [line.count for line in result.bins] == [0, 0, 2, 2]
    assert [line.confidence for line in result.bins] == [None, None, pytest.approx(0.65), pytest.approx(0.85)]
    assert [line.accuracy for line in result.bins] == [None, None, 0.5, 1.0]


def test_bins_weigh_by_their_texts():
    # Three texts at .9, all right: gap .1. One at .6, wrong: gap .6. ECE = 3/4 * .1 + 1/4 * .6 = .225, mean gap .35.
    assert calibration(*answers([0.9, 0.9, 0.9, 0.6], [1, 1, 1, 0]), n_bins=10).ece == pytest.approx(0.225)


@pytest.mark.parametrize("edge", [0.6, 0.7, 0.8, 0.9, 1.0])
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(edge):
    filled = [line for line in calibration(*answers([edge], [1]), n_bins=10).bins if line.count]
    assert [(line.low, line.high) for line in filled] == [(pytest.approx(edge - 0.1), edge)]


def test_ece_equals_the_definition_written_as_a_loop():
    logits, labels = random_logits()
    probabilities = apply_temperature(logits, 1.0)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration(labels, probabilities).ece == pytest.approx(expected)


def test_adaptive_bins_hold_equally_many():
    # Six texts in three bins of two: gaps |.5 - .555|, |1 - .625|, |1 - .8|, each weighing a third.
    result = calibration(*answers([0.9, 0.55, 0.6, 0.65, 0.7, 0.56], [1, 1, 1, 1, 1, 0]), n_bins=3)
    assert [line.count for line in result.adaptive_bins] == [2, 2, 2]
    assert [(line.low, line.high) for line in result.adaptive_bins] == [(0.55, 0.56), (0.6, 0.65), (0.7, 0.9)]
    assert result.adaptive_ece == pytest.approx((0.055 + 0.375 + 0.2) / 3)


def test_adaptive_bins_equal_a_cut_of_the_sorted_texts():
    logits, labels = random_logits(n=407)
    probabilities = apply_temperature(logits, 1.0)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.argsort(confidence)
    gaps = [len(part) * abs(right[part].mean() - confidence[part].mean()) for part in np.array_split(order, 15)]
    result = calibration(labels, probabilities)
    assert result.adaptive_ece == pytest.approx(sum(gaps) / 407)
    assert sum(line.count for line in result.adaptive_bins) == 407


def test_equal_confidences_share_a_bin_whatever_their_order():
    one_way = calibration(*answers([0.8] * 6 + [0.9] * 2, [1, 1, 1, 0, 0, 0, 1, 1]), n_bins=4)
    other_way = calibration(*answers([0.8] * 6 + [0.9] * 2, [0, 1, 0, 1, 0, 1, 1, 1]), n_bins=4)
    assert [line.count for line in one_way.adaptive_bins] == [6, 2]
    assert one_way == other_way


def test_one_constant_answer_makes_one_bin_and_its_gap_is_the_error():
    result = calibration(*answers([0.9] * 4, [1, 0, 0, 0]))
    assert result.ece == pytest.approx(0.65)
    assert result.adaptive_ece == pytest.approx(0.65)
    assert len(result.adaptive_bins) == 1


def test_brier_and_nll_by_hand():
    # (1 - .8)^2 = .04 and .4^2 = .16 (wrong): mean .1. NLL: -(ln .8 + ln .6) / 2.
    result = calibration(*answers([0.8, 0.4], [1, 0]))
    assert result.brier == pytest.approx(0.1)
    assert result.nll == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)


def test_brier_of_three_classes_is_the_whole_squared_distance():
    # (.5 - 1)^2 + .3^2 + .2^2 = .38
    assert calibration(np.array([0]), np.array([[0.5, 0.3, 0.2]])).brier == pytest.approx(0.38)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_brier_and_nll_equal_scikit_learns(n_classes):
    logits, labels = random_logits(n_classes=n_classes)
    probabilities = apply_temperature(logits, 1.0)
    result = calibration(labels, probabilities)
    assert result.brier == pytest.approx(brier_score_loss(labels, probabilities, labels=range(n_classes)))
    assert result.nll == pytest.approx(log_loss(labels, probabilities))


def test_certain_and_wrong_costs_a_finite_loss():
    assert 30 < calibration(*answers([1.0], [0])).nll < 40


def test_bin_intervals_are_wider_with_fewer_texts_and_contain_the_accuracy():
    few = calibration(*answers([0.9] * 4, [1, 1, 1, 0]), n_bins=10).bins[8]
    many = calibration(*answers([0.9] * 400, [1, 1, 1, 0] * 100), n_bins=10).bins[8]
    assert few.accuracy_low < many.accuracy_low < 0.75 < many.accuracy_high < few.accuracy_high


def test_calibration_results_are_json():
    result = calibration(*answers([0.6, 0.9], [0, 1]))
    assert json.loads(json.dumps(asdict(result), allow_nan=False)) == asdict(result)


def test_temperature_by_hand():
    # Every answer is given with a logit gap of 4 but only three of four are right. The best T makes
    # sigmoid(4 / T) = .75, so 4 / T = ln 3.
    logits = np.array([[0.0, 4.0]] * 4)
    temperature = fit_temperature(logits, np.array([1, 1, 1, 0]))
    assert temperature == pytest.approx(4 / math.log(3), rel=1e-4)
    np.testing.assert_allclose(apply_temperature(logits, temperature)[:, 1], 0.75, atol=1e-4)


@pytest.mark.parametrize("true_temperature", [0.5, 3.0])
def test_fitting_recovers_the_temperature_that_labels_were_drawn_with(true_temperature):
    random = np.random.default_rng(5)
    logits = 2 * random.normal(size=(20000, 3))
    chances = apply_temperature(logits, true_temperature).cumsum(axis=1)
    labels = (random.random((20000, 1)) > chances[:, :-1]).sum(axis=1)
    assert fit_temperature(logits, labels) == pytest.approx(true_temperature, rel=0.05)


def test_no_other_temperature_has_a_lower_loss():
    logits, labels = random_logits()
    best = fit_temperature(logits, labels)
    loss = calibration(labels, apply_temperature(logits, best)).nll
    for factor in (0.8, 0.97, 1.03, 1.25):
        assert calibration(labels, apply_temperature(logits, best * factor)).nll > loss


def test_temperature_keeps_every_answer_and_lowers_the_confidence_above_one():
    logits, _ = random_logits()
    plain, cooled = apply_temperature(logits, 1.0), apply_temperature(logits, 2.0)
    np.testing.assert_array_equal(plain.argmax(axis=1), cooled.argmax(axis=1))
    assert (cooled.max(axis=1) < plain.max(axis=1)).all()
    np.testing.assert_allclose(cooled.sum(axis=1), 1)


def test_validation_data_without_a_mistake_asks_for_zero_and_gets_a_small_temperature():
    temperature = fit_temperature(np.array([[0.0, 4.0], [4.0, 0.0]]), np.array([1, 0]))
    assert TEMPERATURES[0] < temperature < 0.1


def test_answers_that_are_all_wrong_ask_for_infinity_and_get_a_large_temperature():
    temperature = fit_temperature(np.array([[0.0, 4.0], [4.0, 0.0]]), np.array([0, 1]))
    assert temperature == pytest.approx(TEMPERATURES[1], rel=0.01)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_impossible_temperatures_are_refused(temperature):
    with pytest.raises(ValueError, match="above 0"):
        apply_temperature(np.zeros((1, 2)), temperature)


def test_no_texts_to_calibrate_give_none():
    assert apply_temperature(np.zeros((0, 2)), 2.0).shape == (0, 2)


def test_fitting_refuses_nothing_and_infinite_logits():
    with pytest.raises(ValueError, match="no labels"):
        fit_temperature(np.zeros((0, 2)), np.array([], dtype=int))
    with pytest.raises(ValueError, match="not finite"):
        fit_temperature(np.array([[0.0, math.inf]]), np.array([0]))


def test_risk_coverage_by_hand():
    # By confidence: .9 right, .8 wrong, .7 right, .6 wrong.
    result = risk_coverage(*answers([0.6, 0.9, 0.7, 0.8], [0, 1, 1, 0]))
    assert result.coverage == [0.25, 0.5, 0.75, 1.0]
    assert result.accuracy == pytest.approx([1, 1 / 2, 2 / 3, 2 / 4])
    assert result.threshold == [0.9, 0.8, 0.7, 0.6]


def test_texts_of_equal_confidence_are_answered_together():
    result = risk_coverage(*answers([0.9, 0.8, 0.8, 0.6], [1, 1, 0, 0]))
    assert result.coverage == [0.25, 0.75, 1.0]
    assert result.accuracy == pytest.approx([1, 2 / 3, 2 / 4])


def test_many_points_are_thinned_and_the_ends_stay():
    logits, labels = random_logits()
    probabilities = apply_temperature(logits, 1.0)
    full, thin = (risk_coverage(labels, probabilities, most) for most in (10**6, 20))
    assert len(full.coverage) == 400
    assert len(thin.coverage) == 20
    assert (thin.coverage[0], thin.coverage[-1]) == (1 / 400, 1.0)
    assert thin.accuracy[-1] == (probabilities.argmax(axis=1) == labels).mean()
    assert set(zip(thin.coverage, thin.accuracy, strict=True)) <= set(zip(full.coverage, full.accuracy, strict=True))


def test_the_band_is_the_narrowest_that_reaches_the_target():
    # By confidence right right wrong right wrong: accuracies 1, 1, 2/3, 3/4, 3/5. Wanting .7 answers four of five.
    labels, probabilities = answers([0.95, 0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1, 0])
    band = abstain_band(probabilities, labels, 0.7)
    assert (band.coverage, band.accuracy, band.n) == (0.8, 0.75, 5)
    assert band.threshold == pytest.approx(0.65)
    # Wanting all right answers two: .85 lies midway to the first mistake.
    band = abstain_band(probabilities, labels, 1.0)
    assert (band.coverage, band.accuracy) == (0.4, 1.0)
    assert band.threshold == pytest.approx(0.85)


def test_a_band_keeps_its_word_on_the_texts_that_it_was_chosen_on():
    logits, labels = random_logits(n_classes=2)
    probabilities = np.round(apply_temperature(logits, 1.0), 2)  # many equal confidences
    probabilities[:, 0] = 1 - probabilities[:, 1]
    band = abstain_band(probabilities, labels, 0.9)
    answered = ~abstains(probabilities, band.threshold)
    assert 0 < answered.mean() < 1
    assert answered.mean() == pytest.approx(band.coverage)
    assert (probabilities.argmax(axis=1) == labels)[answered].mean() == pytest.approx(band.accuracy)
    assert band.accuracy >= 0.9


def test_no_band_is_needed_where_all_answers_suffice():
    labels, probabilities = answers([0.9, 0.5], [1, 1])
    probabilities[1], labels[1] = [0.5, 0.5], 0
    band = abstain_band(probabilities, labels, 0.9)
    assert (band.threshold, band.coverage) == (0.5, 1.0)
    assert not abstains(probabilities, band.threshold).any()


def test_a_band_that_cannot_be_had_is_none():
    assert abstain_band(*reversed(answers([0.9, 0.8], [0, 1])), 0.9) is None


def test_the_band_surrounds_undecided_on_both_sides():
    probabilities = np.array([[0.6, 0.4], [0.4, 0.6], [0.2, 0.8], [0.8, 0.2]])
    assert abstains(probabilities, 0.7).tolist() == [True, True, False, False]


@pytest.mark.parametrize("target", [0, -0.1, 1.1, 95])
def test_a_target_that_is_no_share_is_refused(target):
    with pytest.raises(ValueError, match="fraction"):
        abstain_band(np.array([[0.4, 0.6]]), np.array([1]), target)


@pytest.mark.parametrize("measure", [calibration, risk_coverage, lambda y, p: abstain_band(p, y, 0.9)])
def test_nothing_and_logits_are_refused(measure):
    with pytest.raises(ValueError, match="no labels"):
        measure(np.array([], dtype=int), np.zeros((0, 2)))
    with pytest.raises(ValueError, match="softmax"):
        measure(np.array([1]), np.array([[-2.0, 3.0]]))


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="1 or more"):
        calibration(*answers([0.9], [1]), n_bins=0)
