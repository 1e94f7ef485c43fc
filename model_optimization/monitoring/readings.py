"""What the monitor keeps of texts: one pass of the classifier gives all of it, and the texts themselves are not kept.

The vector of a text comes from the middle layer: further up little is left but the answer, and a shift of topics hides.

Letters in shapes: N texts, D width of the encoder, C classes, W windows of tokens, B of a batch, T tokens.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from model_optimization.runtime import Reader, batches
from shared.errors import UserError
from shared.files import atomic_path, write_json
from shared.runs import read_json

if TYPE_CHECKING:
    from model_optimization.subject import Subject

UNKNOWN = -1  # the label of a text that has none
BATCH = 32
TENSORS, ABOUT = "readings.safetensors", "readings.json"


@dataclass(frozen=True)
class Readings:
    """A row a text."""

    vectors: np.ndarray
    """(N, D), in 16 bits, here as on the disk."""
    probabilities: np.ndarray
    """(N, C)."""
    lengths: np.ndarray
    """(N,), characters."""
    labels: np.ndarray
    """(N,), the true class, or UNKNOWN."""

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: np.ndarray | slice) -> "Readings":
        return Readings(*(getattr(self, each.name)[rows] for each in fields(self)))

    @property
    def scores(self) -> np.ndarray:
        """(N,), the mean class by its probabilities: of two classes the probability of the second."""
        return self.probabilities @ np.arange(self.probabilities.shape[1])

    @property
    def confidences(self) -> np.ndarray:
        """(N,), the probability of the class that is answered."""
        return self.probabilities.max(1)

    @property
    def labelled(self) -> "Readings":
        return self[self.labels != UNKNOWN]

    @property
    def right(self) -> np.ndarray:
        """(N,), whether the answer is the label."""
        return self.probabilities.argmax(1) == self.labels


def join(*parts: Readings) -> Readings:
    return Readings(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Readings)))


def read(
    subject: "Subject",
    texts: Sequence[str],
    labels: Sequence[int | None] | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Readings:
    """Readings of cleaned texts. What is longer than the model is read in overlapping windows, and has the mean of
    theirs, weighted by their tokens, as in runtime.py. `on_progress` hears how many texts are done.

    Raises UserError where the classifier answers with what is no number.
    """
    import torch

    from model_optimization.classifier import padding_bias
    from shared.devices import choose_device, choose_precision

    device = choose_device().value
    precision = choose_precision("auto", device, subject.model.shape.width).value
    model = subject.model.to(device)
    middle = max(1, len(model.layers) // 2)
    by_text = Reader(subject.tokenizer, subject.max_length, subject.overlap).windows(texts)
    windows = [(place, window) for place, windows in enumerate(by_text) for window in windows]
    windows.sort(key=lambda each: -len(each[1]))  # little padding, and memory that fits the first batch fits all
    n_tokens = np.array([sum(map(len, windows)) for windows in by_text])
    vectors = np.zeros((len(texts), model.shape.width), np.float32)
    logits = np.zeros((len(texts), model.shape.n_classes), np.float32)
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        for start in range(0, len(windows), BATCH):
            places, batch = zip(*windows[start : start + BATCH], strict=True)
            ids, mask = (torch.from_numpy(part).to(device) for part in next(batches(batch, BATCH)))
            x, bias = model.embedding(ids), padding_bias(mask)  # (B, T, D)
            for number, layer in enumerate(model.layers, start=1):
                x, _ = layer(x, bias)
                if number == middle:
                    half_way = model.pool(x, mask)  # (B, D)
            share = (mask.sum(1).cpu().numpy() / n_tokens[list(places)]).astype(np.float32)[:, None]
            np.add.at(vectors, list(places), share * half_way.float().cpu().numpy())
            np.add.at(logits, list(places), share * model.classify(x, mask).float().cpu().numpy())
            on_progress(round((start + len(places)) / len(windows) * len(texts)))
    if not (np.isfinite(vectors).all() and np.isfinite(logits).all()):
        raise UserError("the classifier answers with what is no number: its weights are damaged, restore or train them")
    exponents = np.exp((logits - logits.max(1, keepdims=True, initial=-np.inf)) / subject.temperature)
    known = [UNKNOWN if label is None else label for label in labels or [None] * len(texts)]
    lengths = np.array([len(text) for text in texts], dtype=np.int32)
    return Readings(
        vectors.astype(np.float16),
        exponents / exponents.sum(1, keepdims=True),
        lengths,
        np.array(known, dtype=np.int16),
    )


def save(folder: Path, readings: Readings, about: Mapping[str, Any]) -> None:
    """Write readings.safetensors and, last, readings.json, with its checksum and what is said `about` the texts."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / TENSORS) as draft:
        save_tensors(draft, readings)
        sha256 = hashlib.sha256(draft.read_bytes()).hexdigest()
    write_json(folder / ABOUT, {**about, "n": len(readings), "sha256": sha256})


def load(folder: Path, classifier: str | None = None) -> tuple[Readings, dict[str, Any]]:
    """Readings and what is said about them. `classifier` is the checksum of the one that must have read them.

    Raises UserError where they are missing or damaged, or another classifier's.
    """
    remedy = "make it with model_optimization.monitoring.make_reference"
    if not (folder / ABOUT).is_file():
        raise UserError(f"{folder}: holds no finished reference ({ABOUT} is missing): {remedy}")
    about, file = read_json(folder / ABOUT), folder / TENSORS
    if not file.is_file() or not isinstance(about, dict):
        raise UserError(f"{folder}: damaged, {TENSORS if isinstance(about, dict) else ABOUT} is not whole: {remedy}")
    if hashlib.sha256(file.read_bytes()).hexdigest() != about.get("sha256"):
        raise UserError(f"{file}: damaged, it is not the file that {ABOUT} was written for: {remedy}")
    if classifier is not None and about.get("classifier") != classifier:
        raise UserError(
            f"{folder}: was made with another classifier: {remedy} --run, or give the --run it was made with"
        )
    return load_tensors(file), about


def save_tensors(file: Path, readings: Readings, metadata: Mapping[str, Any] | None = None) -> None:
    tensors = {each.name: np.ascontiguousarray(getattr(readings, each.name)) for each in fields(readings)}
    save_file(tensors, file, {"about": json.dumps(metadata)} if metadata else None)


def load_tensors(file: Path) -> Readings:
    """Raises UserError where the file is damaged."""
    try:
        tensors = load_file(file)
        readings = Readings(**tensors)
        whole = len({len(tensor) for tensor in tensors.values()}) == 1
        whole &= all(np.isfinite(tensor).all() for tensor in tensors.values())
    except (SafetensorError, OSError, TypeError) as error:
        raise UserError(f"{file}: damaged, no readings can be had from it: remove it and make it anew") from error
    if not whole:
        raise UserError(f"{file}: damaged, its rows are not whole numbers of texts: remove it and make it anew")
    return readings
