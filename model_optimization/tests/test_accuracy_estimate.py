"""Accuracy without labels: by hand, where each estimate must be exact, and the rule that chooses one."""

import numpy as np
import pytest

from model_optimization.monitoring.accuracy_estimate import ESTIMATES, choose
from model_optimization.monitoring.readings import Readings


def make(confidences, right, vectors=None):
    confidences, right = np.array(confidences), np.array(right, bool)
    vectors = np.random.default_rng(0).normal(size=(len(right), 8)) if vectors is None else vectors
    probabilities = np.stack([confidences, 1 - confidences], 1)
    return Readings(np.float16(vectors), probabilities, np.ones(len(right), int), (~right).astype(int))


REFERENCE = make([0.6, 0.7, 0.8, 0.9], [False, True, True, True])
WINDOW = make([0.55, 0.65, 0.75, 0.85, 0.95], [True] * 5)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("average_confidence", 0.75),  # the mean
        ("difference_of_confidences", 0.75),  # the reference's accuracy .75, and its confidence, .75 too
        ("thresholded_confidence", 0.6),  # a quarter of the reference lies below .7, and of the window two of five
    ],
)
def test_estimates_by_hand(name, expected):
    assert ESTIMATES[name](REFERENCE, WINDOW) == pytest.approx(expected)


def test_where_the_window_is_less_sure_than_the_reference_less_is_estimated():
    # The window's mean confidence is .65, a tenth below the reference's, whose accuracy is .75.
    doubtful = make([0.6, 0.7], [True, False])
    assert ESTIMATES["difference_of_confidences"](REFERENCE, doubtful) == pytest.approx(0.65)
    assert ESTIMATES["average_confidence"](REFERENCE, doubtful) == pytest.approx(0.65)


@pytest.mark.parametrize("name", [name for name in ESTIMATES if name != "average_confidence"])
def test_of_the_reference_itself_they_say_its_accuracy(name):
    draw = np.random.default_rng(1)
    reference = make(draw.uniform(0.5, 1, 200), draw.random(200) < 0.8)
    assert ESTIMATES[name](reference, reference) == pytest.approx(reference.right.mean(), abs=1e-6)


def test_honest_probabilities_say_the_accuracy_of_any_texts():
    draw = np.random.default_rng(2)
    for low, high in ((0.5, 0.7), (0.8, 1.0)):
        confidences = draw.uniform(low, high, 20_000)
        window = make(confidences, draw.random(20_000) < confidences)
        assert ESTIMATES["average_confidence"](REFERENCE, window) == pytest.approx(window.right.mean(), abs=0.01)


def test_reweighting_finds_the_accuracy_where_it_goes_by_what_a_text_is_about():
    """Two topics, of which one is always answered wrongly: the window has more of it."""

    def mixture(n, share, seed):
        draw = np.random.default_rng(seed)
        hard = draw.random(n) < share
        vectors = draw.normal(size=(n, 8))
        vectors[:, 0] += 6 * hard
        return make(np.full(n, 0.9), ~hard, vectors)

    reference, window = mixture(6000, 0.2, 0), mixture(3000, 0.5, 1)
    assert ESTIMATES["reweighted_reference"](reference, window) == pytest.approx(0.5, abs=0.1)
    assert ESTIMATES["average_confidence"](reference, window) == pytest.approx(0.9), "which it does not see"


def test_every_answer_wrong_or_none_leaves_a_threshold():
    for right, expected in ((False, 0.0), (True, 0.8)):
        reference = make([0.6, 0.7, 0.99], [right] * 3)
        assert ESTIMATES["thresholded_confidence"](reference, WINDOW) == pytest.approx(expected)


def test_the_one_with_the_least_mean_error_is_chosen():
    chosen, errors = choose(REFERENCE, {"window": make([0.75] * 4, [True, True, True, False])})
    assert chosen == "average_confidence" and errors[chosen] == pytest.approx(0)
    assert errors["thresholded_confidence"] == pytest.approx(0.25)
    assert errors.keys() == ESTIMATES.keys()


def test_an_estimate_too_high_here_and_too_low_there_has_errors_that_do_not_cancel():
    high, low = make([0.9] * 4, [True] * 2 + [False] * 2), make([0.6] * 4, [True] * 4)
    _, errors = choose(REFERENCE, {"high": high, "low": low})
    assert errors["average_confidence"] == pytest.approx((0.4 + 0.4) / 2)
