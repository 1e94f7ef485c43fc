"""Three minutes with the project: teach an encoder to judge film reviews, and see how far its answers can be trusted.

python -m bert_sentiment_analysis.quickstart --output outputs/demo/bert_sentiment_analysis
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_sentiment_analysis.config import PROJECT, QUICK_RECIPE, TrainingConfig
from bert_sentiment_analysis.train import run_training
from shared.config import parse_config, to_dict
from shared.errors import run_program
from shared.logging import print_result, setup_logging
from shared.report import Section, Text
from shared.runs import RunFolder

if TYPE_CHECKING:
    import numpy as np

    from bert_sentiment_analysis.inference.predictor import Predictor
    from shared.datasets import Example

SECONDS = 200  # measured on 2 cores; the demo's estimate of the time left starts from it

SETTINGS: dict[str, Any] = {**QUICK_RECIPE, "dataset": "rotten_tomatoes"}
SMOKE = {"dataset": "amazon", "n_train": 64, "epochs": 1, "batch_size": 16, "evaluations": 1}  # the smallest set

# What it is a trial of, and the sentence. `sentiment.kind.` has the words.
TYPED = [
    ("plain", "A warm, funny and beautifully acted film."),
    ("negation", "This is not a good film, and it is never funny."),
    ("double_negation", "Not bad at all, I was never bored."),
    ("irony", "Great, another two hours of my life that I will never get back."),
    ("mixed", "The actors are superb, but the story is a mess."),
    ("neutral", "The film runs for two hours and is set in Lisbon."),
    ("chinese_praise", "这部电影太精彩了，强烈推荐！"),
    ("chinese_blame", "这部电影太烂了，纯属浪费时间。"),
]
SHOWN_MISTAKES = 8
STRENGTHS = ((0, 1), (1, 2), (2, 4))  # how far the people's mean rating, from -4 to 4, is from undecided


@dataclass(frozen=True)
class QuickstartConfig:
    """Teach an encoder to judge film reviews, and see how far its answers can be trusted; about three minutes."""

    output: str = f"outputs/demo/{PROJECT}"
    """Folder for the run and its section of the report."""
    smoke: bool = False
    """A few texts of a smaller set: seconds, to see that all works."""


def run(out_dir: str | Path, smoke: bool = False) -> dict[str, Any]:
    """Train into `out_dir` and write its section.json. Returns the training's summary."""
    config = TrainingConfig(**(SETTINGS | SMOKE if smoke else SETTINGS))
    folder = RunFolder.create(out_dir, PROJECT, to_dict(config))
    setup_logging(folder.path)
    summary = run_training(config, folder)
    _describe(folder, config, summary).save(folder.path)
    return summary


def _describe(folder: RunFolder, config: TrainingConfig, summary: dict[str, Any]) -> Section:
    """What the training taught and what the answers are worth, in numbers, pictures and examples."""
    import numpy as np

    from bert_sentiment_analysis.evaluation import visualization
    from bert_sentiment_analysis.evaluation.calibration import apply_temperature, calibration, risk_coverage
    from bert_sentiment_analysis.evaluation.metrics import classification_metrics
    from bert_sentiment_analysis.inference.predictor import Predictor
    from bert_sentiment_analysis.models.batches import predict_logits
    from bert_sentiment_analysis.models.trainer import load_data
    from shared.cleaning import clean
    from shared.phrases import both, phrase
    from shared.significance import mcnemar
    from shared.timing import Timer

    data = load_data(config)
    (test,) = data.tests.values()
    labels = np.array([example.label for example in test])
    predictor = Predictor.load(folder.path, device=summary["device"], precision=summary["precision"])
    settings = predictor.classifier.settings
    with Timer() as answering:
        logits = predict_logits(predictor.classifier, [clean(e.text) for e in test], precision=predictor.precision)
    as_trained = apply_temperature(logits, 1.0)  # (N, C)
    probabilities = apply_temperature(logits, settings.temperature)  # (N, C)
    with Timer() as counting:
        counted, counted_validation = count_words(data.train, test, data.validation)
    majority = np.bincount([example.label for example in data.train]).argmax()
    right, counted_right = probabilities.argmax(1) == labels, counted.argmax(1) == labels
    validation_labels = np.array([example.label for example in data.validation])
    counted_validation_accuracy = float((counted_validation.argmax(1) == validation_labels).mean())

    section = Section(both("sentiment.title"), both("sentiment.summary", n=f"{len(data.train):,}"))
    section.numbers(
        [
            (both("sentiment.number.accuracy"), _percent(right.mean())),
            (both("sentiment.number.counting"), _percent(counted_right.mean())),
            (both("sentiment.number.n_test"), len(test)),
            (both("sentiment.number.seconds"), f"{summary['seconds']:.0f}"),
            (both("sentiment.number.texts_per_s"), f"{answering.rate(len(test)):,.0f}"),
        ]
    )
    section.text(both("sentiment.explain.task"))

    def curve(language):
        baseline = {phrase("sentiment.baseline.counting", language): counted_validation_accuracy}
        return visualization.training_curve(folder.metrics(), baseline, language)

    section.figure(curve, both("sentiment.caption.curve"))
    ladder = [
        ("sentiment.baseline.majority", labels == majority, 0.0),
        ("sentiment.baseline.counting", counted_right, counting.seconds),
        ("sentiment.baseline.ours", right, summary["seconds"]),
    ]
    section.table([_rung(both(key), hits, seconds) for key, hits, seconds in ladder], both("sentiment.caption.ladder"))
    p, only_ours, only_counting = mcnemar(right, counted_right)
    section.text(both("sentiment.explain.paired", ours=only_ours, counting=only_counting, p=f"{p:.1g}"))

    confusion = classification_metrics(labels, probabilities).confusion
    section.figure(
        lambda language: visualization.confusion_map(confusion, settings.label_names, language),
        both("sentiment.caption.confusion"),
    )
    section.table(_by_strength(test, right, counted_right), both("sentiment.caption.strength"))

    before, after = calibration(labels, as_trained), calibration(labels, probabilities)
    temperature = f"{settings.temperature:.2f}"
    errors = {"before": f"{before.ece:.3f}", "after": f"{after.ece:.3f}"}
    section.text(both("sentiment.explain.confidence", temperature=temperature, **errors))

    def reliability(language):
        measured = {
            phrase("sentiment.before_temperature", language): before,
            phrase("sentiment.after_temperature", language, temperature=temperature): after,
        }
        return visualization.reliability_diagram(measured, language)

    section.figure(reliability, both("sentiment.caption.reliability"))
    coverage, counted_coverage = risk_coverage(labels, probabilities), risk_coverage(labels, counted)

    def abstaining(language):
        curves = {
            phrase("sentiment.baseline.ours", language): coverage,
            phrase("sentiment.baseline.counting", language): counted_coverage,
        }
        return visualization.risk_coverage_curves(curves, language, config.abstain_target)

    section.figure(abstaining, both("sentiment.caption.coverage"))
    answered = probabilities.max(1) >= predictor.abstain_below
    section.text(
        both(
            "sentiment.explain.abstain",
            target=f"{config.abstain_target:.0%}",
            threshold=f"{predictor.abstain_below:.2f}",
            share=_percent(answered.mean()),
            accuracy=_percent(right[answered].mean()) if answered.any() else "–",
        )
    )

    section.table(_typed(predictor), both("sentiment.caption.typed"))
    section.text(both("sentiment.explain.chinese"))
    section.table(_mistakes(test, probabilities, settings.label_names), both("sentiment.caption.mistakes"))
    section.next(both("sentiment.explain.next", folder=folder.path))
    return section


def count_words(train: "Sequence[Example]", *asked: "Sequence[Example]") -> "list[np.ndarray]":
    """Probabilities (N, C) by a model that knows word pairs and no order, for each set asked: the bar to clear."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from bert_sentiment_analysis.data.label_noise import INVERSE_REGULARISATION, NGRAMS, TOKEN
    from shared.cleaning import clean

    words = TfidfVectorizer(ngram_range=NGRAMS, token_pattern=TOKEN, sublinear_tf=True, min_df=2)
    model = make_pipeline(words, LogisticRegression(C=INVERSE_REGULARISATION, max_iter=300))
    model.fit([clean(example.text) for example in train], [example.label for example in train])
    return [model.predict_proba([clean(example.text) for example in examples]) for examples in asked]


def _rung(name: Text, right: "np.ndarray", seconds: float) -> dict[str, Any]:
    from shared.significance import bootstrap_interval

    interval = bootstrap_interval(right)
    span = f"{_percent(interval.low)} – {_percent(interval.high)}"
    return {"model": name, "accuracy": _percent(interval.estimate), "interval": span, "seconds": f"{seconds:.1f}"}


def _by_strength(test: "Sequence[Example]", right: "np.ndarray", counted_right: "np.ndarray") -> list[dict[str, Any]]:
    """Accuracy where people were undecided, and where they were not."""
    import numpy as np

    distance = np.abs([example.rating for example in test])
    rows = []
    for low, high in STRENGTHS:
        chosen = (distance > low) & (distance <= high)
        if chosen.any():
            scores = {"ours": _percent(right[chosen].mean()), "counting": _percent(counted_right[chosen].mean())}
            rows.append({"distance": f"{low} – {high}", "n_test": int(chosen.sum()), **scores})
    return rows


def _typed(predictor: "Predictor") -> list[dict[str, Any]]:
    """What the model says to sentences made to be hard."""
    from shared.phrases import both

    rows = []
    for (kind, sentence), found in zip(TYPED, predictor.predict([text for _, text in TYPED]), strict=True):
        assert found.probabilities is not None  # the model answers by classes
        best = max(found.probabilities, key=found.probabilities.__getitem__)
        answer = both(f"sentiment.class.{best}")
        if found.abstained:
            answer = {language: both("sentiment.unsure", answer=word)[language] for language, word in answer.items()}
        trial = both(f"sentiment.kind.{kind}")
        rows.append({"sentence": sentence, "trial": trial, "answer": answer, "probability": found.probability})
    return rows


def _mistakes(
    test: "Sequence[Example]", probabilities: "np.ndarray", label_names: Sequence[str]
) -> list[dict[str, Any]]:
    """The wrong answers that the model was surest of, with what people gave the text."""
    from shared.cleaning import clean
    from shared.phrases import both

    answers, confidence = probabilities.argmax(1), probabilities.max(1)
    wrong = [i for i in (-confidence).argsort(kind="stable") if answers[i] != test[i].label]
    return [
        {
            "sentence": clean(test[i].text),
            "human_rating": f"{test[i].rating:+.1f}",
            "answer": both(f"sentiment.class.{label_names[answers[i]]}"),
            "probability": float(confidence[i]),
        }
        for i in wrong[:SHOWN_MISTAKES]
    ]


def _percent(share: float) -> str:
    return f"{share:.1%}"


def main() -> None:
    config = parse_config(QuickstartConfig, prog=f"python -m {PROJECT}.quickstart")
    print_result(run(config.output, config.smoke))


if __name__ == "__main__":
    run_program(main)
