"""Make the three adapters that ship with the project, so that it answers well right after installation.

python -m bert_sentiment_analysis.shipped_weights                     both, about three hours on 2 cores
python -m bert_sentiment_analysis.shipped_weights --name english-ratings

english-sentiment        over minilm, which answers in milliseconds: first all English sets at once, then the short ones
english-ratings          over smollm2: a language model knows more words, and how strongly each is meant
english-ratings-minilm   over minilm, its partner: the mean of two models that err differently is nearer than either

Every stage is an ordinary training in a run folder below --output: one that was interrupted goes on where it stopped,
one that has ended is not done again.
Each adapter goes to weights/NAME, in half precision, with a model card, the ids of its training texts, and what it said
of the held-out ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_sentiment_analysis.config import PROJECT, SETTINGS, SHIPPED, TrainingConfig
from shared.config import build, check, parse_config, to_dict
from shared.errors import run_program
from shared.files import atomic_path, write_json, write_text
from shared.logging import print_result, setup_logging
from shared.runs import CONFIG, METRICS, SUMMARY, RunFolder, read_json

if TYPE_CHECKING:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier
    from shared.datasets import Example

HELD_OUT = "held_out.json"

# Of these ranks an adapter over all linear layers and the word vectors takes 3.5 MB in half precision.
RANK = {"minilm": 24, "smollm2": 5}
FULL_NAME = {"minilm": "all-MiniLM-L6-v2", "smollm2": "SmolLM2-135M-Instruct"}
COMMON: dict[str, Any] = {"overlap": 32, "batch_size": 16, "patience": 0, "tracking": "none"}

# What each stage learns, from which encoder on, or from which stage before it.
STAGES: dict[str, dict[str, Any]] = {
    "all-english": {
        "model": "minilm",
        "dataset": "imdb,rotten_tomatoes,tweets,amazon,nyt",
        "targets": "ratings",
        "learning_rate": 1.5e-3,
        "encoder_dropout": 0.0,  # most of the time goes here, and one pass learns nothing by heart
        "epochs": 1,
        "evaluations": 4,
    },
    "english-sentiment": {
        "model": "all-english",
        "dataset": "rotten_tomatoes,tweets,amazon,nyt,words",
        "targets": "ratings",
        "learning_rate": 5e-4,
        "epochs": 3,
    },
    "english-ratings": {
        "model": "smollm2",
        "dataset": "tweets,movie_snippets,amazon,nyt,words",
        "head": "rating",
        "learning_rate": 5e-4,
        "epochs": 3,
        "evaluations": 3,
    },
    "english-ratings-minilm": {
        "model": "english-sentiment",
        "dataset": "tweets,movie_snippets,amazon,nyt,words",
        "head": "rating",
        "learning_rate": 5e-4,
        "epochs": 3,
        "evaluations": 1,
    },
}
# Who answers too, and how much that counts: on the validation parts .3 was best on average and .45 for tweets.
PARTNERS = {"english-ratings": ("english-ratings-minilm", 0.4)}
# What each that ships is scored on.
RATED_SETS = ("tweets", "movie_snippets", "amazon", "nyt")
TESTS = {
    "english-sentiment": ("rotten_tomatoes", "imdb", "tweets", "amazon", "nyt"),
    "english-ratings-minilm": RATED_SETS,
    "english-ratings": RATED_SETS,
}


@dataclass(frozen=True)
class ShipConfig:
    """Train the adapters that ship with the project anew."""

    name: str = "all"
    """Which one: english-sentiment, english-ratings with its partner, or all."""
    output: str = f"runs/{PROJECT}/shipped"
    """Folder for the runs of the stages; what is there already is used."""

    def __post_init__(self) -> None:
        names = (*TESTS, "all")
        check(self.name in names, "name", self.name, f"choose among {', '.join(names)}")


def train_stage(name: str, output: Path) -> RunFolder:
    """The run of a stage below `output`, trained to its end, after the one that it builds on."""
    from bert_sentiment_analysis.train import finish

    settings = {**COMMON, **STAGES[name], "lora_rank": RANK[encoder_of(name)]}
    if settings["model"] in STAGES:
        settings["model"] = str(train_stage(settings["model"], output).path)
    return finish(TrainingConfig(**settings), output / name)


def encoder_of(stage: str) -> str:
    """The packaged encoder that a stage and those before it build on."""
    model = STAGES[stage]["model"]
    return encoder_of(model) if model in STAGES else model


def ship(name: str, runs: Path, weights: Path) -> dict[str, Any]:
    """Train what is not trained yet, its partner first, and publish it in `weights`. Returns the summary."""
    if name in PARTNERS:
        ship(PARTNERS[name][0], runs, weights)
    return publish(train_stage(name, runs), weights / name)


def publish(run: RunFolder, target: Path) -> dict[str, Any]:
    """Copy what a reader needs of a finished run into `target`, the weights in half precision, and describe it.

    Its partner is published beside it before. The scores are those of what ships, not of what was trained. Returns
    them with the run's summary.
    """
    from safetensors.torch import load_file, save_file

    from bert_sentiment_analysis.models.bert_classifier import MODEL, TextClassifier
    from bert_sentiment_analysis.models.outcome import test_scores
    from shared.leaks import TRAIN_IDS, load_ids

    config = build(TrainingConfig, run.config())
    target.mkdir(parents=True, exist_ok=True)
    with atomic_path(target / MODEL) as draft:
        save_file({name: weight.half() for name, weight in load_file(run.path / MODEL).items()}, draft)
    write_text(target / METRICS, (run.path / METRICS).read_text(encoding="utf-8"))
    model = Path(config.model).name  # the first stage by its name; in which folder it lay says nothing to others
    write_json(target / CONFIG, {**to_dict(config), "model": model, "output": None})
    settings, trained_on = read_json(run.path / SETTINGS), load_ids(run.path)
    if target.name in PARTNERS:
        settings["partner"], settings["partner_weight"] = PARTNERS[target.name]
        trained_on = trained_on | load_ids(target.parent / settings["partner"])
    write_text(target / TRAIN_IDS, "".join(f"{text}\n" for text in sorted(trained_on)))
    write_json(target / SETTINGS, settings)

    classifier = TextClassifier.load(target)
    tests, n_excluded = unseen_tests(target, TESTS[target.name], config.head)
    scores = test_scores(classifier, tests)
    summary = {**run.summary(), "model": model, **scores, "n_excluded": n_excluded}
    write_json(target / SUMMARY, summary)
    write_json(target / HELD_OUT, held_out_answers(classifier, tests))
    write_text(target / "README.md", card(target, config, summary))
    return summary


def unseen_tests(folder: Path, names: Sequence[str], head: str) -> tuple[dict[str, list["Example"]], int]:
    """The test parts of these sets without what the weights in `folder` were trained on, and how many went.

    Raises UserError where nothing is left of one.
    """
    from bert_sentiment_analysis.data.imdb_dataset import load_splits
    from shared.leaks import exclude, load_ids
    from shared.splits import load_rated

    trained_on = load_ids(folder)
    parts = load_rated(names) if head == "rating" else {name: load_splits(name) for name in names}
    kept = {name: exclude(splits.test, trained_on) for name, splits in parts.items()}
    return {name: tests for name, (tests, _) in kept.items()}, sum(n for _, n in kept.values())


def held_out_answers(classifier: "TextClassifier", tests: Mapping[str, Sequence["Example"]]) -> dict[str, Any]:
    """What it says of the first set's texts, for the page's plots: ratings, or probabilities by class."""
    from bert_sentiment_analysis.evaluation.calibration import apply_temperature
    from bert_sentiment_analysis.models.batches import predict_logits
    from shared.cleaning import clean

    name, examples = next(iter(tests.items()))
    logits = predict_logits(classifier, [clean(example.text) for example in examples])  # (N, C)
    if classifier.settings.head == "rating":
        ratings = [example.rating for example in examples]
        return {"dataset": name, "ratings": ratings, "predicted": logits[:, 0].round(3).tolist()}
    calibrated, raw = (apply_temperature(logits, t).round(4).tolist() for t in (classifier.settings.temperature, 1.0))
    labels = [example.label for example in examples]
    return {"dataset": name, "labels": labels, "probabilities": calibrated, "uncalibrated": raw}


def card(target: Path, config: TrainingConfig, summary: dict[str, Any]) -> str:
    """The model card, in Markdown."""
    from shared.leaks import TRAIN_IDS, load_ids

    rates = config.head == "rating"
    score = "pearson_r" if rates else "accuracy"
    rows = "\n".join(
        f"| {name} | {summary['n_test'][name]:,} | {value:.3f} |" for name, value in summary[score].items()
    )
    learned = "a rating from -4 to 4, the mean of 20 people" if rates else "negative or positive, with its probability"
    size = (target / "model.safetensors").stat().st_size / 1e6
    encoder = encoder_of(target.name)
    before, history = Path(config.model).name, ""
    if before in STAGES:
        history = f"\n  It went on from `{before}`, which had learned from {_listed(STAGES[before]['dataset'])}."
    if target.name in PARTNERS:
        history += (
            "\n  `{}`, beside it, answers too: of what both say the mean counts, and of that {:.0%} are its.".format(
                *PARTNERS[target.name]
            )
        )
    return f"""# {target.name}

A low-rank adapter of rank {config.lora_rank} over the packaged `{encoder}` ({FULL_NAME[encoder]}), {size:.1f} MB in
half precision. It tells of an English text: {learned}.

- **Made by** `python -m {PROJECT}.shipped_weights --name {target.name}` · {summary["date"]} · `{summary["commit"]}` ·
  {summary["hardware"]}. {config.epochs} passes over {_listed(config.dataset)}; the best
  checkpoint was kept.{history}
- **Data** the train parts of the packaged sets, {len(load_ids(target)):,} texts, whose ids (the first 16 digits of
  their SHA-256) are in `{TRAIN_IDS}`. LICENSES.md names their terms.
- **Weights** safetensors; MIT like the code, the terms of the data apply to what one does with them.
- **Limits** English only; film reviews far outweigh all else. It knows no irony that its words do not show, reads a
  quoted opinion as the author's own, and has the biases of its reviewers and raters. Not for decisions about people.

{"Pearson's r with the mean rating" if rates else "Accuracy"} on the test parts, no text of which trained or chose it:

| set | texts | {score} |
|---|---|---|
{rows}
"""


def _listed(datasets: str) -> str:
    return datasets.replace(",", ", ")


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(ShipConfig, argv, prog=f"python -m {PROJECT}.shipped_weights")
    setup_logging()
    names = ["english-sentiment", "english-ratings"] if config.name == "all" else [config.name]
    print_result({name: ship(name, Path(config.output), SHIPPED) for name in names})


if __name__ == "__main__":
    run_program(main)
