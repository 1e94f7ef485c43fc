"""A compressed classifier as it is shipped: a folder, and the engine that answers from it.

variant.json     how it reads texts, and which engine runs it
tokenizer.json   its vocabulary
model.onnx       for ONNX Runtime; or shape.json and model.safetensors for torch; or OpenVINO's two files

Nothing here needs torch to run an ONNX file: a server that only answers is small and starts quickly. A text longer than
the model is read in overlapping windows, and its answer is the mean of theirs, weighted by their tokens.

Letters in shapes: N texts, W windows of a batch, T tokens of its longest, C classes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from tokenizers import Tokenizer

from shared.config import build
from shared.errors import UserError, reason_of
from shared.files import write_json, write_text
from shared.runs import read_json

VARIANT, ONNX, TOKENIZER = "variant.json", "model.onnx", "tokenizer.json"
# Sum and normalisation as one operator: on a processor it has no vector code, and takes four times as long as the two.
SLOW_FUSION = "SkipLayerNormFusion"
EngineName = Literal["onnx", "torch", "torch_bf16", "torch_int8", "openvino"]
Engine = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Token ids and mask (W, T) to logits (W, C)."""


@dataclass(frozen=True)
class VariantSettings:
    """What `variant.json` holds."""

    engine: EngineName
    label_names: tuple[str, ...]
    max_length: int
    overlap: int = 32
    """Tokens that a window shares with the one before it."""
    temperature: float = 1.0
    """What to divide logits by to get honest probabilities."""
    batch_independent: bool = False
    """Whether an answer is the same whatever else is in the batch: not where that sets the scale of activations."""

    def __post_init__(self) -> None:
        if self.engine not in get_args(EngineName):
            raise ValueError(f"engine {self.engine}: there is none of that name: make the variant anew")
        object.__setattr__(self, "label_names", tuple(self.label_names))  # JSON has lists only


class Reader:
    """Texts to windows of token ids. It has a copy of the tokenizer, as it changes how that cuts."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, overlap: int = 32) -> None:
        self.tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_length, stride=min(overlap, max_length // 4))

    def windows(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """The windows of each text, each a list of token ids."""
        encoded = self.tokenizer.encode_batch_fast(list(texts))
        return [[first.ids, *(more.ids for more in first.overflowing)] for first in encoded]


class Variant:
    """An opened variant. Unless `settings.batch_independent`, logits of a text depend a little on its batch."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """Raises UserError where files are missing or damaged."""
        self.folder, self.name = folder, folder.name
        self.settings = load_settings(folder)
        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # the library raises plain Exception
            raise UserError(f"{folder / TOKENIZER}: missing or damaged: make the variant anew") from error
        self.reader = Reader(tokenizer, self.settings.max_length, self.settings.overlap)
        self.engine = _open(folder, self.settings.engine, threads)

    def logits(self, texts: Sequence[str], batch_size: int = 16) -> np.ndarray:
        """Logits (N, C) of cleaned texts, taken in the order given, `batch_size` windows at a time."""
        by_text = self.reader.windows(texts)
        windows = [window for windows in by_text for window in windows]
        if not windows:
            return np.zeros((0, len(self.settings.label_names)), dtype=np.float32)
        found = np.concatenate([self.engine(*batch) for batch in batches(windows, batch_size)])  # (W, C)
        return mean_of_windows(found, by_text)

    @property
    def size_mb(self) -> float:
        """Megabytes of its weights on the disk; what is the same for all, the tokenizer, is left out."""
        return sum(file.stat().st_size for file in self.folder.glob("model.*")) / 1e6


def mean_of_windows(found: np.ndarray, by_text: Sequence[Sequence[list[int]]]) -> np.ndarray:
    """Logits (N, C) of texts, from those of all their windows in order (W, C): means, weighted by tokens."""
    if len(found) == len(by_text):
        return found
    owner = np.repeat(np.arange(len(by_text)), [len(windows) for windows in by_text])  # (W,)
    weights = np.array([len(window) for windows in by_text for window in windows], dtype=found.dtype)
    sums = np.zeros((len(by_text), found.shape[1]), dtype=found.dtype)
    np.add.at(sums, owner, found * weights[:, None])
    return sums / np.bincount(owner, weights)[:, None].astype(found.dtype)


def batches(windows: Sequence[list[int]], batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Token ids and masks (W, T) of so many windows at a time."""
    for start in range(0, len(windows), batch_size):
        yield pad(windows[start : start + batch_size])


def pad(windows: Sequence[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and mask (W, T), as wide as the longest window. Padding has the id 0; the mask hides it."""
    ids, mask = np.zeros((2, len(windows), max(map(len, windows))), dtype=np.int64)
    for row, window in enumerate(windows):
        ids[row, : len(window)], mask[row, : len(window)] = window, 1
    return ids, mask


def write_settings(folder: Path, settings: VariantSettings, tokenizer: Tokenizer) -> None:
    """Complete a variant's folder; the settings come last, as they mark it as whole."""
    write_text(folder / TOKENIZER, tokenizer.to_str())
    write_json(folder / VARIANT, asdict(settings))


def load_settings(folder: Path) -> VariantSettings:
    """What the variant in this folder is. Raises UserError where none is finished there, and for a damaged file."""
    if not (folder / VARIANT).is_file():
        raise UserError(f"{folder}: no finished variant here ({VARIANT} is missing): make it with optimize")
    values = read_json(folder / VARIANT)
    if not isinstance(values, dict):
        raise UserError(f"{folder / VARIANT}: damaged, not a JSON object: make the variant anew")
    return build(VariantSettings, values)


def _open(folder: Path, engine: EngineName, threads: int | None) -> Engine:
    if engine == "onnx":
        return _open_onnx(folder / ONNX, threads)
    if engine == "openvino":
        from model_optimization.openvino_peer import MODEL, open_openvino

        return open_openvino(folder / MODEL, threads)
    from model_optimization.torch_engine import open_torch

    return open_torch(folder, engine)


def _open_onnx(file: Path, threads: int | None) -> Engine:
    import onnxruntime

    if not file.is_file():
        raise UserError(f"{file}: missing: make the variant anew")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0  # 0: one a core
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=[SLOW_FUSION]
        )
    except Exception as error:  # the library's own kinds, all of them plain
        reason = reason_of(error).replace(str(file), "the file")
        raise UserError(f"{file}: ONNX Runtime cannot load it ({reason}): make the variant anew") from error
    return lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
