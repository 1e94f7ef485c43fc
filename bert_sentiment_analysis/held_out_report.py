"""The shipped classifier on the texts it never saw: scores by set, the pictures of the README, and where it errs."""

from pathlib import Path
from typing import Any

from bert_sentiment_analysis.config import DEFAULT_RUN, run_path
from shared.benchmark import BenchmarkConfig, Outcome

RESULTS = Path(__file__).with_name("results")
N_ERRORS = 5  # of each kind: good taken for bad, bad taken for good


class HeldOutConfig(BenchmarkConfig):
    """The shipped classifier, set by set: accuracy, calibration before and after, and the answers it is sure of."""


class ErrorsConfig(BenchmarkConfig):
    """The film sentences that the shipped classifier is most confidently wrong about."""


def held_out(config: HeldOutConfig) -> Outcome:
    """A row a set; with --save also the pictures of the film sentences."""
    import numpy as np

    from bert_sentiment_analysis.evaluation import png_figures
    from bert_sentiment_analysis.evaluation.calibration import apply_temperature, calibration, risk_coverage
    from bert_sentiment_analysis.evaluation.metrics import classification_metrics
    from shared.significance import bootstrap_interval

    classifier, tests, n_excluded = _shipped()
    settings = classifier.settings
    rows: list[dict[str, Any]] = []
    for name, examples in tests.items():
        labels, logits = _answers(classifier, examples)
        before, after = apply_temperature(logits, 1.0), apply_temperature(logits, settings.temperature)
        scores = classification_metrics(labels, after, settings.label_names)
        interval = bootstrap_interval(after.argmax(1) == labels, seed=config.seed)
        sure = after.max(1) >= (settings.abstain_below or 0.0)
        rows.append(
            {
                "dataset": name,
                "n_test": len(labels),
                "accuracy": scores.accuracy,
                "low": interval.low,
                "high": interval.high,
                "macro_f1": scores.macro_f1,
                "auc": scores.auc,
                "ece_before": calibration(labels, before).ece,
                "ece": calibration(labels, after).ece,
                "answered": float(sure.mean()),
                "accuracy_answered": float((after.argmax(1) == labels)[sure].mean()) if sure.any() else None,
            }
        )
        if config.save and len(rows) == 1:
            diagrams = {"as trained": calibration(labels, before)}
            diagrams[f"temperature {settings.temperature:.2f}"] = calibration(labels, after)
            png_figures.draw_confusion_map(scores.confusion, settings.label_names, RESULTS / "confusion.png")
            png_figures.draw_reliability_diagram(diagrams, RESULTS / "calibration.png")
            png_figures.draw_roc_curves({name: scores.roc[0]}, RESULTS / "roc.png")
            curves = {name: risk_coverage(labels, np.asarray(after))}
            png_figures.draw_risk_coverage_curves(curves, RESULTS / "risk_coverage.png", target=0.95)
    first = {key: value for key, value in rows[0].items() if key != "n_test"}
    kept = {"temperature": settings.temperature, "abstain_below": settings.abstain_below}
    return Outcome({**first, "n_test": rows[0]["n_test"], **kept, "n_excluded": n_excluded}, rows)


def errors(config: ErrorsConfig) -> Outcome:
    """Of each kind those with the highest probability of the wrong answer, and the mean of the human ratings."""
    from bert_sentiment_analysis.evaluation.calibration import apply_temperature

    classifier, tests, n_excluded = _shipped()
    examples = tests["rotten_tomatoes"]
    labels, logits = _answers(classifier, examples)
    probabilities = apply_temperature(logits, classifier.settings.temperature)
    wrong = [i for i in probabilities.max(1).argsort()[::-1] if probabilities[i].argmax() != labels[i]]
    rows = [
        {
            "text": examples[i].text,
            "answer": classifier.settings.label_names[1 - label],
            "probability": float(probabilities[i].max()),
            "human_rating": examples[i].rating,
        }
        for label in (1, 0)
        for i in [i for i in wrong if labels[i] == label][:N_ERRORS]
    ]
    return Outcome({"n_wrong": len(wrong), "n_test": len(examples), "n_excluded": n_excluded}, rows)


def _shipped() -> tuple[Any, dict[str, list[Any]], int]:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier
    from bert_sentiment_analysis.shipped_weights import TESTS, unseen_tests

    return TextClassifier.load(DEFAULT_RUN), *unseen_tests(run_path(DEFAULT_RUN), TESTS[DEFAULT_RUN], "classification")


def _answers(classifier: Any, examples: list[Any]) -> tuple[Any, Any]:
    """Labels (N,) and logits (N, C)."""
    import numpy as np

    from bert_sentiment_analysis.models.batches import predict_logits
    from shared.cleaning import clean

    logits = predict_logits(classifier, [clean(example.text) for example in examples])
    return np.array([example.label for example in examples]), logits
