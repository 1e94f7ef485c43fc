"""One verdict of six tests: Holm by hand, few false alarms in all, and each kind of drift named by what saw it."""

from dataclasses import replace

import numpy as np
import pytest

from model_optimization.monitoring.readings import UNKNOWN, Readings
from model_optimization.monitoring.shift_tests import Evidence, ks, psi
from model_optimization.monitoring.verdict import Verdict, holm, judge
from shared.errors import UserError


def make(n, seed=0, width=12):
    draw = np.random.default_rng(seed)
    positive = draw.beta(0.5, 0.5, n).astype(np.float32)
    return Readings(
        draw.normal(size=(n, width)).astype(np.float16),
        np.stack([1 - positive, positive], 1),
        draw.integers(20, 300, n).astype(np.int32),
        np.full(n, UNKNOWN, np.int16),
    )


def test_holm_by_hand():
    # Sorted .005, .01, .03, .04 times 4, 3, 2, 1: .02, .03, .06, .04; the last may not be below the one before.
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]


def test_holm_keeps_the_order_raises_no_p_value_above_one_and_leaves_a_single_one_alone():
    draw = np.random.default_rng(0)
    for _ in range(50):
        p = dict(enumerate(draw.random(6)))
        adjusted = holm(p)
        assert all(p[i] <= adjusted[i] <= 1 for i in p)
        assert sorted(p, key=p.get) == sorted(p, key=lambda i: (adjusted[i], p[i]))
        assert min(adjusted.values()) == pytest.approx(min(1, 6 * min(p.values())))
    assert holm({"a": 0.03}) == {"a": 0.03}


def test_without_drift_at_most_one_window_in_twenty_raises_an_alarm():
    alarms = [judge(make(120, 2 * i), make(40, 2 * i + 1), n_permutations=139, seed=i).drift for i in range(150)]
    assert np.mean(alarms) <= 0.08, "of 150 at a rate of .05 more than 12 have a chance of one in twenty-five"


def other_vectors(window):
    moved = window.vectors.copy()
    moved[:, 3] += 1.5
    return replace(window, vectors=moved)


@pytest.mark.parametrize(
    "drift, tests",
    [
        (other_vectors, {"mmd", "classifier"}),
        (
            lambda window: replace(window, probabilities=np.tile(np.float32([0.1, 0.9]), (80, 1))),
            {"ks_score", "psi_score"},
        ),
        (lambda window: replace(window, lengths=window.lengths * 3), {"ks_length", "psi_length"}),
    ],
)
def test_each_kind_of_drift_is_seen_by_the_tests_that_look_at_it(drift, tests):
    found = judge(make(300), drift(make(80, 1)))
    assert found.drift and set(found.because) == tests
    assert [found.tests[name].p for name in found.because] == sorted(found.tests[name].p for name in tests)


def test_the_same_texts_and_seed_have_the_same_verdict():
    first, again, other = (judge(make(100), make(50, 1), seed=seed) for seed in (3, 3, 4))
    assert first.adjusted == again.adjusted
    assert first.tests["mmd"].p != other.tests["mmd"].p and first.tests["ks_score"] == other.tests["ks_score"]


def test_alpha_decides():
    strict, loose = (judge(make(200), other_vectors(make(80, 1)), alpha=alpha) for alpha in (0.001, 0.05))
    assert loose.drift and not strict.drift, "499 splits leave no p-value below .002"


def test_a_p_value_of_just_alpha_is_drift():
    found = Verdict(0.05, {"a": Evidence(1.0, 0.025), "b": Evidence(1.0, 0.9)}, {"a": 0.05, "b": 0.9}, 0.8)
    assert found.drift and found.because == ["a"]


def test_each_test_looks_at_its_own_numbers_and_the_estimate_is_of_the_window():
    reference, window = make(200), make(20, 1)
    found = judge(reference, window)
    for measure in ("score", "length"):
        both = (getattr(reference, f"{measure}s"), getattr(window, f"{measure}s"))
        assert found.tests[f"ks_{measure}"] == ks(*both) and found.tests[f"psi_{measure}"] == psi(*both)
    assert found.estimated_accuracy == pytest.approx(window.confidences.mean())


@pytest.mark.parametrize(
    "n_reference, n_window, named", [(100, 0, "window"), (100, 1, "window"), (19, 100, "reference")]
)
def test_too_few_texts_are_one_clear_line(n_reference, n_window, named):
    with pytest.raises(UserError, match=f"the {named} has {min(n_reference, n_window)} texts: give at least 20"):
        judge(make(n_reference), make(n_window, 1))


def test_another_classifiers_readings_are_refused():
    with pytest.raises(UserError, match="different classifiers"):
        judge(make(100, width=12), make(100, width=16))


@pytest.mark.parametrize("n", [60, 500])
def test_texts_that_are_all_equal_on_one_side_only_are_drift(n):
    one = make(1, 5)[np.zeros(n, int)]
    for found in (judge(make(200), one), judge(one, make(200))):
        assert {"mmd", "ks_score", "ks_length"} <= set(found.because)
