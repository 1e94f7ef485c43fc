"""What is wrong with a set of labelled texts: repeats, contradictions, leaks, odd rows, labels that look wrong.

python -m bert_sentiment_analysis.data.audit --dataset rotten_tomatoes
python -m bert_sentiment_analysis.data.audit --dataset my_reviews.csv --text_column body --output suspicious.csv
"""

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bert_sentiment_analysis.config import PROJECT
from bert_sentiment_analysis.data.checks import (
    UNSPACED,
    TextSet,
    describe_texts,
    main_script,
    overlap,
    usual_script,
)
from bert_sentiment_analysis.data.imdb_dataset import load_splits
from bert_sentiment_analysis.data.rows import Rows, read_rows
from shared.cleaning import clean, normalise
from shared.config import check, parse_config
from shared.datasets import load_examples
from shared.errors import UserError, run_program
from shared.files import write_text
from shared.leaks import shared_texts
from shared.logging import get_logger, print_result, print_table, progress_bar, setup_logging
from shared.splits import HUMAN_RATED, NAMES, label_by_sign
from shared.timing import Timer

log = get_logger(__name__)

SHOWN_CHARACTERS = 100


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """Find repeats, contradictions, leaks, odd rows and suspicious labels in a set."""

    dataset: str
    """Set to audit: a packaged one (rotten_tomatoes, imdb, tweets, zh_reviews, ...), a file, or a hub set."""
    text_column: str | None = None
    """Column of a file that holds the texts; by default the first of text, sentence, review, content."""
    label_column: str | None = None
    """Column of a file that holds the labels; by default label or sentiment."""
    against: str = ",".join(name for name in NAMES if name not in ("zh_reviews", "words"))
    """Sets to look for the same texts in, with commas between; an empty string for none."""
    shown: int = 20
    """Suspicious labels to print."""
    output: str | None = None
    """CSV file for all suspicious labels, replaced if it is there."""
    folds: int = 5
    """Parts of the set, each judged by a model trained on the others."""
    seed: int = 0
    """Seed of the folds."""

    def __post_init__(self) -> None:
        check(self.folds >= 2, "folds", self.folds, "give at least 2")
        check(self.shown >= 0, "shown", self.shown, "give 0 or more")


@dataclass(frozen=True)
class Suspect:
    """A label that looks wrong: `probability` is what a model that never saw the row gives it."""

    row: int
    text: str
    label: int
    suggested: int
    probability: float


def load_rows(name: str, text_column: str | None = None, label_column: str | None = None) -> Rows:
    """A set with its row numbers. Rated texts have the sign of their rating as label, None where it is 0."""
    if Path(name).is_file():
        return read_rows(name, text_column, label_column)
    examples = load_examples(name)
    if name in HUMAN_RATED:
        examples = label_by_sign(examples, keep_zeros=True)
    return Rows(examples, list(range(1, len(examples) + 1)))


def find_suspects(texts: TextSet, numbers: Sequence[int], config: AuditConfig) -> tuple[list[Suspect], float]:
    """The suspicious labels of the distinct texts, worst first, and the accuracy of the model that judged them.

    `numbers` are the rows' numbers. Raises UserError where there are too few labelled texts.
    """
    from bert_sentiment_analysis.data.label_noise import find_suspicious, out_of_fold_probabilities

    places = texts.distinct_places()
    chosen = [texts.examples[place] for place in places]
    cleaned = [clean(example.text) for example in chosen]
    label_of = texts.labels
    labels = [label_of[texts.keys[place]] for place in places]
    unspaced = usual_script([main_script(text) for text in cleaned]) in UNSPACED
    with progress_bar("judging each part by the others", config.folds) as update:
        probabilities = out_of_fold_probabilities(
            cleaned, labels, folds=config.folds, seed=config.seed, unspaced=unspaced, on_fold=update
        )
    best = probabilities.argmax(1)
    suspects = [
        Suspect(numbers[places[i]], cleaned[i], labels[i], int(best[i]), float(probabilities[i, labels[i]]))
        for i in find_suspicious(labels, probabilities)
    ]
    return suspects, float((best == labels).mean())


def confirm(suspects: Sequence[Suspect], other: TextSet) -> float | None:
    """Of the suspicious labels whose text the other set labels too, the share that it contradicts."""
    labels = other.labels
    wrong = [labels[key] != suspect.label for suspect in suspects if (key := normalise(suspect.text)) in labels]
    return sum(wrong) / len(wrong) if wrong else None


def audit(config: AuditConfig) -> dict[str, Any]:
    """Check the set, print the tables, write the suspicious labels, and return the counts."""
    rows = load_rows(config.dataset, config.text_column, config.label_column)
    if rows.skipped:
        log.warning(rows.describe_skipped())
    texts = TextSet(rows.examples)
    counts = describe_texts(texts)
    listed = [{"what": name.replace("_", " "), "": value} for name, value in counts.items()]
    print_table(f"{config.dataset}: the rows", listed)

    names = [name for name in config.against.split(",") if name and name != config.dataset]
    others = {name: TextSet(load_rows(name).examples) for name in names}
    suspects, accuracy = [], None
    try:
        suspects, accuracy = find_suspects(texts, rows.numbers, config)
    except UserError as error:
        log.warning("no look at the labels: %s", error)

    shared = {name: _compare(texts, suspects, other) for name, other in others.items()}
    if shared:
        print_table("The same texts in other sets", [{"set": name, **found} for name, found in shared.items()])
    splits = _check_splits(config)
    if suspects:
        shown = [{**asdict(suspect), "text": _shorten(suspect.text)} for suspect in suspects[: config.shown]]
        print_table(f"Suspicious labels: {len(suspects):,}, the {len(shown)} least probable", shown)
    if config.output:
        _write(Path(config.output), suspects)
    return {
        "dataset": config.dataset,
        **counts,
        "skipped": len(rows.skipped),
        "shared": shared,
        "splits": splits,
        "accuracy_out_of_fold": accuracy,
        "suspicious": len(suspects),
        "output": config.output,
        "folds": config.folds,
    }


def _compare(texts: TextSet, suspects: Sequence[Suspect], other: TextSet) -> dict[str, Any]:
    found = overlap(texts, other)
    return {
        "rows": found.rows,
        "labelled_in_both": found.compared,
        "same_label": found.agreement,
        "suspicious_contradicted": confirm(suspects, other),
    }


def _check_splits(config: AuditConfig) -> dict[str, int]:
    """The sizes of the three parts that training would use, what none of them has, and the texts in two of them."""
    try:
        splits = load_splits(config.dataset, text_column=config.text_column, label_column=config.label_column)
    except UserError as error:
        log.warning("no splits: %s", error)
        return {}
    leaks = sum(len(shared_texts(first, second)) for first, second in itertools.combinations(splits.parts.values(), 2))
    sizes = {side: len(part) for side, part in splits.parts.items()} | splits.dropped | {"texts on two sides": leaks}
    print_table("The parts that training uses", [{"part": name, "rows": count} for name, count in sizes.items()])
    return sizes


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _write(file: Path, suspects: Sequence[Suspect]) -> None:
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, [field.name for field in fields(Suspect)])
    writer.writeheader()
    writer.writerows(asdict(suspect) for suspect in suspects)
    write_text(file, table.getvalue())


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(AuditConfig, argv, prog=f"python -m {PROJECT}.data.audit")
    setup_logging()
    with Timer() as timer:
        result = audit(config)
    print_result({**result, "seconds": timer.seconds, "seed": config.seed})


if __name__ == "__main__":
    run_program(main)
