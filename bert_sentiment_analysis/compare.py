"""Compare models on the same texts: baselines, encoders fine-tuned here, and what others published.

python -m bert_sentiment_analysis.compare
python -m bert_sentiment_analysis.compare --models majority,vader,tfidf --datasets imdb,zh_reviews
python -m bert_sentiment_analysis.compare --models bert-base-uncased,roberta-base,minilm --n_seeds 3
python -m bert_sentiment_analysis.compare --resume runs/bert_sentiment_analysis/20261124-101500
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bert_sentiment_analysis.config import PROJECT, TrainingConfig
from bert_sentiment_analysis.published import published_scores
from shared.config import build, check, parse_config, to_dict
from shared.errors import UserError, run_program
from shared.logging import format_cell, get_logger, print_result, print_table, setup_logging
from shared.runs import RunFolder

if TYPE_CHECKING:
    from bert_sentiment_analysis.comparison import Contestant

log = get_logger(__name__)

# The encoders to compare, with the settings of their training that differ from the defaults. BERT's authors tried peak
# rates of 2e-5, 3e-5 and 5e-5 (arXiv 1810.04805, A.3) for encoders of this size; minilm is a quarter as large.
models_to_compare: dict[str, dict[str, Any]] = {
    "bert-base-uncased": {"learning_rate": 3e-5},
    "roberta-base": {"learning_rate": 3e-5},
    "distilbert-base-uncased": {"learning_rate": 3e-5},
    "albert-base-v2": {"learning_rate": 3e-5},
    "minilm": {},
}
BASELINES = ("majority", "vader", "tfidf", "frozen", "e5-multilingual")
LADDER = ",".join(("majority", "vader", "tfidf", "frozen", *reversed(models_to_compare)))


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Compare models on the same texts, one table a set."""

    models: str = LADDER
    """Rows: majority, vader, tfidf, frozen, e5-multilingual (frozen too), or encoders to fine-tune as in train."""
    datasets: str = "rotten_tomatoes"
    """Sets, as in train, with commas between them."""
    epochs: int = 3
    """Passes over the texts of an encoder that is fine-tuned."""
    n_train: int | None = None
    """Train on this many texts only, evenly spread over the set; by default on all."""
    n_held_out: int | None = None
    """Test on this many texts only, evenly spread, and let the baselines choose on as many; by default all."""
    seed: int = 0
    """Seed of what is random in a training."""
    n_seeds: int = 1
    """Trainings with the seeds seed, seed + 1, ...; the baselines are deterministic and run once."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        for name in ("models", "datasets"):
            listed = getattr(self, name).split(",")
            check(all(listed), name, repr(getattr(self, name)), "give names with commas between them")
            check(len(set(listed)) == len(listed), name, getattr(self, name), "name each only once")
        for name in ("epochs", "n_seeds"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give a whole number of at least 1")
        for name in ("n_train", "n_held_out"):
            value = getattr(self, name)
            check(value is None or value >= 2, name, value, "give at least 2 texts")

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.n_seeds)


@dataclass(frozen=True, kw_only=True)
class CompareCommand(CompareConfig):
    """Compare models on the same texts, one table a set."""

    output: str | None = None
    """Folder for what is finished; by default runs/bert_sentiment_analysis/DATE-TIME."""
    resume: str | None = None
    """Folder of a comparison that was killed, to go on with its own settings."""


def compare(config: CompareConfig, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The tables, by set: our rows, then the published ones, all with the same keys. What is finished is in `folder`.

    Raises UserError for a set that cannot be had, and where no model at all can be measured.
    """
    from bert_sentiment_analysis.comparison import measure, table
    from bert_sentiment_analysis.data.imdb_dataset import load_splits
    from shared.splits import evenly

    tables = {}
    for name in config.datasets.split(","):
        whole = load_splits(name)
        splits = replace(
            whole,
            train=evenly(whole.train, config.n_train),
            validation=evenly(whole.validation, config.n_held_out),
            test=evenly(whole.test, config.n_held_out),
        )
        cells = measure([contestant(model, config) for model in config.models.split(",")], splits, config.seeds, folder)
        if all("reason" in cell for cell in cells):
            raise UserError(f"--models {config.models}: none could be measured ({cells[0]['reason']})")
        tables[name] = with_published(table(cells, splits.test), name)
    return tables


def contestant(model: str, config: CompareConfig) -> "Contestant":
    """The baseline or the encoder of this name."""
    from bert_sentiment_analysis.comparison import baseline, fine_tuned
    from bert_sentiment_analysis.models import baselines

    if model in BASELINES:
        answers: dict[str, Any] = {
            "frozen": baselines.frozen,
            "e5-multilingual": partial(baselines.frozen, encoder="e5-multilingual"),
        }
        answers |= {"majority": baselines.majority, "vader": baselines.vader, "tfidf": baselines.tfidf}
        return baseline(model, answers[model])
    # An encoder that is not listed is most often as large as BERT.
    settings = models_to_compare.get(model, models_to_compare["bert-base-uncased"])
    given: dict[str, Any] = {
        "epochs": config.epochs,
        "n_train": config.n_train,
        "device": config.device,
        "tracking": "none",
    }
    return fine_tuned(model, TrainingConfig(model=model, **given, **settings))


def with_published(rows: list[dict[str, Any]], dataset: str) -> list[dict[str, Any]]:
    """Our rows, and below them those of others on this set."""
    empty = dict.fromkeys(rows[0])
    theirs = ({key: value for key, value in asdict(row).items() if key in empty} for row in published_scores(dataset))
    return rows + [{**empty, **row} for row in theirs]


def score_table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The scores of all, as narrow as a terminal of 80 columns."""
    printed = []
    for row in rows:
        spread = "" if row["spread"] is None else f" ± {row['spread']:.3f}"
        printed.append(
            {
                "model": row["model"],
                "accuracy": format_cell(row["accuracy"]) + spread,
                "95 %": "–" if row["low"] is None else f"{row['low']:.3f}–{row['high']:.3f}",
                "p": "<.001" if row["p_holm"] is not None and row["p_holm"] < 0.001 else format_cell(row["p_holm"]),
                "source": row["source"],
            }
        )
    return printed


def cost_table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What ours took, and their macro-F1."""
    names = {"macro_f1": "macro-F1", "train_seconds": "training s", "texts_per_s": "texts/s", "params": "params"}
    measured = [row for row in rows if row["low"] is not None]
    return [{"model": row["model"], **{names[key]: row[key] for key in names}} for row in measured]


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(CompareCommand, argv, prog=f"python -m {PROJECT}.compare")
    if config.resume:
        if config != CompareCommand(resume=config.resume):
            raise UserError("--resume: goes on with the comparison's own settings: leave out the other options")
        run = RunFolder.open(config.resume)
        config = build(CompareCommand, run.config())
    else:
        run = RunFolder.create(config.output, PROJECT, to_dict(config))
    setup_logging(run.path)
    settings = CompareConfig(**{field.name: getattr(config, field.name) for field in fields(CompareConfig)})
    try:
        tables = compare(settings, run.path)
    except KeyboardInterrupt:
        log.info("go on with --resume %s", run.path)
        raise
    for name, rows in tables.items():
        print_table(f"{name}: accuracy, and p of the gap to our best", score_table(rows))
        print_table(f"{name}: what it took", cost_table(rows))
    run.write_summary({"tables": tables})
    print_result({"run": str(run.path), "tables": tables})


if __name__ == "__main__":
    run_program(main)
