"""The families of transformers' encoders that we take: how they call their sizes and weights, and their files.

BERT, RoBERTa and DistilBERT compute the same but for names: RoBERTa counts positions from another number, DistilBERT
has no segments, and their heads differ in one activation.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from model_optimization.classifier import Shape
from shared.errors import UserError
from shared.runs import read_json

Weights = dict[str, Tensor]


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
        pairs = both(self.top) + [
            (self.layer.format(i) + theirs, f"layers.{i}.{ours}")
            for i in range(n_layers)
            for theirs, ours in both(self.parts)
        ]
        try:
            ours = {name: encoder[theirs].float() for theirs, name in pairs}
            ours["embedding.words.weight"] = encoder["embeddings.word_embeddings.weight"].float()
            positions = encoder["embeddings.position_embeddings.weight"].float()[_unused(config) :]
        except KeyError as error:
            raise UserError(f"{folder}: cut short, it holds no {error}: restore it or get it anew") from error
        segments = encoder.get("embeddings.token_type_embeddings.weight")
        ours["embedding.positions.weight"] = positions if segments is None else positions + segments[0].float()
        return ours


def _unused(config: dict[str, Any]) -> int:
    """RoBERTa counts positions from its padding id + 1 on."""
    return config["pad_token_id"] + 1 if config["model_type"] == "roberta" else 0


def both(names: dict[str, str]) -> list[tuple[str, str]]:
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


def family_of(config: dict[str, Any], folder: Path) -> Family:
    """The family of a model by its config.json. Raises UserError for one that we cannot compute."""
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise UserError(f"{folder}: {kind} is not supported: give a classifier of {', '.join(FAMILIES)}")
    needed = (*FAMILIES[kind].sizes, "vocab_size", "max_position_embeddings")
    if missing := [name for name in needed if not isinstance(config.get(name), int)]:
        raise UserError(f"{folder}: its config.json says no {missing[0]}: get the model anew")
    if config.get("hidden_act", config.get("activation", "gelu")) != "gelu":
        raise UserError(f"{folder}: its activation is not gelu, which is all we compute: give another classifier")
    return FAMILIES[kind]


def read_json_object(file: Path) -> dict[str, Any]:
    """Raises UserError where the file is missing, damaged, or holds something else."""
    if not file.is_file():
        raise UserError(f"{file}: missing: restore it or get the model anew")
    values = read_json(file)
    if not isinstance(values, dict):
        raise UserError(f"{file}: damaged, not a JSON object: restore it or get the model anew")
    return values


def read_weights(file: Path) -> Weights:
    """The tensors of one safetensors file, by name. Raises UserError where it is cut short or unreadable."""
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: cut short or unreadable ({error}): restore it or get the model anew") from error


def read_all_weights(folder: Path) -> Weights:
    """The tensors of all safetensors files in a folder. Raises UserError where there is none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder}: holds no safetensors: get the model anew in that format")
    return {name: weight for file in files for name, weight in read_weights(file).items()}


def read_tokenizer(file: Path) -> Tokenizer:
    """Raises UserError where the file is missing or damaged."""
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise UserError(f"{file}: missing or damaged: get the model with its tokenizer.json") from error
