"""How far a stated probability can be trusted, how to mend it, and when to rather say nothing.

A model is calibrated where of all answers given with 80 % confidence 80 % are right (Guo et al. 2017,
arXiv 1706.04599). Confidence is the probability of the likeliest class. Shapes and letters as in metrics.py.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, log_loss

from bert_sentiment_analysis.evaluation.metrics import check_labels, check_probabilities
from shared.significance import check_same_length

TEMPERATURES = (0.05, 20.0)  # the search ends here: validation data without one mistake would ask for zero


@dataclass(frozen=True)
class Bin:
    """The texts whose confidence lies between low and high; mean confidence and accuracy are None without any."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None
    accuracy_low: float | None  # 95 % interval (Wilson): how far chance moves a bin with so few texts
    accuracy_high: float | None


@dataclass(frozen=True)
class Calibration:
    """How far the stated probabilities of `n` texts are from what comes true; 0 is best of all four measures."""

    n: int
    ece: float  # expected calibration error: equally wide bins
    adaptive_ece: float  # the same over bins that hold equally many texts
    brier: float  # mean squared error of the probabilities
    nll: float  # mean -ln p of the true class, in nats
    bins: list[Bin]
    adaptive_bins: list[Bin]


@dataclass(frozen=True)
class RiskCoverage:
    """What abstaining gains: answering only at `threshold` or more covers `coverage` of the texts, so accurately."""

    threshold: list[float]
    coverage: list[float]
    accuracy: list[float]


@dataclass(frozen=True)
class AbstainBand:
    """Say nothing while confidence is below `threshold`.

    With two classes that is the band 1 - threshold < p < threshold around undecided. Coverage and accuracy are those
    of the texts that it was chosen on.
    """

    threshold: float
    target: float
    coverage: float
    accuracy: float
    n: int


def calibration(labels: np.ndarray, probabilities: np.ndarray, n_bins: int = 15) -> Calibration:
    """Measure how well the confidence in probabilities (N, C) fits labels (N,).

    ECE = sum over bins of (texts in it / N) |accuracy - mean confidence| (Guo et al., equation 3, also for the 15
    bins ((m - 1) / M, m / M]). Few texts land in most of those, so the adaptive one cuts the sorted confidences into
    M equal parts (Nguyen & O'Connor 2015, arXiv 1508.05154); equal confidences stay in one bin, whatever their order.
    Brier is the squared distance to the one-hot label, halved with two classes to the usual (p - y)^2, as in
    scikit-learn. A true class given probability 0 costs about 36 nats, not infinity. One constant answer for every
    text makes one bin. Raises ValueError for empty input and probabilities that do not sum to 1.
    """
    labels, probabilities = check_probabilities(labels, probabilities)
    if n_bins < 1:
        raise ValueError(f"{n_bins} bins hold no text: pass 1 or more")
    confidence, right = _confidence(labels, probabilities)
    edges = np.arange(n_bins + 1) / n_bins
    # A confidence on an edge belongs to the bin below it, as in the paper.
    bins = _bins(np.searchsorted(edges[1:-1], confidence, side="left"), edges[:-1], edges[1:], confidence, right)  # type: ignore[arg-type]

    ordered = np.sort(confidence)
    starts = np.unique(ordered[[part[0] for part in np.array_split(np.arange(len(ordered)), n_bins) if len(part)]])
    index = np.searchsorted(starts[1:], confidence, side="right")
    ends = np.array([confidence[index == i].max() for i in range(len(starts))])
    adaptive_bins = _bins(index, starts, ends, confidence, right)  # type: ignore[arg-type]

    classes = np.arange(probabilities.shape[1])
    whole = probabilities / probabilities.sum(axis=1, keepdims=True)  # scikit-learn takes no half-precision sums
    return Calibration(
        n=len(labels),
        ece=expected_error(bins),
        adaptive_ece=expected_error(adaptive_bins),
        brier=float(brier_score_loss(labels, whole, labels=classes)),
        nll=float(log_loss(labels, whole, labels=classes)),
        bins=bins,
        adaptive_bins=adaptive_bins,
    )


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T for which softmax(logits / T) has the least NLL on a validation set (Guo et al., section 4.2).

    logits (N, C), labels (N,). One number, so it hardly overfits, and it changes no answer. The loss is convex in
    1 / T, so it has one minimum, and a bounded search over log T finds it. Where every answer is right the best T is 0,
    where most are wrong it is infinite: a value near the end of TEMPERATURES is returned. Logits that do not differ
    between classes fit any T alike. Raises ValueError for empty input and logits that are not finite.
    """
    logits = np.asarray(logits, dtype=float)
    if logits.ndim != 2 or not np.isfinite(logits).all():
        raise ValueError(f"logits of the shape {logits.shape} are not finite numbers (texts, classes): check the model")
    labels = check_labels(labels, n_classes=logits.shape[1])
    check_same_length(labels, logits)
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logits / math.exp(log_temperature), axis=1)[rows, labels].mean())

    bounds = tuple(math.log(temperature) for temperature in TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)


def apply_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Calibrated probabilities softmax(logits / T) of logits (..., C), in their shape; no rows give no rows.

    Raises ValueError for a temperature that is not above 0.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"a temperature of {temperature} divides nothing sensibly: pass one above 0, as fitted")
    return softmax(np.asarray(logits, dtype=float) / temperature, axis=-1)


def abstains(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Which of the texts with probabilities (N, C) to leave unanswered: a mask (N,)."""
    return np.asarray(probabilities, dtype=float).max(axis=-1) < threshold


def risk_coverage(labels: np.ndarray, probabilities: np.ndarray, most_points: int = 200) -> RiskCoverage:
    """Accuracy among the most confident answers, for every share of texts answered (El-Yaniv & Wiener 2010).

    Labels (N,) and probabilities (N, C).
    Texts of equal confidence are answered together or not at all, so one constant answer makes one point. At most
    `most_points` points, evenly chosen, the first and the last (everything answered) among them.
    """
    labels, probabilities = check_probabilities(labels, probabilities)
    threshold, coverage, accuracy = _selective(*_confidence(labels, probabilities))
    kept = np.unique(np.linspace(0, len(threshold) - 1, most_points).round().astype(int))
    return RiskCoverage(threshold[kept].tolist(), coverage[kept].tolist(), accuracy[kept].tolist())


def abstain_band(probabilities: np.ndarray, labels: np.ndarray, target: float) -> AbstainBand | None:
    """The band that leaves the fewest texts unanswered while those answered are right at least as often as `target`.

    probabilities (N, C) and labels (N,) of a validation set, never of the test set. None where no band reaches the
    target, which is so when the most confident answer is wrong. On new texts expect about the target, not a promise:
    half of the time chance puts it below. The threshold lies midway between the last text answered and the first
    one not, so that rounding moves neither; where all are answered it is 1 / C. Raises ValueError for a target that
    is no share.
    """
    labels, probabilities = check_probabilities(labels, probabilities)
    if not 0 < target <= 1:
        raise ValueError(f"a wanted accuracy of {target} is no share: pass a fraction above 0 and up to 1, such as .95")
    threshold, coverage, accuracy = _selective(*_confidence(labels, probabilities))
    enough = np.flatnonzero(accuracy >= target)
    if len(enough) == 0:
        return None
    last = int(enough[-1])
    answered = float(threshold[last])
    if last + 1 == len(threshold):
        cut = 1 / probabilities.shape[1]
    else:
        unanswered = float(threshold[last + 1])
        cut = (answered + unanswered) / 2
        cut = cut if cut > unanswered else answered  # neighbouring floats have no midpoint
    return AbstainBand(cut, target, float(coverage[last]), float(accuracy[last]), len(labels))


def _confidence(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How sure each answer is, (N,), at most 1, and whether it is right, (N,)."""
    return probabilities.max(axis=1).clip(max=1.0), probabilities.argmax(axis=1) == labels


def _bins(index: np.ndarray, low: np.ndarray, high: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> list[Bin]:
    """The reliability table; `index` (N,) says in which bin each text is."""
    counts = np.bincount(index, minlength=len(low))
    sure, hits = (np.bincount(index, weights=values, minlength=len(low)) for values in (confidence, right))
    table = []
    for start, end, count, total, n_right in zip(low, high, counts, sure, hits, strict=True):
        if not count:
            table.append(Bin(float(start), float(end), 0, None, None, None, None))
            continue
        chance = binomtest(int(n_right), int(count)).proportion_ci(0.95, method="wilson")
        mean, accuracy = float(total / count), float(n_right / count)
        table.append(Bin(float(start), float(end), int(count), mean, accuracy, float(chance.low), float(chance.high)))
    return table


def expected_error(bins: list[Bin]) -> float:
    """Mean distance of confidence from accuracy over the bins, each weighted by its texts; empty ones count nothing."""
    filled = [
        (bin_.count, abs(bin_.accuracy - bin_.confidence))
        for bin_ in bins
        if bin_.accuracy is not None and bin_.confidence is not None
    ]
    return sum(count * gap for count, gap in filled) / sum(count for count, _ in filled)


def _selective(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Threshold, coverage and accuracy as ever less sure answers are given, one entry for each distinct confidence."""
    order = np.argsort(-confidence, kind="stable")
    confidence, answered = confidence[order], np.arange(1, len(order) + 1)
    accuracy = right[order].cumsum() / answered
    ends = np.append(confidence[1:] != confidence[:-1], True)  # the last of each group of equals
    return confidence[ends], answered[ends] / len(order), accuracy[ends]
