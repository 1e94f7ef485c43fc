"""Compress a classifier in every way, measure all of them side by side, and say which to ship.

python -m model_optimization.optimize                                   the classifier that ships, about twenty minutes
python -m model_optimization.optimize --run RUN --methods int8_dynamic,trimmed_int8
python -m model_optimization.optimize --run textattack/bert-base-uncased-imdb --dataset imdb

A variant ships only where it has surely lost no more than `most_lost` of the accuracy: the one-sided 95 % bound of the
paired loss counts, not the loss itself. Rows that became slower, or failed, stay in the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_optimization.config import PROJECT, STUDENT, SUBJECT
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.files import write_json
from shared.logging import get_logger, print_result, print_table, setup_logging

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class OptimizeConfig:
    """Compress a classifier in every way, and measure what that costs and gains."""

    run: str = SUBJECT
    """Folder of a trained classifier, or a hub name."""
    dataset: str = "rotten_tomatoes"
    """Texts: a packaged set, a file, or a hub set. Its training part trains, its test part is scored."""
    methods: str = "all"
    """Which ones, with commas between, such as int8_dynamic,trimmed_int8,student_int8; workshop.py lists them."""
    train: bool = False
    """Train the student of the classifier that ships anew, instead of taking the one that ships beside it."""
    output: str = f"runs/{PROJECT}/optimize"
    """Folder for classifiers, variants and the table. What is finished there is not made again."""
    most_lost: float = 0.01
    """A variant ships where the 95 % bound of the accuracy that it loses is no higher than this."""
    turns: int = 5
    """Turns in which the speeds are taken."""
    threads: int | None = None
    """Processor threads, for torch and ONNX Runtime alike; by default one a core."""
    seed: int = 0
    """Seed of everything that is trained."""

    def __post_init__(self) -> None:
        check(0 <= self.most_lost < 1, "most_lost", self.most_lost, "give a share from 0 to below 1")
        check(self.turns >= 1, "turns", self.turns, "give at least 1")
        check(self.threads is None or self.threads >= 1, "threads", self.threads, "give at least 1")


def optimize(config: OptimizeConfig) -> dict[str, Any]:
    """`rows`, a method and batch size each; `failed`, what could not be made and why; `recommended`, by purpose."""
    import torch

    from model_optimization.measurement import BASELINE, measure
    from model_optimization.subject import load_subject
    from model_optimization.texts import load_texts
    from model_optimization.workshop import Workshop, choose_methods
    from shared.leaks import load_ids

    if config.threads:
        torch.set_num_threads(config.threads)
    subject = load_subject(config.run)
    shipped_student = config.run == SUBJECT and not config.train
    trained_on = subject.trained_on | load_ids(Path(STUDENT)) if shipped_student else subject.trained_on
    texts = load_texts(config.dataset, trained_on, len(subject.label_names))
    workshop = Workshop(subject, texts, Path(config.output), config.seed, shipped_student)
    variants, failed = [], {}
    for name in choose_methods(config.methods):
        try:
            variants.append(workshop.variant(name))
        except UserError as error:
            if name == BASELINE:
                raise
            log.warning("%s failed: %s", name, error)
            failed[name] = str(error)
    rows = measure(variants, texts.test, (1, 16), config.turns, config.most_lost)
    return {
        "rows": rows,
        "failed": failed,
        "recommended": recommend(rows),
        "most_lost": config.most_lost,
        "n_test": len(texts.test),
        "n_excluded": texts.n_excluded,
    }


def recommend(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Among what passes the gate: the quickest with one text, the one that answers most texts, and the smallest.

    The smallest passes it at both batch sizes. Where nothing passes, as with few test texts, nothing is recommended.
    """
    shipped = {batch: [row for row in rows if row["batch"] == batch and row["ships"]] for batch in (1, 16)}
    both = {row["method"] for row in shipped[16]}
    best = {
        "one_text": min(shipped[1], key=lambda row: row["p50_ms"], default=None),
        "many_texts": max(shipped[16], key=lambda row: row["texts_per_s"], default=None),
        "smallest": min((r for r in shipped[1] if r["method"] in both), key=lambda r: r["size_mb"], default=None),
    }
    return {purpose: row["method"] for purpose, row in best.items() if row}


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(OptimizeConfig, argv, prog=f"python -m {PROJECT}.optimize")
    setup_logging()
    found = optimize(config)
    shown = ("method", "batch", "accuracy", "loss_bound", "ships", "size_mb", "p50_ms", "texts_per_s", "speed_up")
    print_table("every variant", [{name: row[name] for name in shown} for row in found["rows"]])
    write_json(Path(config.output) / "table.json", found)
    print_result({"table": f"{config.output}/table.json", **found})


if __name__ == "__main__":
    run_program(main)
