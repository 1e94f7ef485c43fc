"""Make what ships beside this file: the default reference, and samples of four kinds of texts for the demo page.

python -m model_optimization.monitoring.make_shipped

reference            one half of rotten_tomatoes' test sentences (a fixed hash halves them)
reviews              500 of the other half
tweets, amazon, nyt  the test parts of the three other sets

All are readings by the classifier that ships, which was trained on none of these texts. The texts are not in them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_optimization.config import PROJECT, REFERENCE, SUBJECT
from shared.config import parse_config
from shared.errors import run_program
from shared.logging import print_result, progress_bar, setup_logging

SHIFTS = ("tweets", "nyt", "amazon")
N_REVIEWS = 500


@dataclass(frozen=True)
class ShippedConfig:
    """Read the texts of the default reference and of the demo page's samples."""

    output: str = str(Path(REFERENCE).parent)
    """Folder for them; what is there is replaced."""


def make(folder: Path) -> dict[str, int]:
    """The number of texts by name."""
    from model_optimization.monitoring.make_reference import load_classifier, read_examples, unseen
    from model_optimization.monitoring.readings import save
    from shared.leaks import halves
    from shared.splits import evenly

    subject, about = load_classifier(SUBJECT)
    first, second = halves(unseen("rotten_tomatoes", subject)[0])
    kinds = {"reference": first, "reviews": evenly(second, N_REVIEWS)}
    kinds |= {name: unseen(name, subject)[0] for name in SHIFTS}
    for name, examples in kinds.items():
        with progress_bar(name, len(examples)) as update:
            readings = read_examples(subject, examples, update)
        source = "rotten_tomatoes" if name in ("reference", "reviews") else name
        save(folder / name, readings, {**about, "source": source})
    return {name: len(examples) for name, examples in kinds.items()}


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(ShippedConfig, argv, prog=f"python -m {PROJECT}.monitoring.make_shipped")
    setup_logging()
    print_result({"output": config.output, "n": make(Path(config.output))})


if __name__ == "__main__":
    run_program(main)
