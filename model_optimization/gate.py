"""May it ship? Only where it has surely lost no more than a stated share of the accuracy.

Both models answer the same texts, so only those count on which one is right and the other wrong. The bound is Tango's
(Statistics in Medicine 1998): the largest true loss under which so small a loss, or a smaller one, would still be seen
in 5 of 100 tests. It holds with few such texts too, and two models that never differ are not proved equal by it.
"""

from typing import NamedTuple

import numpy as np

Z95 = 1.6448536269514722  # of a normal distribution, one side


class Loss(NamedTuple):
    """Accuracy lost against the baseline, as a fraction of 1, and the one-sided 95 % bound above it."""

    loss: float
    bound: float

    def passes(self, most: float) -> bool:
        return self.bound <= most


def paired_loss(baseline_right: np.ndarray, right: np.ndarray) -> Loss:
    """Whether each answer is right (N,), of the baseline and of what is to ship."""
    n = len(right)
    lost = int((baseline_right & ~right).sum())
    won = int((~baseline_right & right).sum())
    low, high = (lost - won) / n, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _score(lost, won, n, middle) > -Z95 else (low, middle)
    return Loss((lost - won) / n, high)


def _score(lost: int, won: int, n: int, true_loss: float) -> float:
    """By how many standard errors the loss that was seen lies above a true one (Tango, equation 2 and those after it).

    The standard error is that of the likeliest shares of texts won and lost whose difference is the true loss.
    """
    a, b, c = 2 * n, (2 * n - lost + won) * true_loss - lost - won, -won * true_loss * (1 - true_loss)
    share_won = (np.sqrt(b * b - 4 * a * c) - b) / (2 * a)
    error = np.sqrt(n * max(2 * share_won + true_loss * (1 - true_loss), 1e-300))
    return float((lost - won - n * true_loss) / error)


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """The two-sided 95 % interval of an accuracy (Wilson, Journal of the American Statistical Association 1927)."""
    z = 1.959963984540054
    centre = (n_right + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(n_right * (n - n_right) / n + z**2 / 4)
    return float(centre - half), float(centre + half)
