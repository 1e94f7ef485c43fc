"""How often is the classifier right, where nobody says what would be? Four estimates from what it answers.

average_confidence          the mean probability of the answers: right where probabilities are honest
difference_of_confidences   the reference's accuracy, less what the confidence has fallen by (arXiv 2107.03315)
thresholded_confidence      the share of answers above a confidence that is fixed by the reference's accuracy
                            (arXiv 2201.04234)
reweighted_reference        the reference's accuracy, its texts weighted by how much they look like the window's
                            (Shimodaira, Journal of Statistical Planning and Inference 2000)

All but the first ask for a reference with labels. None can see that what a text says now means something else.
"""

from collections.abc import Callable, Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression

from model_optimization.monitoring.readings import Readings
from model_optimization.monitoring.shift_tests import whiten


def average_confidence(reference: Readings, window: Readings) -> float:
    return float(window.confidences.mean())


def difference_of_confidences(reference: Readings, window: Readings) -> float:
    return float(reference.right.mean() + window.confidences.mean() - reference.confidences.mean())


def thresholded_confidence(reference: Readings, window: Readings) -> float:
    """As many of the reference's answers lie below the threshold as are wrong (equation 2 of the paper)."""
    n_wrong = int((~reference.right).sum())
    threshold = np.sort(reference.confidences)[min(n_wrong, len(reference) - 1)]
    return float((window.confidences >= threshold).mean())


def reweighted_reference(reference: Readings, window: Readings) -> float:
    """The weight of a text is the odds by which a logistic regression takes it for one of the window's.

    The regression is held back, as a bolder one lets a handful of texts decide.
    """
    rows = whiten(np.concatenate([reference.vectors, window.vectors]))
    in_window = np.repeat([0, 1], [len(reference), len(window)])
    likely = LogisticRegression(C=0.01).fit(rows, in_window).predict_proba(rows[: len(reference)])[:, 1]
    return float(np.average(reference.right, weights=likely / (1 - likely)))


ESTIMATES: dict[str, Callable[[Readings, Readings], float]] = {
    "average_confidence": average_confidence,
    "difference_of_confidences": difference_of_confidences,
    "thresholded_confidence": thresholded_confidence,
    "reweighted_reference": reweighted_reference,
}
CHOSEN = "average_confidence"  # what `choose` says of the packaged sets' validation parts, see drift_power.py


def choose(reference: Readings, shifted: Mapping[str, Readings]) -> tuple[str, dict[str, float]]:
    """The estimate whose mean absolute error over the labelled sets is least, and that error of each."""
    errors = {
        name: float(np.mean([abs(estimate(reference, each) - each.right.mean()) for each in shifted.values()]))
        for name, estimate in ESTIMATES.items()
    }
    return min(errors, key=errors.__getitem__), errors
