"""Exercise 7: temperature scaling: one number that makes a model's confidence honest and changes no answer."""

import numpy as np

REPLACES = "bert_sentiment_analysis.evaluation.calibration.fit_temperature"
CHECKED_BY = [
    "bert_sentiment_analysis/tests/test_calibration.py::test_temperature_by_hand",
    "bert_sentiment_analysis/tests/test_calibration.py::test_fitting_recovers_the_temperature_that_labels_were_drawn_with",
    "bert_sentiment_analysis/tests/test_calibration.py::test_no_other_temperature_has_a_lower_loss",
]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Given logits (N, C) and labels (N,) of a validation set, the T for which softmax(logits / T) has the least loss.

    The loss is the mean of -ln p of the true class.

    Hints: `scipy.special.log_softmax(logits / T, axis=1)[np.arange(len(labels)), labels]` are the true classes' ln p.
    T runs over scales, so search over its logarithm: `scipy.optimize.minimize_scalar(loss, bounds=(low, high),
    method="bounded", options={"xatol": 1e-6})` gives an object whose `x` is the best, for example between the
    logarithms of .05 and 20.

    Read: "On Calibration of Modern Neural Networks", section 4.2, https://arxiv.org/abs/1706.04599
    Expect: fitted for the accuracy instead, nothing happens: no T changes an answer.
    """
    raise RuntimeError("fill in fit_temperature")
