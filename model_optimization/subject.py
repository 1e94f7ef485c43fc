"""Where the classifier comes from: a run of bert_sentiment_analysis (its files, not its code), one of our own folders,
or a sequence classifier of BERT's, RoBERTa's or DistilBERT's family, by path or hub name.

Everything becomes a `Classifier`, whose file also keeps the tokenizer and the ids of the texts that it was trained on.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from tokenizers import Tokenizer

from model_optimization.classifier import Classifier, Shape
from model_optimization.config import SUBJECT
from model_optimization.families import (
    Weights,
    both,
    family_of,
    read_all_weights,
    read_json_object,
    read_tokenizer,
    read_weights,
)
from shared.config import build
from shared.errors import UserError, reason_of
from shared.files import atomic_path, write_json, write_text
from shared.hub import resolve_model
from shared.leaks import TRAIN_IDS, load_ids

SHAPE, MODEL, TOKENIZER = "shape.json", "model.safetensors", "tokenizer.json"
ALPHA = 16.0  # an adapter's product counts ALPHA / rank times, as bert_sentiment_analysis/models/lora.py trains it


@dataclass(frozen=True)
class Subject:
    """A classifier with what belongs to it: how it reads texts, and the ids of those that it was trained on."""

    model: Classifier
    tokenizer: Tokenizer
    label_names: tuple[str, ...]
    max_length: int
    overlap: int = 32
    """Tokens that a window of a longer text shares with the one before it."""
    temperature: float = 1.0
    """What to divide its logits by to get honest probabilities."""
    trained_on: frozenset[str] = field(default=frozenset(), repr=False)

    def with_model(self, model: Classifier, trained_on: Iterable[str] = ()) -> "Subject":
        """The same with another model, which learned from texts with these ids too."""
        return replace(self, model=model.eval(), trained_on=self.trained_on | frozenset(trained_on))

    def fingerprint(self) -> str:
        """The same for equal weights, shape and tokenizer, and for nothing else."""
        digest = hashlib.sha256(f"{self.model.shape} {self.tokenizer.to_str()}".encode())
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def load_subject(source: str | Path = SUBJECT) -> Subject:
    """The classifier in a folder, or behind a hub name, in evaluation mode.

    Raises UserError where it cannot be had, is cut short, or has another architecture.
    """
    folder = resolve_model(str(source), suggestion=SUBJECT)
    if not folder.is_dir():
        raise UserError(f"{source}: no such folder: give a trained classifier's folder")
    if (folder / SHAPE).is_file():
        return _load_own(folder)
    if (folder / "classifier.json").is_file():
        return _load_run(folder)
    if (folder / "config.json").is_file():
        return _load_transformers(folder)
    raise UserError(
        f"{source}: no classifier here (neither {SHAPE}, classifier.json nor config.json): give the folder of a "
        "finished training, or a hub classifier"
    )


def save_subject(subject: Subject, folder: Path) -> None:
    """Write what `load_subject` reads. The shape comes last, as it marks the folder as whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / MODEL) as draft:
        save_file({name: weight.detach().contiguous() for name, weight in subject.model.state_dict().items()}, draft)
    write_text(folder / TOKENIZER, subject.tokenizer.to_str())
    write_text(folder / TRAIN_IDS, "".join(f"{text}\n" for text in sorted(subject.trained_on)))
    settings = {name: getattr(subject, name) for name in ("label_names", "max_length", "overlap", "temperature")}
    write_json(folder / SHAPE, {**settings, "shape": asdict(subject.model.shape)})


def _load_own(folder: Path) -> Subject:
    values = read_json_object(folder / SHAPE)
    try:
        shape = build(Shape, values["shape"])
        reading = _reading(values)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{folder / SHAPE}: damaged ({error}): restore it or make the model anew") from error
    return Subject(
        fill(shape, read_weights(folder / MODEL), folder),
        read_tokenizer(folder / TOKENIZER),
        **reading,
        trained_on=_ids(folder),
    )


def _reading(values: dict[str, Any]) -> dict[str, Any]:
    """How a stored classifier reads texts and words its answers. Raises KeyError or as `int` and `float`."""
    return {
        "label_names": tuple(map(str, values["label_names"])),
        "max_length": int(values["max_length"]),
        "overlap": int(values["overlap"]),
        "temperature": float(values["temperature"]),
    }


def fill(shape: Shape, weights: Weights, source: Path) -> Classifier:
    """A classifier of this shape with these weights. Raises UserError where they do not fit."""
    try:
        model = Classifier(shape)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{source}: its shape is none ({reason_of(error)}): restore the folder's own files") from error
    expected = {name: weight.shape for name, weight in model.state_dict().items()}
    found = {name: weight.shape for name, weight in weights.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise UserError(f"{source}: its weights do not fit its shape ({wrong[0]}): restore the folder's own files")
    model.load_state_dict(weights)
    return model.eval()


def _load_run(folder: Path) -> Subject:
    """Its encoder, with the adapter multiplied in, and its output layer."""
    settings = read_json_object(folder / "classifier.json")
    if settings.get("head") != "classification":
        raise UserError(f"{folder}: rates texts instead of classifying them: give a run of --head classification")
    stored = read_weights(folder / MODEL)
    if (base := settings.get("base")) is None:
        encoder_folder = folder / "encoder"
        encoder = {name.removeprefix("encoder."): w for name, w in stored.items() if name.startswith("encoder.")}
    else:
        encoder_folder = resolve_model(base, suggestion="minilm")
        if checksum(encoder_folder) != settings.get("base_sha256"):
            raise UserError(f"{folder}: trained upon other weights of {base}: restore those, or train anew")
        encoder = read_all_weights(encoder_folder)
        if rank := settings.get("lora_rank"):
            encoder = _merge(encoder, stored, ALPHA / rank, folder)
    config = read_json_object(encoder_folder / "config.json")
    family = family_of(config, folder)
    try:
        reading, pooling = _reading(settings), settings["pooling"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{folder}/classifier.json: damaged ({error}): restore it or train anew") from error
    shape = replace(family.shape(config), n_classes=len(reading["label_names"]), pooling=pooling)
    weights = family.rename(encoder, config, folder)
    try:
        weights |= {f"output.{part}": stored[f"output.{part}"] for part in ("weight", "bias")}
    except KeyError as error:
        raise UserError(f"{folder / MODEL}: holds no output layer: restore it or train anew") from error
    return Subject(
        fill(shape, weights, folder),
        read_tokenizer(encoder_folder / TOKENIZER),
        **reading,
        trained_on=_ids(folder),
    )


def _merge(encoder: Weights, adapter: Weights, scale: float, folder: Path) -> Weights:
    """W + scale * B A for each linear layer, W + scale * A B for the word vectors (arXiv 2106.09685, section 4.1)."""
    merged = dict(encoder)
    stems = sorted({name.removesuffix(end) for end in (".a", ".b") for name in adapter if name.endswith(end)})
    if not stems:
        raise UserError(f"{folder / MODEL}: its adapter does not fit its encoder (it has none): restore it")
    for stem in stems:
        target = stem.removeprefix("encoder.") + ".weight"
        try:
            a, b = adapter[f"{stem}.a"].float(), adapter[f"{stem}.b"].float()
            product = a @ b if target.endswith("word_embeddings.weight") else b @ a
            if product.shape != merged[target].shape:
                raise ValueError
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(f"{folder / MODEL}: its adapter does not fit its encoder ({target}): restore it") from error
        merged[target] = merged[target] + scale * product
    return merged


def _load_transformers(folder: Path) -> Subject:
    config = read_json_object(folder / "config.json")
    family = family_of(config, folder)
    weights = read_all_weights(folder)
    prefix = f"{config['model_type']}."
    encoder = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
    renamed = family.rename(encoder, config, folder)
    try:
        renamed |= {ours: weights[theirs] for theirs, ours in both(family.head)}
    except KeyError as error:
        raise UserError(f"{folder}: holds no classifier of its own ({error}): train one first") from error
    labels = config.get("id2label") or {}
    n_classes = len(renamed["output.bias"])
    names = tuple(str(labels.get(str(i), f"class {i}")) for i in range(n_classes))
    shape = replace(family.shape(config), n_classes=n_classes, inner=family.inner)  # type: ignore[arg-type]
    model, tokenizer = fill(shape, renamed, folder), read_tokenizer(folder / TOKENIZER)
    return Subject(model, tokenizer, names, min(shape.n_positions, 512), trained_on=_ids(folder))


def _ids(folder: Path) -> frozenset[str]:
    return frozenset(load_ids(folder)) if (folder / TRAIN_IDS).is_file() else frozenset()


def checksum(folder: Path) -> str:
    """SHA-256 over the folder's weight files, in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
