"""What we measure of this project.

python -m bert_sentiment_analysis.benchmark fine_tune                  how often is it right? How fast does it learn?
python -m bert_sentiment_analysis.benchmark fine_tune --dataset imdb   the same on whole film reviews
python -m bert_sentiment_analysis.benchmark domains                    how near to 20 people's mean, in four domains?
python -m bert_sentiment_analysis.benchmark predict                    how fast does it answer, beside the pipeline?
python -m bert_sentiment_analysis.benchmark ladder                     from guessing to fine-tuning, on the same texts
python -m bert_sentiment_analysis.benchmark domain_matrix              trained on one domain, tested on another
python -m bert_sentiment_analysis.benchmark architectures              BERT and its kin from scratch, at equal size
python -m bert_sentiment_analysis.benchmark chinese                    Chinese reviews, by a frozen encoder
python -m bert_sentiment_analysis.benchmark held_out                   the classifier set by set, and its pictures
python -m bert_sentiment_analysis.benchmark errors                     what is it confidently wrong about?

`domains`, `predict`, `held_out` and `errors` take the shipped weights, without any text that they were trained on;
`domains --train true` trains them anew by their recipe, which can be interrupted and goes on.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_sentiment_analysis.comparison_benchmarks import COMPARISON_BENCHMARKS, finished, unfinished_run
from bert_sentiment_analysis.config import DEFAULT_RUN, PROJECT, QUICK_RECIPE, TrainingConfig, run_path
from bert_sentiment_analysis.held_out_report import ErrorsConfig, HeldOutConfig, errors, held_out
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome, run_benchmarks
from shared.config import check
from shared.errors import run_program

FILMS, RATINGS_RUN = "rotten_tomatoes", "english-ratings"


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig(BenchmarkConfig):
    """Train minilm on a set: accuracy on its held-out texts, and how fast that is beside transformers' Trainer."""

    dataset: str = FILMS
    """Set to learn. A killed training goes on when the same command is given again."""
    turns: int = 2
    """Turns in which the training speeds are taken."""

    @property
    def variant(self) -> str:
        return "" if self.dataset == FILMS else f"_{Path(self.dataset).stem}"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.turns >= 1, "turns", self.turns, "give at least 1")


def fine_tune(config: FineTuneConfig) -> Outcome:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier
    from bert_sentiment_analysis.models.outcome import test_scores
    from bert_sentiment_analysis.shipped_weights import unseen_tests
    from bert_sentiment_analysis.speed import training_speeds
    from bert_sentiment_analysis.train import finish

    kept = unfinished_run("fine_tune", config)
    training = TrainingConfig(dataset=config.dataset, seed=config.seed, **QUICK_RECIPE)
    run = finish(training, kept.path / "training")
    tests, n_excluded = unseen_tests(run.path, (config.dataset,), "classification")
    scores = test_scores(TextClassifier.load(run.path), tests)
    rows = training_speeds(TrainingConfig(dataset=config.dataset, seed=config.seed, tracking="none"), config.turns)
    ours, _, baseline, padded = (row["examples_per_s"] for row in rows)
    result = {"dataset": config.dataset, "model": training.model, **scores, "n_excluded": n_excluded}
    result["train_seconds"] = run.summary()["seconds"]
    result |= {"examples_per_s": ours, "baseline_examples_per_s": baseline, "padded_examples_per_s": padded}
    result |= {"speed_up": rows[2]["our_speed_up"], "padded_speed_up": rows[3]["our_speed_up"]}
    return finished(kept, result, rows)


@dataclass(frozen=True, kw_only=True)
class DomainsConfig(BenchmarkConfig):
    """One rating model on tweets, film sentences, products and editorials: Pearson's r with the mean of 20 people."""

    train: bool = False
    """Train the weights anew instead of scoring those that ship."""


def domains(config: DomainsConfig) -> Outcome:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier
    from bert_sentiment_analysis.models.outcome import test_scores
    from bert_sentiment_analysis.published import PUBLISHED_R
    from bert_sentiment_analysis.shipped_weights import TESTS, unseen_tests

    run = _weights(RATINGS_RUN, config.train)
    tests, n_excluded = unseen_tests(run, TESTS[RATINGS_RUN], "rating")
    scores = test_scores(TextClassifier.load(run), tests)
    rows = [{"model": run.name, **scores["pearson_r"]}]
    rows += [{"model": f"{name} (published)", **r} for name, r in PUBLISHED_R.items()]
    return Outcome({**scores, "n_excluded": n_excluded}, rows)


@dataclass(frozen=True, kw_only=True)
class PredictConfig(BenchmarkConfig):
    """Texts of mixed length a second, beside transformers' pipeline with the same weights."""

    n: int = 2000
    """Texts."""
    turns: int = 3
    """Turns in which the speeds are taken."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n >= 5, "n", self.n, "give at least 5")
        check(self.turns >= 1, "turns", self.turns, "give at least 1")


def predict(config: PredictConfig) -> Outcome:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier
    from bert_sentiment_analysis.speed import mixed_texts, prediction_speeds

    classifier = TextClassifier.load(DEFAULT_RUN)
    texts = mixed_texts(config.n, classifier, config.seed)
    rows = prediction_speeds(classifier, texts, config.turns)
    ours, fp32, defaults, *others = rows
    best = max((defaults, *others), key=lambda row: row["texts_per_s"])
    result: dict[str, Any] = {
        "texts_per_s": ours["texts_per_s"],
        "texts_per_s_fp32": fp32["texts_per_s"],
        "pipeline_texts_per_s": defaults["texts_per_s"],
        "pipeline_best_texts_per_s": best["texts_per_s"],
        "pipeline_best": best["way"],
        "speed_up": defaults["our_speed_up"],
        "speed_up_best": best["our_speed_up"],
        "same_answers": defaults["same_answers"],
        "n": len(texts),
    }
    return Outcome(result, rows)


def _weights(name: str, train: bool) -> Path:
    """The folder of the shipped weights, or of those trained anew by their recipe."""
    from bert_sentiment_analysis.shipped_weights import ship

    if not train:
        return run_path(name)
    folder = Path("runs") / PROJECT / "benchmark"
    ship(name, folder, folder / "weights")
    return folder / "weights" / name


BENCHMARKS = {
    "fine_tune": Benchmark(FineTuneConfig, fine_tune),
    "domains": Benchmark(DomainsConfig, domains),
    "predict": Benchmark(PredictConfig, predict, sample={"n": 250, "turns": 1}),
    **COMPARISON_BENCHMARKS,
    "held_out": Benchmark(HeldOutConfig, held_out),
    "errors": Benchmark(ErrorsConfig, errors),
}


def main() -> None:
    run_benchmarks(Path(__file__).parent, BENCHMARKS)


if __name__ == "__main__":
    run_program(main)
