"""Has what comes in drifted from the reference? Six tests, and one verdict that is corrected for their number.

With six tests at .05 each, a window without any drift would raise an alarm in up to 30 of 100 cases. Holm's correction
(Scandinavian Journal of Statistics 1979) keeps all false alarms together below .05 however the tests depend on each
other, and they do: all of them look at the same texts. It also says which tests speak, at no cost over Bonferroni's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from model_optimization.monitoring.accuracy_estimate import CHOSEN, ESTIMATES
from model_optimization.monitoring.readings import Readings
from model_optimization.monitoring.shift_tests import (
    Evidence,
    by_permutation,
    domain_auc,
    ks,
    mmd,
    psi,
    random_splits,
    rbf_kernel,
    whiten,
)
from shared.errors import UserError

N_PERMUTATIONS = 499
SMALLEST = 20  # texts of a window or reference


@dataclass(frozen=True)
class Verdict:
    """`drift` where any adjusted p-value is at most `alpha`."""

    alpha: float
    tests: dict[str, Evidence]
    adjusted: dict[str, float]
    estimated_accuracy: float

    @property
    def because(self) -> list[str]:
        """The tests that speak, the surest first."""
        speaking = [name for name, p in self.adjusted.items() if p <= self.alpha]
        return sorted(speaking, key=lambda name: self.tests[name].p)

    @property
    def drift(self) -> bool:
        return bool(self.because)


def judge(
    reference: Readings,
    window: Readings,
    alpha: float = 0.05,
    n_permutations: int = N_PERMUTATIONS,
    seed: int | tuple[int, ...] = 0,
) -> Verdict:
    """Raises UserError where one of the two has too few texts, or all texts are the same to the classifier."""
    for name, readings in (("reference", reference), ("window", window)):
        if len(readings) < SMALLEST:
            raise UserError(f"the {name} has {len(readings)} texts: give at least {SMALLEST}")
    if reference.vectors.shape[1] != window.vectors.shape[1]:
        raise UserError("reference and window were read by different classifiers: make the reference anew")
    draw = np.random.default_rng(seed)
    splits = random_splits(len(reference), len(window), n_permutations, draw)
    rows = whiten(np.concatenate([reference.vectors, window.vectors]))
    tests = {
        "mmd": by_permutation(mmd(rbf_kernel(rows), splits)),
        "classifier": by_permutation(domain_auc(rows, splits, draw)),
        "ks_score": ks(reference.scores, window.scores),
        "psi_score": psi(reference.scores, window.scores),
        "ks_length": ks(reference.lengths, window.lengths),
        "psi_length": psi(reference.lengths, window.lengths),
    }
    adjusted = holm({name: test.p for name, test in tests.items()})
    return Verdict(alpha, tests, adjusted, ESTIMATES[CHOSEN](reference, window))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values: the smallest of K times K, the next times K - 1, and so on, none below the one before it."""
    adjusted, so_far = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        so_far = max(so_far, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = so_far
    return {name: adjusted[name] for name in p_values}
