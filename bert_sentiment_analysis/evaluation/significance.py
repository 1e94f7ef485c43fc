"""Is it more than luck? Paired comparisons of models on the same texts.

Two models are compared text by text: what both get right or wrong says nothing about which is better.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bert_sentiment_analysis.evaluation.metrics import check_labels
from shared.significance import bootstrap_interval, check_same_length, holm, mcnemar


@dataclass(frozen=True)
class Comparison:
    """`model` against `other` on the same texts; above 0, `difference` is in favour of `model`."""

    model: str
    other: str
    n: int
    difference: float  # of the accuracies
    low: float  # 95 % paired bootstrap interval of the difference, for this pair alone
    high: float
    only_model_right: int
    only_other_right: int
    p_value: float  # exact McNemar
    p_holm: float  # the same, corrected for all comparisons made together


def compare_models(
    labels: np.ndarray, predictions: Mapping[str, np.ndarray], reference: str | None = None
) -> list[Comparison]:
    """Compare each model with the `reference`, or all pairs without one: predicted classes (N,) by model name.

    The p values are corrected for the comparisons returned, so ask for those you mean to look at and no others.
    Raises ValueError for a reference without predictions, and for predictions of another number.
    """
    labels = check_labels(labels)
    right = {}
    for name, predicted in predictions.items():
        predicted = check_labels(predicted)
        check_same_length(labels, predicted)
        right[name] = predicted == labels
    if reference is not None and reference not in right:
        raise ValueError(f"no predictions of the reference {reference!r}: pass one of {', '.join(right)}")
    others = [name for name in right if name != reference]
    pairs = list(combinations(right, 2)) if reference is None else [(name, reference) for name in others]
    tests = [mcnemar(right[model], right[other]) for model, other in pairs]
    corrected = holm([p for p, _, _ in tests])
    comparisons = []
    for (model, other), (p, only_model, only_other), p_holm in zip(pairs, tests, corrected, strict=True):
        difference = right[model].astype(float) - right[other]
        gap = bootstrap_interval(difference)
        comparisons.append(
            Comparison(model, other, len(labels), gap.estimate, gap.low, gap.high, only_model, only_other, p, p_holm)
        )
    return comparisons
