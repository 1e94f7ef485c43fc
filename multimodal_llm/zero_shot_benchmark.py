"""`python -m multimodal_llm.benchmark zero_shot`: how often is the right label first?

A label that is a class of the classifier is no feat. So the labels are also ranked where the classifier knew nothing of
the true one: its name and score taken out alone, and a tenth of all classes taken out at once.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multimodal_llm.images import load_in_batches
from shared.benchmark import BenchmarkConfig, Outcome
from shared.config import check
from shared.errors import UserError
from shared.logging import progress_bar

TOPS = {"top1": 1, "top5": 5}
LABELS_IN_A_LIST, FOLDS = 20, 10
PLAIN = {"ridge": 1.0, "conse_share": float("inf")}  # ConSE as published


@dataclass(frozen=True, kw_only=True)
class ZeroShotConfig(BenchmarkConfig):
    """Labels of unseen photos: with ImageNet's names, and with the true class's own name and probability taken out."""

    data: str
    """Folder with images/ and labels.csv (file, and imagenet_index or label)."""
    classifier: str = "conse"
    """Who decides: conse, conse-e5, or the folder or hub name of a CLIP or SigLIP."""
    n: int | None = None
    """Photos to look at; by default all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n is None or self.n >= 1, "n", self.n, "give at least 1")


def zero_shot(config: ZeroShotConfig) -> Outcome:
    from multimodal_llm.clip_applications.zero_shot_classification import load_classifier
    from shared.leaks import text_hash

    files, labels, truth, indexed = read_labels(Path(config.data))
    files, truth = files[: config.n], truth[: config.n]
    reported = np.array([int(text_hash(file.name)[16:32], 16) % 2 == 1 for file in files])  # the rest was tuned on
    classifier: Any = load_classifier(config.classifier)
    if not hasattr(classifier, "space"):
        return _with_clip(classifier, files, labels, truth)
    space, meanings = classifier.space, classifier.space.meanings
    logits = np.concatenate([space.logits(pictures) for pictures in load_in_batches(files, "photos")])
    label_vectors = meanings.encode(meanings.names if indexed else labels)
    plain_names, plain_labels = _plain(meanings, None if indexed else labels)
    ours = _measured(meanings.name_vectors, label_vectors, logits, truth, reported, indexed, {})
    published = _measured(plain_names, plain_labels, logits, truth, reported, indexed, PLAIN)

    result = {**ours, "n": len(files), "classifier": config.classifier}
    if classifier.least is not None:
        scores = _places(meanings.name_vectors, logits, {}) @ label_vectors.T
        result |= reject_rates(scores, truth, classifier.least, reported, config.seed)
    result |= {f"conse_{name}": value for name, value in published.items() if "top1" in name and "half" not in name}
    rows = [{"recipe": "ours", **ours}, {"recipe": "ConSE (10)", **published}]
    if indexed:
        known = _shares("", ranks(logits, truth))
        result |= {f"classifier_{name}": value for name, value in known.items()}
        rows.append({"recipe": "EfficientNet-Lite2", **known})
    return Outcome(result, [{column: row.get(column) for column in rows[0]} for row in rows])


def _measured(
    names: np.ndarray,
    labels: np.ndarray,
    logits: np.ndarray,
    truth: np.ndarray,
    reported: np.ndarray,
    indexed: bool,
    recipe: dict[str, float],
) -> dict[str, float]:
    """How often one recipe puts the right label first: all classes known, the true one unknown, a tenth unknown."""
    found = {"": ranks(_places(names, logits, recipe) @ labels.T, truth)}
    if indexed:
        found["unseen_"] = ranks(_places_without(names, logits, truth, recipe) @ labels.T, truth)
        found["unseen_of_100_"] = ranks_in_folds(names, labels, logits, truth, recipe)
    measured: dict[str, float] = {}
    for kind, rank in found.items():
        measured |= _shares(kind, rank) | {f"{kind}top1_report_half": _share((rank < 1)[reported])}
    return measured


def _shares(kind: str, rank: np.ndarray) -> dict[str, float]:
    return {f"{kind}{name}": _share(rank < k) for name, k in TOPS.items()}


def read_labels(folder: Path) -> tuple[list[Path], list[str], np.ndarray, bool]:
    """Photos, candidate labels, the number of each photo's label, and whether these are ImageNet's own.

    Raises UserError for another layout.
    """
    from multimodal_llm.image_encoder import class_names

    table = folder / "labels.csv"
    if not table.is_file():
        raise UserError(f"{folder}: no labels.csv in it: see docs/data.md")
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: no table ({error}): see docs/data.md") from error
    kind = next((name for name in ("imagenet_index", "label") if rows and name in rows[0]), None)
    if kind is None or "file" not in rows[0]:
        raise UserError(f"{table}: needs the columns file, and imagenet_index or label: see docs/data.md")
    files = [folder / "images" / row["file"] for row in rows]
    if kind == "imagenet_index":
        names = list(class_names())
        if wrong := [row[kind] for row in rows if not str(row[kind]).isdecimal() or int(row[kind]) >= len(names)]:
            raise UserError(f"{table}: {wrong[0]} is no number of a class: give 0 to {len(names) - 1}")
        return files, names, np.array([int(row[kind]) for row in rows]), True
    if any(not row[kind] for row in rows):
        raise UserError(f"{table}: a photo has no label: give each one")
    labels = sorted({row[kind] for row in rows})
    return files, labels, np.array([labels.index(row[kind]) for row in rows]), False


def ranks(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How many labels score above the true one, for each row of scores (N, L). A tie counts against it."""
    own = scores[np.arange(len(truth)), truth]
    return (scores >= own[:, None]).sum(1) - 1


def ranks_in_folds(
    names: np.ndarray, labels: np.ndarray, logits: np.ndarray, truth: np.ndarray, recipe: dict[str, float]
) -> np.ndarray:
    """The rank of the true one of 100 labels of which no class was known: ten fixed tenths of the classes are taken out
    in turn, names and logits, and the photos of their classes are labelled with their names only.

    `names` and `labels` (C, D) are vectors of the class names, `logits` (N, C) and `truth` (N,) of the photos.
    """
    fold = np.random.default_rng(0).permutation(len(names)) % FOLDS
    found = np.empty(len(truth), dtype=int)
    for number in range(FOLDS):
        known, taken_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        photos = np.flatnonzero(np.isin(truth, taken_out))
        if len(photos):
            scores = _places(names[known], logits[photos][:, known], recipe) @ labels[taken_out].T
            found[photos] = ranks(scores, np.searchsorted(taken_out, truth[photos]))  # type: ignore[arg-type]
    return found


def reject_rates(
    scores: np.ndarray, truth: np.ndarray, least: float, reported: np.ndarray, seed: int
) -> dict[str, float]:
    """Lists of 20 labels at random, with the true one and without it: how often the best one is said to fit.

    `scores` are (N, C), `truth` (N,); of the photos those count that the mask `reported` (N,) names.
    """
    random = np.random.default_rng(seed)
    with_truth, without = [], []
    for row, own in zip(scores, truth, strict=True):
        others = random.permutation(np.delete(np.arange(scores.shape[1]), own))[: LABELS_IN_A_LIST - 1]
        with_truth.append(max(row[own], row[others].max()) >= least)
        without.append(row[others].max() >= least)
    return {
        "accepted": _share(np.array(with_truth)[reported]),
        "false_accepted": _share(np.array(without)[reported]),
    }


def _plain(meanings: Any, labels: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """The published recipe's vectors of classes and labels: one name each, nothing around it, nothing taken away."""
    from multimodal_llm.image_encoder import class_names

    names = meanings.reader.encode(list(class_names()))
    return names, names if labels is None else meanings.reader.encode(list(labels))


def _places(names: np.ndarray, logits: np.ndarray, recipe: dict[str, float]) -> np.ndarray:
    from multimodal_llm.clip_applications.conse import class_weights, unit

    return unit(class_weights(names, logits, **recipe) @ names)


def _places_without(names: np.ndarray, logits: np.ndarray, truth: np.ndarray, recipe: dict[str, float]) -> np.ndarray:
    """Each photo's place where its own class is not among those that are known: no name of it, and no logit."""
    places = []
    with progress_bar("unseen", len(truth)) as show:
        for number, own in enumerate(truth):
            known = np.delete(np.arange(len(names)), own)
            places.append(_places(names[known], logits[number : number + 1, known], recipe))
            show(number + 1)
    return np.concatenate(places)


def _with_clip(classifier: Any, files: Sequence[Path], labels: Sequence[str], truth: np.ndarray) -> Outcome:
    """CLIP knows no classes, so nothing can be taken out."""
    rank: list[int] = []
    for pictures in load_in_batches(files, "photos"):
        for found in classifier.classify(pictures, labels, top=5):
            said = [score.label for score in found.scores]
            own = labels[truth[len(rank)]]  # type: ignore[call-overload]
            rank.append(said.index(own) if own in said else len(labels))
    return Outcome({**_shares("", np.array(rank)), "n": len(files)})


def _share(right: np.ndarray) -> float:
    """Of an array of truth values; nan of none."""
    return float(np.mean(right)) if len(right) else float("nan")
