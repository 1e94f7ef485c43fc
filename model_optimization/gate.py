"""May it ship? Only where it has surely lost no more than a stated share of the accuracy.

Both models answer the same texts, so only the texts count on which one is right and the other wrong. The bound is
Agresti and Min's (Statistics in Medicine 2005): half an observation is added to each cell of the table of right and
wrong, without which two models that never differ on the test would be proved equal by it.
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
    b, c, total = lost + 0.5, won + 0.5, n + 2.0
    centre = (b - c) / total
    error = np.sqrt((b + c) / total - centre**2) / np.sqrt(total)
    return Loss((lost - won) / n, float(centre + Z95 * error))


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """The two-sided 95 % interval of an accuracy (Wilson, Journal of the American Statistical Association 1927)."""
    z = 1.959963984540054
    centre = (n_right + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(n_right * (n - n_right) / n + z**2 / 4)
    return float(centre - half), float(centre + half)
