"""The gate's numbers: by hand, against scipy, and how often the bound really holds."""

import numpy as np
import pytest

from model_optimization.gate import Loss, paired_loss, wilson_interval


def answers(both: int, lost: int, won: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether the baseline and the other are right, by the numbers of texts in each cell."""
    cells = (both, lost, won, neither)
    return np.repeat([True, True, False, False], cells), np.repeat([True, False, True, False], cells)


def test_loss_and_bound_by_hand():
    # 10 texts, 3 lost and 1 won. Of a true loss of .5 the likeliest share won solves 20 q^2 + 5 q - .25 = 0, which is
    # q = .0427; the score is (2 - 5) / sqrt(10 (2 q + .25)) = -1.638, so that the bound lies just above .5.
    found = paired_loss(*answers(5, 3, 1, 1))
    assert found.loss == pytest.approx(0.2)
    assert found.bound == pytest.approx(0.501, abs=1e-3)


def test_a_gain_is_a_loss_below_zero():
    found = paired_loss(*answers(5, 1, 3, 1))
    assert found.loss == pytest.approx(-0.2)
    assert -0.2 < found.bound < 0.2


@pytest.mark.parametrize("n", [1, 10, 100, 1064])
def test_the_same_answers_everywhere_leave_a_doubt_that_shrinks_with_the_texts(n):
    # Nothing won or lost: of a true loss d the score is -sqrt(n d / (1 - d)).
    found = paired_loss(*answers(n, 0, 0, 0))
    assert found.loss == 0 and found.bound == pytest.approx(1.6448536**2 / (n + 1.6448536**2))
    assert found == paired_loss(*answers(0, 0, 0, n))


def test_only_a_bound_within_what_may_be_lost_passes():
    assert Loss(0.0, 0.01).passes(0.01) and not Loss(0.0, 0.0101).passes(0.01)
    assert not Loss(-0.1, 0.02).passes(0.01), "the loss itself does not decide"
    assert not paired_loss(*answers(20, 0, 0, 0)).passes(0.01), "too few texts prove nothing"
    assert paired_loss(*answers(900, 0, 0, 164)).passes(0.01)


def test_more_texts_that_both_answer_alike_narrow_the_bound():
    bounds = [paired_loss(*answers(n, 5, 5, 0)).bound for n in (50, 500, 5000)]
    assert bounds == sorted(bounds, reverse=True)


@pytest.mark.parametrize(
    "n, lost, won", [(1064, 0.02, 0.01), (1064, 0.04, 0.03), (1064, 0.015, 0.005), (2128, 0.02, 0.02), (200, 0.2, 0.1)]
)
def test_the_bound_holds_in_some_95_of_100_draws(n, lost, won):
    draw = np.random.default_rng(0)
    cells = draw.multinomial(n, [0.9 - lost, lost, won, 0.1 - won] if n > 200 else [0.5, lost, won, 0.2], 2000)
    holds = np.mean([paired_loss(*answers(*row)).bound >= lost - won for row in cells])
    assert 0.935 < holds < 0.97, "nor may it be so wide that nothing ships"


def test_the_bound_holds_for_a_variant_that_wins_nowhere():
    """Regression: Agresti and Min's bound held in nine of ten such draws only."""
    cells = np.random.default_rng(0).multinomial(1064, [0.89, 0.01, 0.0, 0.1], 2000)
    holds = np.mean([paired_loss(*answers(*row)).bound >= 0.01 for row in cells])
    assert holds > 0.945


@pytest.mark.parametrize("n_right, n", [(0, 20), (1, 7), (50, 100), (851, 1064), (1064, 1064)])
def test_the_interval_of_an_accuracy_is_that_of_scipy(n_right, n):
    from scipy.stats import binomtest

    theirs = binomtest(n_right, n).proportion_ci(method="wilson")
    assert wilson_interval(n_right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
