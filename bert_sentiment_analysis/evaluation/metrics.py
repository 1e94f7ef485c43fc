"""How good the answers are: accuracy, macro-F1, confusion matrix, ROC, and correlation with human ratings.

Letters in shapes: N texts, C classes. Labels are whole numbers 0 .. C - 1, probabilities are (N, C) with rows that sum
to 1, and the answer is the likeliest class (the first of equals). Results hold plain Python numbers and lists, so that
`dataclasses.asdict` gives JSON; None stands for what is undefined, such as the recall of a class that never occurs.

Calibration and abstaining are in calibration.py; intervals and comparisons of models in significance.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, pearsonr, spearmanr
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score, roc_curve

from shared.significance import check_same_length


@dataclass(frozen=True)
class ClassScores:
    """One line of the classification report."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int  # texts that truly have the class


@dataclass(frozen=True)
class RocCurve:
    """Hits against false alarms as the cut moves down; `name` is the class that counts as positive."""

    name: str
    false_positive_rate: list[float]
    true_positive_rate: list[float]
    auc: float


@dataclass(frozen=True)
class ClassificationMetrics:
    """How `n` texts of C classes were answered; all scores are fractions of 1."""

    n: int
    accuracy: float
    macro_f1: float
    per_class: list[ClassScores]
    confusion: list[list[int]]  # (C, C): rows are true classes, columns predicted ones
    roc: list[RocCurve]  # one for two classes, else one for each class against the rest
    auc: float | None  # of the one curve, else the mean over the classes that have one


@dataclass(frozen=True)
class Correlation:
    """Agreement of predicted ratings with the human mean. The interval is that of Pearson's r."""

    n: int
    pearson_r: float | None
    low: float | None
    high: float | None
    spearman_r: float | None


def classification_metrics(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str] | None = None
) -> ClassificationMetrics:
    """Score labels (N,) against probabilities (N, C).

    Precision, recall and F1 as in scikit-learn. A class that never occurs among the labels has no recall, one never
    predicted has no precision, and one that does neither has no F1 and is left out of macro-F1, as in scikit-learn's
    default. Without texts both in and outside a class it has no ROC curve; where no class has one, `auc` is None.
    Raises ValueError for empty input, labels outside 0 .. C - 1, and probabilities that do not sum to 1.
    """
    labels, probabilities = check_probabilities(labels, probabilities)
    classes = np.arange(probabilities.shape[1])
    names = [str(c) for c in classes] if class_names is None else list(class_names)
    if len(names) != len(classes):
        raise ValueError(f"{len(names)} class names for {len(classes)} classes: give one name for each column")
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=np.nan
    )
    roc = _roc_curves(labels, probabilities, names)
    return ClassificationMetrics(
        n=len(labels),
        accuracy=float((predicted == labels).mean()),
        macro_f1=float(np.nanmean(f1)),
        per_class=[
            ClassScores(name, _defined(p), _defined(r), _defined(f), int(n))
            for name, p, r, f, n in zip(names, precision, recall, f1, support, strict=True)
        ],
        confusion=confusion_matrix(labels, predicted, labels=classes).tolist(),
        roc=roc,
        auc=float(np.mean([curve.auc for curve in roc])) if roc else None,
    )


def macro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Mean F1 over the classes that occur in labels (N,) or predictions (N,), which are whole numbers from 0.

    F1 = 2 TP / (2 TP + FP + FN), and 2 TP + FP + FN is how often the class is true plus how often it is predicted.
    Equal to scikit-learn's and fast enough to be the statistic of a bootstrap.
    """
    labels, predictions = check_labels(labels), check_labels(predictions)
    check_same_length(labels, predictions)
    n_classes = int(max(labels.max(), predictions.max())) + 1
    hits = np.bincount(labels[labels == predictions], minlength=n_classes)
    occurrences = np.bincount(labels, minlength=n_classes) + np.bincount(predictions, minlength=n_classes)
    occurs = occurrences > 0
    return float((2 * hits[occurs] / occurrences[occurs]).mean())


def correlation(predicted: np.ndarray, human_mean: np.ndarray, level: float = 0.95) -> Correlation:
    """Pearson's r, and Spearman's, of predicted ratings (N,) with the mean human rating (N,).

    The interval is Fisher's: tanh(atanh(r) -+ z / sqrt(N - 3)), so None with three texts or fewer. Where all
    predictions are equal, or all human ratings, no correlation is defined and each value is None: a model that answers
    the same to everything has not earned a 0. Raises ValueError for empty input and for values that are not finite.
    """
    predicted, human_mean = np.asarray(predicted, dtype=float), np.asarray(human_mean, dtype=float)
    check_same_length(predicted, human_mean)
    if not (np.isfinite(predicted).all() and np.isfinite(human_mean).all()):
        raise ValueError("a rating is missing or not finite, so no correlation exists: leave such texts out")
    n = len(predicted)
    if np.ptp(predicted) == 0 or np.ptp(human_mean) == 0:
        return Correlation(n, None, None, None, None)
    r = float(pearsonr(predicted, human_mean).statistic)
    low = high = None
    if n > 3:
        reach = norm.ppf((1 + level) / 2) / math.sqrt(n - 3)
        with np.errstate(divide="ignore"):  # atanh(1) is infinite, and its tanh is 1 again
            centre = np.arctanh(r)
        low, high = float(np.tanh(centre - reach)), float(np.tanh(centre + reach))
    return Correlation(n, r, low, high, float(spearmanr(predicted, human_mean).statistic))


def check_probabilities(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as integers (N,) and probabilities as floats (N, C). Raises ValueError where they cannot be scored."""
    probabilities = np.asarray(probabilities, dtype=float)
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ValueError(
            f"probabilities have the shape {probabilities.shape}: pass (texts, classes) with a column for each class, "
            "two or more"
        )
    labels = check_labels(labels, n_classes=probabilities.shape[1])
    check_same_length(labels, probabilities)
    # Half precision is off by less than this; logits and percentages by far more. Not-a-number fails too.
    sums = probabilities.sum(axis=1)
    wrong = ~(np.abs(sums - 1) <= 0.01) | (probabilities < 0).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"row {row} is no distribution: it sums to {sums[row]:.4g} with a least value of "
            f"{probabilities[row].min():.4g}; pass probabilities (a softmax of the logits), not logits or percentages"
        )
    return labels, probabilities


def check_labels(labels: np.ndarray, n_classes: int | None = None) -> np.ndarray:
    """Labels as integers (N,). Raises ValueError for none at all, other kinds of values and classes out of range."""
    labels = np.asarray(labels)
    if labels.size == 0:
        raise ValueError("no labels, and nothing can be scored on nothing: check the filter or split that left no text")
    if labels.ndim != 1 or labels.dtype.kind not in "iub":
        raise ValueError(
            f"labels have the shape {labels.shape} and the type {labels.dtype}: pass one whole number for each text"
        )
    if labels.min() < 0 or (n_classes is not None and labels.max() >= n_classes):
        wanted = "0 or more" if n_classes is None else f"0 to {n_classes - 1}"
        raise ValueError(
            f"labels go from {labels.min()} to {labels.max()} but must be {wanted}: map the classes to column numbers"
        )
    return labels.astype(np.int64)


def _roc_curves(labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> list[RocCurve]:
    n_classes = probabilities.shape[1]
    curves = []
    # Of two classes one curve says it all: the other's is its mirror image.
    for c in [1] if n_classes == 2 else range(n_classes):
        positive = labels == c
        if positive.all() or not positive.any():
            continue
        false_positives, true_positives, _ = roc_curve(positive, probabilities[:, c])
        auc = float(roc_auc_score(positive, probabilities[:, c]))
        curves.append(RocCurve(names[c], false_positives.tolist(), true_positives.tolist(), auc))
    return curves


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
