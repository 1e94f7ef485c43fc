"""Several models on the same texts of a set: one row a model, with its interval and whether it is more than luck.

What one model with one seed answered on one set is a file in the run folder. A comparison that was killed goes on with
the first file that is missing, and a training in the middle with its last checkpoint.
"""

import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from bert_sentiment_analysis.config import TrainingConfig, run_path
from bert_sentiment_analysis.evaluation.metrics import macro_f1
from bert_sentiment_analysis.evaluation.significance import compare_models
from bert_sentiment_analysis.models.baselines import Answers
from shared.cleaning import clean
from shared.datasets import Example
from shared.errors import UserError
from shared.files import kept_json
from shared.leaks import text_hash, text_id
from shared.logging import get_logger
from shared.significance import bootstrap_interval
from shared.splits import Splits
from shared.timing import Timer

if TYPE_CHECKING:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier

log = get_logger(__name__)

HERE, NOT_MEASURED = "here", "not measured"

Cell = dict[str, Any]  # what a model with one seed answered on one set, as its file holds it


@dataclass(frozen=True)
class Contestant:
    """A model to compare. `answer(splits, seed, folder)` trains it and answers the test part, with files in `folder`.

    One that is deterministic is asked once, whatever the number of seeds.
    """

    name: str
    answer: Callable[[Splits, int, Path], Answers]
    deterministic: bool = False


def fine_tuned(name: str, training: TrainingConfig) -> Contestant:
    """An encoder, trained as `train` does it; `training` names it and the set."""
    return Contestant(name, partial(fine_tune, training))


def baseline(name: str, answer: Callable[[Splits, Path], Answers]) -> Contestant:
    return Contestant(name, lambda splits, seed, folder: answer(splits, folder), deterministic=True)


def measure(contestants: Sequence[Contestant], splits: Splits, seeds: Sequence[int], folder: Path) -> list[Cell]:
    """The cells of one set, those that are in `folder` already not computed again.

    A model that cannot be had or does not fit gives a cell with `reason` instead of answers, and nothing is kept of it:
    the next time it may be in reach. Raises UserError where the texts are others than those of the kept answers.
    """
    fingerprint = text_hash("\n".join(f"{e.label} {e.text}" for e in splits.test))
    cells = []
    for contestant in contestants:
        for seed in seeds[:1] if contestant.deterministic else seeds:
            stem = folder / quote(splits.name, safe="") / f"{quote(contestant.name, safe='')}-{seed}"

            def compute(contestant: Contestant = contestant, seed: int = seed, work: Path = stem) -> Cell:
                log.info("%s on %s, seed %d", contestant.name, splits.name, seed)
                return {"test_sha256": fingerprint, **contestant.answer(splits, seed, work).to_json()}

            try:
                cell = kept_json(stem.with_name(f"{stem.name}.json"), compute)
            except UserError as error:
                log.warning("%s is not measured: %s", contestant.name, error)
                cells.append({"model": contestant.name, "seed": seed, "reason": str(error)})
                break
            shutil.rmtree(stem, ignore_errors=True)
            if cell["test_sha256"] != fingerprint:
                raise UserError(f"{folder}: its answers are to other texts than {splits.name} has now: start anew")
            cells.append({"model": contestant.name, "seed": seed, **cell})
    return cells


def table(cells: Sequence[Cell], test: Sequence[Example]) -> list[dict[str, Any]]:
    """One row a model, in their order; all rows have the same keys, and None where there is nothing to say.

    `accuracy` and `macro_f1` are means over the seeds, `spread` is the standard deviation of the accuracy over them.
    `low` to `high` is the 95 % bootstrap interval of the accuracy over texts: it does not know of other seeds.
    `gap` is the accuracy of the first seed less that of the best model, and `p_holm` says whether that could be luck:
    McNemar's test on the same texts, corrected for all the rows of the set. The best is known by this test alone,
    which favours it a little.
    """
    labels = np.array([example.label for example in test])
    by_model: dict[str, list[Cell]] = {}
    for cell in cells:
        by_model.setdefault(cell["model"], []).append(cell)
    measured = {name: group for name, group in by_model.items() if "reason" not in group[-1]}
    rows = {name: _row(name, group, labels) for name, group in measured.items()}
    if len(rows) > 1:
        best = max(rows, key=lambda name: rows[name]["accuracy"])
        first = {name: np.array(group[0]["predictions"]) for name, group in measured.items()}
        for comparison in compare_models(labels, first, reference=best):
            rows[comparison.model] |= {"gap": comparison.difference, "p_holm": comparison.p_holm}
    empty = dict.fromkeys(_row_keys())
    return [
        rows.get(name) or {**empty, "model": name, "source": NOT_MEASURED, "detail": group[-1]["reason"]}
        for name, group in by_model.items()
    ]


def fine_tune(training: TrainingConfig, splits: Splits, seed: int, folder: Path) -> Answers:
    """Train an encoder, or go on with the training in `folder`, and answer the test part.

    `measure` throws the weights away with the folder: `train` makes some to keep. Raises UserError where the encoder
    cannot be had, and where it is from a run that was trained on test texts.
    """
    from bert_sentiment_analysis.models.batches import predict_logits
    from bert_sentiment_analysis.models.trainer import ids_of_run
    from shared.hub import resolve_model

    if not run_path(training.model).exists():
        resolve_model(training.model, suggestion="minilm")  # before the folder is there, as this may take a hub
    trained_on = ids_of_run(training.model)
    if n_seen := sum(text_id(example.text) in trained_on for example in splits.test):
        raise UserError(f"{training.model}: was trained on {n_seen:,} of these test texts: test it on another set")
    config = replace(training, seed=seed, dataset=splits.name)
    classifier, summary = trained(config, folder)
    texts = [clean(example.text) for example in splits.test]
    predict_logits(classifier, texts[:8], precision=summary["precision"])  # the first call prepares what later ones use
    with Timer() as timer:
        logits = predict_logits(classifier, texts, precision=summary["precision"])  # (N, C)
    return Answers(
        logits.argmax(1).tolist(),
        summary["seconds"],
        timer.rate(len(texts)),
        summary["params"],
        summary["examples_per_s"],
    )


def trained(config: TrainingConfig, folder: Path) -> tuple["TextClassifier", dict[str, Any]]:
    """The classifier of the run in `folder`, and its summary: trained first, or to its end, where it is not yet."""
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier
    from bert_sentiment_analysis.train import finish

    summary = finish(config, folder).summary()
    return TextClassifier.load(folder).to(summary["device"]), summary


def _row(name: str, group: Sequence[Cell], labels: np.ndarray) -> dict[str, Any]:
    answers = [np.array(cell["predictions"]) for cell in group]
    right = np.mean([given == labels for given in answers], axis=0)  # (N,) the share of seeds that got it right
    accuracies = [float((given == labels).mean()) for given in answers]
    interval = bootstrap_interval(right)
    return {
        "model": name,
        "accuracy": interval.estimate,
        "spread": statistics.stdev(accuracies) if len(group) > 1 else None,
        "low": interval.low,
        "high": interval.high,
        "macro_f1": statistics.fmean(macro_f1(labels, given) for given in answers),
        "gap": None,
        "p_holm": None,
        "n_test": len(labels),
        "seeds": len(group),
        **{key: _mean([cell[key] for cell in group]) for key in ("train_seconds", "examples_per_s", "texts_per_s")},
        "params": group[0]["params"],
        "source": HERE,
        "detail": None,
        "link": None,
    }


def _row_keys() -> list[str]:
    cell = {"predictions": [0], "train_seconds": 0.0, "examples_per_s": None, "texts_per_s": None, "params": 0}
    return list(_row("", [cell], np.zeros(1, dtype=int)))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None
