"""The comparisons as benchmarks: the ladder of models, the domain matrix, four architectures, and Chinese.

A benchmark that was killed goes on where it stopped when the same command is given again.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bert_sentiment_analysis.compare import CompareConfig, compare, score_table
from bert_sentiment_analysis.config import PROJECT, TrainingConfig
from bert_sentiment_analysis.evaluation.picture_data import ModelScore
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome
from shared.config import check, to_dict
from shared.runs import CONFIG, SUMMARY, RunFolder, git_commit

Rows = list[dict[str, Any]]

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True)
class LadderConfig(CompareConfig, BenchmarkConfig):
    """From guessing to a fine-tuned encoder, on the same texts, with published scores beside them."""

    def __post_init__(self) -> None:
        CompareConfig.__post_init__(self)
        BenchmarkConfig.__post_init__(self)
        check("," not in self.datasets, "datasets", self.datasets, "give one set, a table has no more")


def ladder(config: LadderConfig) -> Outcome:
    """`accuracy` by model, of those that were measured."""
    run = unfinished_run("ladder", config)
    (rows,) = compare(config, run.path).values()
    if config.save:
        draw_ladder(rows, RESULTS / "ladder.png", config.datasets)
    return finished(run, _scores(config, rows), rows, score_table(rows))


@dataclass(frozen=True, kw_only=True)
class DomainMatrixConfig(BenchmarkConfig):
    """Train on each of four domains and on all, test on all four: Pearson's r with human ratings."""

    model: str = "minilm"
    """Encoder to train."""
    epochs: int = 3
    """Passes over the texts."""
    n_train: int | None = None
    """Train on this many texts only, of each domain or of all together."""


def domain_matrix(config: DomainMatrixConfig) -> Outcome:
    """`pearson_r` by domain of the model trained on all, and the `accuracy` of the sign of every model."""
    from bert_sentiment_analysis.domain_matrix import domain_rows
    from bert_sentiment_analysis.published import PUBLISHED_F1
    from shared.splits import RATED

    run = unfinished_run("domain_matrix", config)
    training = TrainingConfig(model=config.model, epochs=config.epochs, n_train=config.n_train, seed=config.seed)
    rows = domain_rows(training, run.path)
    if config.save:
        from bert_sentiment_analysis.evaluation.png_figures import draw_domain_map
        from shared.phrases import phrase

        scores = {_line_name(row): {domain: row[domain] for domain in RATED} for row in rows}
        draw_domain_map(scores, RESULTS / "domain_matrix.png", phrase("sentiment.pearson_r", "en"))
    ours = {row["trained_on"]: row for row in rows if row["source"] == "here"}
    result = {
        "model": config.model,
        "pearson_r": {domain: ours["all"][domain] for domain in RATED},
        "accuracy": {name: row["accuracy"] for name, row in ours.items()},
        "n_test": ours["all"]["n_test"],
        "n_excluded": sum(row["n_excluded"] for row in ours.values()),
        "published_f1": PUBLISHED_F1,
    }
    shown = ("trained_on", *RATED, "n_train", "train_seconds", "source")
    return finished(run, result, [{key: row[key] for key in shown} for row in rows])


@dataclass(frozen=True, kw_only=True)
class ArchitecturesConfig(BenchmarkConfig):
    """BERT, RoBERTa, DistilBERT and ALBERT from random weights: equal size, data and steps."""

    dataset: str = "rotten_tomatoes"
    """Set to learn."""
    epochs: int = 5
    """Passes over the texts."""
    n_train: int | None = None
    """Train on this many texts only, evenly spread over the set; by default on all."""
    n_seeds: int = 1
    """Trainings of each with the seeds seed, seed + 1, ..."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n_seeds >= 1, "n_seeds", self.n_seeds, "give at least 1")


def architectures(config: ArchitecturesConfig) -> Outcome:
    """`accuracy` by architecture; the rows have parameters, speed and seconds too."""
    from bert_sentiment_analysis.architectures import contestants
    from bert_sentiment_analysis.comparison import measure, table
    from bert_sentiment_analysis.data.imdb_dataset import load_splits
    from shared.splits import evenly

    run = unfinished_run("architectures", config)
    whole = load_splits(config.dataset)
    splits = replace(whole, train=evenly(whole.train, config.n_train))
    seeds = range(config.seed, config.seed + config.n_seeds)
    rows = table(measure(contestants(config.epochs, config.n_train), splits, seeds, run.path), splits.test)
    shown = ("model", "params", "accuracy", "spread", "p_holm", "examples_per_s", "train_seconds", "low", "high")
    result = {"dataset": config.dataset, "n_train": len(splits.train), "n_test": len(splits.test)}
    result |= {"epochs": config.epochs, "accuracy": {row["model"]: row["accuracy"] for row in rows}}
    rows = [{key: row[key] for key in shown} for row in rows]
    return finished(run, result, rows, [{key: row[key] for key in shown[:3] + shown[5:7]} for row in rows])


@dataclass(frozen=True, kw_only=True)
class ChineseConfig(LadderConfig):
    """Chinese reviews, a stated sample: counted characters against the frozen vectors of a multilingual encoder."""

    models: str = "majority,tfidf,e5-multilingual"
    datasets: str = "zh_reviews"
    n_train: int | None = 2000
    n_held_out: int | None = 1000


def chinese(config: ChineseConfig) -> Outcome:
    """As the ladder. The encoder read 3 to 13 reviews a second on one busy core, hence the sample."""
    run = unfinished_run("chinese", config)
    (rows,) = compare(config, run.path).values()
    return finished(run, _scores(config, rows), rows, score_table(rows))


def _scores(config: LadderConfig, rows: Rows) -> dict[str, Any]:
    measured = [row for row in rows if row["low"] is not None]
    accuracy = {row["model"]: row["accuracy"] for row in measured}
    return {
        "dataset": config.datasets,
        "n_test": measured[0]["n_test"],
        "n_seeds": config.n_seeds,
        "accuracy": accuracy,
    }


def _line_name(row: dict[str, Any]) -> str:
    return row["trained_on"] if row["source"] == "here" else f"{row['trained_on']} (published)"


def draw_ladder(rows: Rows, file: Path, dataset: str) -> None:
    """Our scores with their intervals, and those of others as open marks, as a PNG with English labels."""
    from bert_sentiment_analysis.evaluation.png_figures import draw_model_comparison
    from shared.phrases import phrase

    scores = [
        ModelScore(row["model"], row["accuracy"], row["low"], row["high"], published=row["low"] is None)
        for row in rows
        if row["accuracy"] is not None
    ]
    draw_model_comparison(scores, f"{phrase('sentiment.accuracy', 'en')}, {dataset}", file)


def unfinished_run(name: str, config: BenchmarkConfig) -> RunFolder:
    """The folder of the same benchmark with the same settings and code that was not finished, else a new one."""
    settings = {"benchmark": name, "code": git_commit(), **to_dict(replace(config, save=False))}
    for folder in sorted(Path("runs", PROJECT).glob(f"{name}-*")):
        begun = (folder / CONFIG).exists() and not (folder / SUMMARY).exists()  # a kill may leave an empty folder
        if begun and RunFolder(folder).config() == settings:
            return RunFolder(folder)
    number = 1
    while (folder := Path("runs", PROJECT, f"{name}-{number}")).exists():
        number += 1
    return RunFolder.create(folder, PROJECT, settings)


def finished(run: RunFolder, result: dict[str, Any], rows: Rows, printed: Rows | None = None) -> Outcome:
    """The outcome, and the run marked as finished by its summary."""
    run.write_summary({"result": result, "rows": rows})
    return Outcome(result, rows, printed)


COMPARISON_BENCHMARKS = {
    "ladder": Benchmark(LadderConfig, ladder, long=True),
    "domain_matrix": Benchmark(DomainMatrixConfig, domain_matrix, long=True),
    "architectures": Benchmark(ArchitecturesConfig, architectures, long=True),
    "chinese": Benchmark(ChineseConfig, chinese, long=True),
}
