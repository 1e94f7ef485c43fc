"""Where the classifier comes from: a run of bert_sentiment_analysis (its files, not its code), one of our own folders,
or a sequence classifier of BERT's, RoBERTa's or DistilBERT's family, by path or hub name.

Everything becomes a `Classifier`, whose file also keeps the tokenizer and the ids of the texts that it was trained on.
"""

import hashlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from model_optimization.classifier import Classifier, Shape
from model_optimization.config import SUBJECT
from shared.config import build
from shared.errors import UserError
from shared.files import atomic_path, write_json, write_text
from shared.hub import resolve_model
from shared.leaks import TRAIN_IDS, load_ids
from shared.runs import read_json

SHAPE, MODEL, TOKENIZER = "shape.json", "model.safetensors", "tokenizer.json"
ALPHA = 16.0  # an adapter's product counts ALPHA / rank times, as bert_sentiment_analysis/models/lora.py trains it

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Subject:
    """A classifier with what belongs to it: `trained_on` are ids of texts, `texts` how it reads them."""

    model: Classifier
    tokenizer: Tokenizer
    label_names: tuple[str, ...]
    max_length: int
    trained_on: frozenset[str] = field(default=frozenset(), repr=False)

    def with_model(self, model: Classifier) -> "Subject":
        return replace(self, model=model.eval())


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
    settings = {"label_names": subject.label_names, "max_length": subject.max_length}
    write_json(folder / SHAPE, {**settings, "shape": asdict(subject.model.shape)})


def _load_own(folder: Path) -> Subject:
    values = _json(folder / SHAPE)
    try:
        shape = build(Shape, values["shape"])
        label_names, max_length = tuple(values["label_names"]), int(values["max_length"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / SHAPE}: damaged ({error}): restore it or make the model anew") from error
    return Subject(
        fill(shape, _weights(folder / MODEL), folder),
        _tokenizer(folder / TOKENIZER),
        label_names,
        max_length,
        _ids(folder),
    )


def fill(shape: Shape, weights: Weights, source: Path) -> Classifier:
    """A classifier of this shape with these weights. Raises UserError where they do not fit."""
    model = Classifier(shape)
    expected = {name: weight.shape for name, weight in model.state_dict().items()}
    found = {name: weight.shape for name, weight in weights.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise UserError(f"{source}: its weights do not fit its shape ({wrong[0]}): restore the folder's own files")
    model.load_state_dict(weights)
    return model.eval()


# --- a run of bert_sentiment_analysis ---------------------------------------------------------------------------------


def _load_run(folder: Path) -> Subject:
    """Its encoder, with the adapter multiplied in, and its output layer."""
    settings = _json(folder / "classifier.json")
    if settings.get("head") != "classification":
        raise UserError(f"{folder}: rates texts instead of classifying them: give a run of --head classification")
    stored = _weights(folder / MODEL)
    if (base := settings.get("base")) is None:
        encoder_folder = folder / "encoder"
        encoder = {name.removeprefix("encoder."): w for name, w in stored.items() if name.startswith("encoder.")}
    else:
        encoder_folder = resolve_model(base, suggestion="minilm")
        if _checksum(encoder_folder) != settings.get("base_sha256"):
            raise UserError(f"{folder}: trained upon other weights of {base}: restore those, or train anew")
        encoder = _safetensors(encoder_folder)
        if rank := settings.get("lora_rank"):
            encoder = _merge(encoder, stored, ALPHA / rank, folder)
    config = _json(encoder_folder / "config.json")
    family = _family(config, folder)
    shape = replace(
        family.shape(config),
        n_classes=len(settings["label_names"]),
        pooling=settings["pooling"],
    )
    weights = family.rename(encoder, config, folder)
    try:
        weights |= {f"output.{part}": stored[f"output.{part}"] for part in ("weight", "bias")}
    except KeyError as error:
        raise UserError(f"{folder / MODEL}: holds no output layer: restore it or train anew") from error
    return Subject(
        fill(shape, weights, folder),
        _tokenizer(encoder_folder / TOKENIZER),
        tuple(settings["label_names"]),
        int(settings["max_length"]),
        _ids(folder),
    )


def _merge(encoder: Weights, adapter: Weights, scale: float, folder: Path) -> Weights:
    """W + scale * B A for each linear layer, W + scale * A B for the word vectors (arXiv 2106.09685, section 4.1)."""
    merged = dict(encoder)
    for name in (name for name in adapter if name.endswith(".a")):
        target = name.removeprefix("encoder.").removesuffix("a") + "weight"
        a, b = adapter[name].float(), adapter.get(name.removesuffix("a") + "b", torch.empty(0)).float()
        product = a @ b if target.endswith("word_embeddings.weight") else b @ a
        if target not in merged or merged[target].shape != product.shape:
            raise UserError(f"{folder / MODEL}: its adapter does not fit its encoder ({target}): restore it")
        merged[target] = merged[target] + scale * product
    return merged


# --- transformers' own classifiers ------------------------------------------------------------------------------------


def _load_transformers(folder: Path) -> Subject:
    config = _json(folder / "config.json")
    family = _family(config, folder)
    weights = _safetensors(folder)
    prefix = f"{config['model_type']}."
    encoder = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
    renamed = family.rename(encoder, config, folder)
    try:
        renamed |= {ours: weights[theirs] for theirs, ours in _both(family.head)}
    except KeyError as error:
        raise UserError(f"{folder}: holds no classifier of its own ({error}): train one first") from error
    labels = config.get("id2label") or {}
    n_classes = len(renamed["output.bias"])
    names = tuple(str(labels.get(str(i), f"class {i}")) for i in range(n_classes))
    shape = replace(family.shape(config), n_classes=n_classes, inner=family.inner)
    max_length = min(shape.n_positions, 512)
    return Subject(fill(shape, renamed, folder), _tokenizer(folder / TOKENIZER), names, max_length, _ids(folder))


@dataclass(frozen=True)
class Family:
    """How one family of transformers' encoders names its weights: theirs to ours, and of a layer with its number."""

    top: dict[str, str]
    layer: str
    parts: dict[str, str]
    head: dict[str, str]
    inner: str
    sizes: tuple[str, str, str, str]
    """Width, layers, heads and neurons, as the configuration calls them."""

    def shape(self, config: dict[str, Any]) -> Shape:
        width, n_layers, n_heads, n_neurons = (config[name] for name in self.sizes)
        return Shape(
            n_pieces=config["vocab_size"],
            n_positions=config["max_position_embeddings"] - _unused(config),
            width=width,
            head_width=width // n_heads,
            heads=(n_heads,) * n_layers,
            neurons=(n_neurons,) * n_layers,
            n_classes=2,
            pooling="first",
            epsilon=config.get("layer_norm_eps", 1e-12),
        )

    def rename(self, encoder: Weights, config: dict[str, Any], folder: Path) -> Weights:
        """An encoder's weights by our names. Raises UserError where one is missing."""
        n_layers = config[self.sizes[1]]
        pairs = _both(self.top) + [
            (self.layer.format(i) + theirs, f"layers.{i}.{ours}")
            for i in range(n_layers)
            for theirs, ours in _both(self.parts)
        ]
        try:
            ours = {name: encoder[theirs].float() for theirs, name in pairs}
            positions = encoder["embeddings.position_embeddings.weight"].float()[_unused(config) :]
        except KeyError as error:
            raise UserError(f"{folder}: cut short, it holds no {error}: restore it or get it anew") from error
        segments = encoder.get("embeddings.token_type_embeddings.weight")
        ours["embedding.words.weight"] = encoder["embeddings.word_embeddings.weight"].float()
        ours["embedding.positions.weight"] = positions if segments is None else positions + segments[0].float()
        return ours


def _unused(config: dict[str, Any]) -> int:
    """RoBERTa counts positions from its padding id + 1 on."""
    return config["pad_token_id"] + 1 if config["model_type"] == "roberta" else 0


def _both(names: dict[str, str]) -> list[tuple[str, str]]:
    """A weight and a bias of each."""
    return [(f"{a}.{part}", f"{b}.{part}") for a, b in names.items() for part in ("weight", "bias")]


_BERT_PARTS = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "down_norm",
}
_BERT_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_NORM = {"embeddings.LayerNorm": "embedding.norm"}
FAMILIES = {
    "bert": Family(
        top=_NORM,
        layer="encoder.layer.{}.",
        parts=_BERT_PARTS,
        head={"bert.pooler.dense": "inner", "classifier": "output"},
        inner="tanh",
        sizes=_BERT_SIZES,
    ),
    "roberta": Family(
        top=_NORM,
        layer="encoder.layer.{}.",
        parts=_BERT_PARTS,
        head={"classifier.dense": "inner", "classifier.out_proj": "output"},
        inner="tanh",
        sizes=_BERT_SIZES,
    ),
    "distilbert": Family(
        top=_NORM,
        layer="transformer.layer.{}.",
        parts={
            "attention.q_lin": "query",
            "attention.k_lin": "key",
            "attention.v_lin": "value",
            "attention.out_lin": "attended",
            "sa_layer_norm": "attended_norm",
            "ffn.lin1": "up",
            "ffn.lin2": "down",
            "output_layer_norm": "down_norm",
        },
        head={"pre_classifier": "inner", "classifier": "output"},
        inner="relu",
        sizes=("dim", "n_layers", "n_heads", "hidden_dim"),
    ),
}


def _family(config: dict[str, Any], folder: Path) -> Family:
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise UserError(f"{folder}: {kind} is not supported: give a classifier of {', '.join(FAMILIES)}")
    if config.get("hidden_act", config.get("activation", "gelu")) != "gelu":
        raise UserError(f"{folder}: its activation is not gelu, which is all we compute: give another classifier")
    return FAMILIES[kind]


# --- files ------------------------------------------------------------------------------------------------------------


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise UserError(f"{file}: missing: restore it or get the model anew")
    values = read_json(file)
    if not isinstance(values, dict):
        raise UserError(f"{file}: damaged, not a JSON object: restore it or get the model anew")
    return values


def _weights(file: Path) -> Weights:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: cut short or unreadable ({error}): restore it or get the model anew") from error


def _safetensors(folder: Path) -> Weights:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder}: holds no safetensors: get the model anew in that format")
    return {name: weight for file in files for name, weight in _weights(file).items()}


def _tokenizer(file: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise UserError(f"{file}: missing or damaged: get the model with its tokenizer.json") from error


def _ids(folder: Path) -> frozenset[str]:
    return frozenset(load_ids(folder)) if (folder / TRAIN_IDS).is_file() else frozenset()


def _checksum(folder: Path) -> str:
    """SHA-256 over the folder's weight files, in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
