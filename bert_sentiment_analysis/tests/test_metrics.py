"""Measures of the answers: numbers worked out by hand, then scikit-learn and scipy on random data."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as sklearn_metrics

from bert_sentiment_analysis.evaluation.metrics import classification_metrics, correlation, macro_f1


def random_texts(n=300, n_classes=2, seed=0):
    """Labels, and probabilities that lean towards them."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, n_classes, n)
    scores = random.normal(size=(n, n_classes)) + 1.2 * np.eye(n_classes)[labels]
    return labels, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def sure(predicted, n_classes):
    """Probabilities that put nine tenths on the predicted class."""
    probabilities = np.full((len(predicted), n_classes), 0.1 / (n_classes - 1))
    probabilities[np.arange(len(predicted)), predicted] = 0.9
    return probabilities


def test_six_texts_by_hand():
    # True:      0 0 0 1 1 1      Right: 4 of 6. Confusion: of the three 0s two found, of the three 1s two found.
    # Predicted: 0 0 1 1 1 0      Class 1: precision 2/3, recall 2/3, F1 2/3; class 0 the same.
    p = np.array([0.1, 0.4, 0.7, 0.8, 0.6, 0.3])
    # AUC: of the nine pairs (a 1, a 0) ordered rightly are .8 > all 3, .6 > .1 .4, .3 > .1: 6 of 9.
    result = classification_metrics(np.array([0, 0, 0, 1, 1, 1]), np.column_stack([1 - p, p]), ["bad", "good"])
    assert result.accuracy == pytest.approx(4 / 6)
    assert result.macro_f1 == pytest.approx(2 / 3)
    assert result.confusion == [[2, 1], [1, 2]]
    assert result.auc == pytest.approx(6 / 9)
    assert [curve.name for curve in result.roc] == ["good"]
    assert [(line.name, line.support) for line in result.per_class] == [("bad", 3), ("good", 3)]


def test_the_confusion_matrix_has_true_classes_in_rows():
    # Three texts of class 0, two of them taken for class 1.
    result = classification_metrics(np.array([0, 0, 0, 1]), sure([0, 1, 1, 1], 2))
    assert result.confusion == [[1, 2], [0, 1]]


def test_macro_f1_weighs_classes_not_texts():
    # True: 8 times 0, twice 1; all predicted 0. F1 of 0: 2*8 / (8 + 10) = 16/18; F1 of 1: 0. Mean 8/18.
    labels, predictions = np.array([0] * 8 + [1] * 2), np.zeros(10, dtype=int)
    assert macro_f1(labels, predictions) == pytest.approx(8 / 18)
    assert classification_metrics(labels, sure(predictions, 2)).macro_f1 == pytest.approx(8 / 18)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_scores_equal_scikit_learns(n_classes):
    labels, probabilities = random_texts(n_classes=n_classes, seed=n_classes)
    predicted = probabilities.argmax(axis=1)
    result = classification_metrics(labels, probabilities)
    assert result.accuracy == pytest.approx(sklearn_metrics.accuracy_score(labels, predicted))
    assert result.macro_f1 == pytest.approx(sklearn_metrics.f1_score(labels, predicted, average="macro"))
    assert macro_f1(labels, predicted) == pytest.approx(result.macro_f1)
    assert result.confusion == sklearn_metrics.confusion_matrix(labels, predicted).tolist()
    report = sklearn_metrics.classification_report(labels, predicted, output_dict=True)
    for line in result.per_class:
        expected = report[line.name]
        assert line.precision == pytest.approx(expected["precision"])
        assert line.recall == pytest.approx(expected["recall"])
        assert line.f1 == pytest.approx(expected["f1-score"])
        assert line.support == expected["support"]
    scores = probabilities[:, 1] if n_classes == 2 else probabilities
    assert result.auc == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores, multi_class="ovr"))
    assert len(result.roc) == (1 if n_classes == 2 else n_classes)


def test_the_area_under_each_roc_curve_is_its_auc():
    result = classification_metrics(*random_texts(n_classes=3))
    for curve in result.roc:
        assert curve.auc == pytest.approx(np.trapezoid(curve.true_positive_rate, curve.false_positive_rate))
        assert (curve.false_positive_rate[0], curve.true_positive_rate[-1]) == (0, 1)


def test_a_class_that_never_occurs_has_no_scores_and_does_not_lower_the_mean():
    labels, predicted = np.array([0, 0, 2, 2]), np.array([0, 2, 2, 2])  # class 1 of three is neither true nor predicted
    result = classification_metrics(labels, sure(predicted, 3))
    absent = result.per_class[1]
    assert (absent.precision, absent.recall, absent.f1, absent.support) == (None, None, None, 0)
    # F1 of 0: 2*1 / (2 + 1) = 2/3; of 2: 2*2 / (2 + 3) = 4/5.
    assert result.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert result.macro_f1 == pytest.approx(sklearn_metrics.f1_score(labels, predicted, average="macro"))
    assert macro_f1(labels, predicted) == pytest.approx(result.macro_f1)
    assert [curve.name for curve in result.roc] == ["0", "2"]
    assert result.auc == pytest.approx(np.mean([curve.auc for curve in result.roc]))


def test_a_class_only_predicted_has_no_recall_and_an_f1_of_zero():
    result = classification_metrics(np.array([0, 0, 2, 2]), sure([0, 1, 2, 2], 3))
    wrongly_seen = result.per_class[1]
    assert (wrongly_seen.precision, wrongly_seen.recall, wrongly_seen.f1) == (0, None, 0)


def test_one_true_class_alone_has_no_roc():
    result = classification_metrics(np.ones(4, dtype=int), sure([1, 1, 0, 1], 2))
    assert (result.roc, result.auc, result.accuracy) == ([], None, 0.75)


def test_the_result_is_json():
    result = classification_metrics(*random_texts(n_classes=3))
    assert json.loads(json.dumps(asdict(result), allow_nan=False)) == asdict(result)


@pytest.mark.parametrize(
    ("labels", "probabilities", "what"),
    [
        (np.array([], dtype=int), np.zeros((0, 2)), "no labels"),
        (np.array([0, 1]), np.array([[0.5, 0.5]]), "lengths differ"),
        (np.array([0, 2]), np.array([[0.5, 0.5]] * 2), "from 0 to 2 but must be 0 to 1"),
        (np.array([0, -1]), np.array([[0.5, 0.5]] * 2), "-1 to 0"),
        (np.array(["pos"]), np.array([[0.5, 0.5]]), "whole number"),
        (np.array([0.5]), np.array([[0.5, 0.5]]), "whole number"),
        (np.array([0, 1]), np.array([[0.5, 0.5], [0.6, 0.5]]), "row 1 is no distribution"),
        (np.array([0]), np.array([[1.5, -0.5]]), "no distribution"),
        (np.array([0]), np.array([[np.nan, 0.5]]), "no distribution"),
        (np.array([0]), np.array([[1.0]]), "two or more"),
        (np.array([0]), np.array([0.3]), "two or more"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_remedy(labels, probabilities, what):
    with pytest.raises(ValueError, match=what) as fault:
        classification_metrics(labels, probabilities)
    assert ": " in str(fault.value)


def test_half_precision_probabilities_are_accepted():
    labels, probabilities = random_texts(n_classes=3)
    rough = np.round(probabilities * 256) / 256
    assert classification_metrics(labels, rough).n == len(labels)


def test_a_wrong_number_of_class_names_is_refused():
    with pytest.raises(ValueError, match="1 class names for 2"):
        classification_metrics(np.array([0]), np.array([[0.5, 0.5]]), ["bad"])


def test_correlation_by_hand():
    # x - mean: -1.5 -.5 .5 1.5; y - mean: -2 0 -1 3. Sum of products 3 - .5 + 4.5 = 7; squares 5 and 14.
    result = correlation(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 6]))
    r = 7 / math.sqrt(5 * 14)
    assert result.pearson_r == pytest.approx(r)
    # N - 3 = 1, so atanh(r) -+ 1.96.
    assert result.low == pytest.approx(math.tanh(math.atanh(r) - 1.959964), rel=1e-5)
    assert result.high == pytest.approx(math.tanh(math.atanh(r) + 1.959964), rel=1e-5)
    # Ranks 1 2 3 4 and 1 3 2 4: 1 - 6 * (1 + 1) / (4 * 15) = .8.
    assert result.spearman_r == pytest.approx(0.8)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_correlation_equals_scipys(sign, level):
    random = np.random.default_rng(3)
    human = random.normal(size=50)
    predicted = sign * human + random.normal(size=50)
    result, expected = correlation(predicted, human, level), pearsonr(predicted, human)
    interval = expected.confidence_interval(level)
    assert result.pearson_r == pytest.approx(expected.statistic)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.spearman_r == pytest.approx(spearmanr(predicted, human).statistic)
    assert sign * result.pearson_r > 0.3


@pytest.mark.parametrize("flat", ["predicted", "human_mean"])
def test_correlation_of_a_constant_is_undefined(flat):
    values = {"predicted": np.array([1.0, 2, 3, 5]), "human_mean": np.array([1.0, 2, 3, 5]), flat: np.full(4, 0.1)}
    result = correlation(**values)
    assert (result.n, result.pearson_r, result.low, result.high, result.spearman_r) == (4, None, None, None, None)


def test_correlation_of_three_texts_has_no_interval():
    result = correlation(np.array([1, 2, 4]), np.array([1, 3, 2]))
    assert result.pearson_r is not None
    assert (result.low, result.high) == (None, None)


def test_a_perfect_correlation_has_an_interval_without_width():
    result = correlation(np.arange(9), 2 * np.arange(9) + 1)
    assert (result.pearson_r, result.low, result.high) == pytest.approx((1, 1, 1))


def test_correlation_refuses_nothing_and_missing_ratings():
    with pytest.raises(ValueError, match="no values"):
        correlation(np.array([]), np.array([]))
    with pytest.raises(ValueError, match="missing"):
        correlation(np.array([1.0, np.nan]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="lengths differ"):
        correlation(np.array([1.0, 2.0]), np.array([1.0, 2.0, 3.0]))
