"""What a training is judged by: scores while it runs, the calibration after it, and the scores on unseen texts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from transformers import EvalPrediction

from bert_sentiment_analysis.config import TrainingConfig
from bert_sentiment_analysis.evaluation.calibration import abstain_band, apply_temperature, calibration, fit_temperature
from bert_sentiment_analysis.evaluation.metrics import correlation, macro_f1
from bert_sentiment_analysis.models.batches import predict_logits
from bert_sentiment_analysis.models.bert_classifier import TextClassifier
from bert_sentiment_analysis.models.classifier_settings import ClassifierSettings
from shared.cleaning import clean
from shared.datasets import Example
from shared.leaks import halves


def class_metrics(prediction: EvalPrediction) -> dict[str, float]:
    answers, labels = prediction.predictions.argmax(1), prediction.label_ids
    return {"accuracy": float((answers == labels).mean()), "macro_f1": macro_f1(labels, answers)}


def rating_metrics(prediction: EvalPrediction) -> dict[str, float]:
    r = correlation(prediction.predictions[:, 0], prediction.label_ids).pearson_r
    return {"pearson_r": 0.0 if r is None else r}  # one constant answer has not earned more


def calibrate(
    classifier: TextClassifier, validation: Sequence[Example], config: TrainingConfig, precision: str
) -> ClassifierSettings:
    """The classifier's settings with the temperature and the abstain band that its validation texts ask for.

    Both are of classes; a rating has neither. Where no band reaches the target the least sure half is left unanswered.
    """
    if config.head == "rating":
        return classifier.settings
    logits = predict_logits(classifier, [clean(example.text) for example in validation], precision=precision)
    labels = np.array([example.label for example in validation])
    temperature = fit_temperature(logits, labels)
    probabilities = apply_temperature(logits, temperature)
    band = abstain_band(probabilities, labels, config.abstain_target)
    threshold = band.threshold if band else float(np.median(probabilities.max(1)))
    return replace(classifier.settings, temperature=temperature, abstain_below=threshold)


def test_scores(
    classifier: TextClassifier, tests: Mapping[str, Sequence[Example]], precision: str | None = None
) -> dict[str, Any]:
    """Scores on texts that neither trained nor validated; by set, if there are several or the head rates.

    Classes: `accuracy` of all, and of the half that no choice was made on. Ratings: Pearson's r with the human mean and
    the accuracy of the sign.
    """
    rates = classifier.settings.head == "rating"
    by_set: dict[str, dict[str, Any]] = {}
    for name, examples in tests.items():
        logits = predict_logits(classifier, [clean(example.text) for example in examples], precision=precision)
        scores = (
            rating_scores(logits[:, 0], examples) if rates else _class_scores(logits, examples, classifier.settings)
        )
        by_set[name] = {"n_test": len(examples), **scores}
    first = next(iter(by_set.values()))
    if len(tests) == 1 and not rates:
        return first
    return {score: {name: scores[score] for name, scores in by_set.items()} for score in first}


def rating_scores(predicted: np.ndarray, examples: Sequence[Example]) -> dict[str, Any]:
    """Pearson's r of ratings (N,) with the human mean, and the accuracy of their sign where the humans have one."""
    ratings = np.array([example.rating for example in examples])
    signed = ratings != 0
    same_sign = (predicted > 0) == (ratings > 0)
    return {
        "pearson_r": correlation(predicted, ratings).pearson_r,
        "accuracy": float(same_sign[signed].mean()) if signed.any() else None,
    }


def _class_scores(logits: np.ndarray, examples: Sequence[Example], settings: ClassifierSettings) -> dict[str, Any]:
    labels = np.array([example.label for example in examples])
    answers = logits.argmax(1)
    reported = {id(example) for example in halves(examples)[1]}
    half = np.array([id(example) in reported for example in examples])
    right = answers == labels
    return {
        "accuracy": float(right.mean()),
        "accuracy_report_half": float(right[half].mean()) if half.any() else None,
        "macro_f1": macro_f1(labels, answers),
        "ece": calibration(labels, apply_temperature(logits, settings.temperature)).ece,
    }
