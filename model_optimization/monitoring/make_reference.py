"""Make the reference that a stream is compared with: readings of texts as the classifier should see them.

python -m model_optimization.monitoring.make_reference --data reviews.csv --output runs/model_optimization/reference
python -m model_optimization.monitoring.make_reference --data imdb --n 2000 --output runs/model_optimization/imdb

Of a packaged set the test part is taken. Texts that the classifier was trained on are left out: it is surer of those
than of any that will come. The texts are drawn at random, as neighbours in a file are often alike (imdb's reviews of
one film stand in a row), and a reference of one kind of texts would call all others drift. With labels in the data
there is an accuracy with which that estimated for a window can be compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_optimization.config import PROJECT, SUBJECT
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.logging import print_result, print_table, progress_bar, setup_logging

if TYPE_CHECKING:
    from model_optimization.monitoring.readings import Readings
    from model_optimization.subject import Subject
    from shared.datasets import Example


@dataclass(frozen=True)
class ReferenceConfig:
    """Read texts as the classifier should see them, to compare a stream with."""

    data: str = "rotten_tomatoes"
    """Texts: a packaged set (its test part), a file, or a hub set."""
    n: int = 1000
    """Texts at most, drawn at random. More of them tell smaller shifts, and each verdict takes longer."""
    run: str = SUBJECT
    """Folder of the classifier, or a hub name."""
    output: str = f"runs/{PROJECT}/reference"
    """Folder for the reference; what is there is replaced."""
    seed: int = 0
    """Seed of the draw."""

    def __post_init__(self) -> None:
        check(self.n >= 100, "n", self.n, "give at least 100")


def make_reference(config: ReferenceConfig) -> tuple["Readings", dict[str, Any]]:
    """The reference, and what is said about it. Raises UserError where fewer than 100 texts are left."""
    import random

    from model_optimization.monitoring.readings import save

    subject, about = load_classifier(config.run)
    examples, n_excluded = unseen(config.data, subject)
    if len(examples) < 100:
        raise UserError(
            f"{config.data}: {len(examples)} texts that the classifier was not trained on: give 100 or more"
        )
    chosen = random.Random(config.seed).sample(examples, min(config.n, len(examples)))
    with progress_bar("reading", len(chosen)) as update:
        readings = read_examples(subject, chosen, update)
    about |= {"source": config.data, "seed": config.seed, "n_excluded": n_excluded}
    save(Path(config.output), readings, about)
    return readings, about


def load_classifier(source: str) -> tuple["Subject", dict[str, Any]]:
    """A classifier, and by what readings of it are known."""
    from model_optimization.subject import checksum, load_subject
    from shared.hub import resolve_model

    subject = load_subject(source)
    weights = checksum(resolve_model(source, suggestion=SUBJECT))
    return subject, {"classifier": weights, "label_names": list(subject.label_names)}


def unseen(data: str, subject: "Subject") -> tuple[list["Example"], int]:
    """Texts that the classifier was not trained on, of a packaged set those of its test part; and how many it was."""
    from shared.datasets import load_examples
    from shared.leaks import exclude
    from shared.splits import NAMES, load_packaged

    return exclude(load_packaged(data).test if data in NAMES else load_examples(data), subject.trained_on)


def read_examples(
    subject: "Subject", examples: Sequence["Example"], on_progress: Callable[[int], None] = lambda done: None
) -> "Readings":
    """Readings of these. Raises UserError for a label that the classifier has no class for."""
    from model_optimization.monitoring.readings import read
    from shared.cleaning import clean

    labels = [example.label for example in examples]
    for label in labels:
        if label is not None and not 0 <= label < len(subject.label_names):
            raise UserError(f"label {label}: the classifier has {len(subject.label_names)} classes: mend that row")
    return read(subject, [clean(example.text) for example in examples], labels, on_progress)


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(ReferenceConfig, argv, prog=f"python -m {PROJECT}.monitoring.make_reference")
    setup_logging()
    readings, about = make_reference(config)
    known = readings.labelled
    result = {
        "reference": config.output,
        "source": about["source"],
        "n": len(readings),
        "n_excluded": about["n_excluded"],
        "accuracy": float(known.right.mean()) if len(known) else None,
        "mean_confidence": float(readings.confidences.mean()),
    }
    print_table("reference", [result])
    print_result(result)


if __name__ == "__main__":
    run_program(main)
