"""Every setting of the model and its training, with the presets. Nothing here loads torch, so `--help` is quick."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from shared.config import check
from shared.tracking import Tool

PROJECT = "transformer_from_scratch"


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a Transformer. Raises ValueError for a shape that cannot be built."""

    context: int = 128
    """Positions the model can see at once."""
    n_layers: int = 4
    """Blocks, one after another."""
    n_heads: int = 4
    """Attention heads in a block."""
    n_kv_heads: int | None = None
    """Key and value heads; fewer than n_heads gives grouped-query attention."""
    width: int = 128
    """Numbers a position carries between blocks (d_model)."""
    hidden_factor: float = 4.0
    """Width of the feed-forward network's middle, as a multiple of width."""
    dropout: float = 0.0
    """Share of activations dropped in training."""
    positions: Literal["sinusoidal", "learned", "rotary", "none"] = "sinusoidal"
    """How positions are told apart."""
    rotary_base: float = 10000.0
    """How slowly the slowest rotary pair turns: about 2 pi times this many positions make a full turn."""
    norm: Literal["layer", "rms", "none"] = "layer"
    """LayerNorm, or RMSNorm, which neither centres nor shifts; none shows what they are for."""
    norm_position: Literal["pre", "post"] = "pre"
    """Normalise before each sublayer, or after it as in the 2017 paper."""
    activation: Literal["relu", "gelu", "gelu_tanh", "relu_squared"] = "gelu"
    """Non-linearity of the feed-forward network."""
    bias: bool = True
    """Whether linear layers and LayerNorm add a bias."""
    normalise_qk: bool = False
    """Normalise queries and keys before their dot product."""
    gate_heads: bool = False
    """Let each head turn its answer up or down, position by position."""
    zero_init: bool = False
    """Start with blocks that add nothing and an output layer that prefers nothing."""
    canon_reach: int = 0
    """Positions that a canon layer mixes, before attention and feed-forward and in the values; 0 for none."""
    scale_scores: bool = True
    """Divide the dot products by the square root of the head's width; false shows what that is for."""
    residuals: bool = True
    """Add each sublayer's output to its input; false shows what that is for."""
    tie_embeddings: bool = True
    """Use the token embedding as the output layer too, with half the parameters."""

    def __post_init__(self) -> None:
        for name in ("context", "n_layers", "n_heads", "width"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give a whole number of at least 1")
        check(self.n_layers <= 1000, "n_layers", self.n_layers, "give at most 1000")
        check(self.width % self.n_heads == 0, "width", self.width, f"give a multiple of n_heads {self.n_heads}")
        grouped = self.n_kv_heads is None or (self.n_kv_heads >= 1 and self.n_heads % self.n_kv_heads == 0)
        check(grouped, "n_kv_heads", self.n_kv_heads, f"give a divisor of n_heads {self.n_heads}")
        check(0 <= self.dropout < 1, "dropout", self.dropout, "give a share from 0 to below 1")
        check(self.canon_reach >= 0, "canon_reach", self.canon_reach, "give 0 for none, or positions to mix, such as 3")
        check(self.rotary_base > 1, "rotary_base", self.rotary_base, "give a number above 1")
        check(self.hidden_factor > 0, "hidden_factor", self.hidden_factor, "give a number above 0")
        check(self.positions != "sinusoidal" or self.width % 2 == 0, "width", self.width, "sinusoids want it even")
        check(self.positions != "rotary" or self.head_width % 2 == 0, "width", self.width, "rotary wants even heads")

    @property
    def head_width(self) -> int:
        return self.width // self.n_heads

    @property
    def hidden(self) -> int:
        return round(self.width * self.hidden_factor)


@dataclass(frozen=True)
class TrainingConfig(ModelConfig):
    """Train a character-level language model on a text, on a laptop in about a minute."""

    data: str = "rotten_tomatoes"
    """Text to learn: a packaged set (rotten_tomatoes, zh_reviews, imdb, ...), a text file, or a hub set."""
    preset: Literal["cpu", "gpu", "tiny"] = "cpu"
    """Size of model and run: cpu (a minute on a laptop), gpu (10.7 M parameters), tiny (seconds, for trying out)."""
    architecture: Literal["classic", "modern"] = "classic"
    """classic: the 2017 paper with pre-norm. modern: what has proved better since, Muon included."""
    output: str | None = None
    """Folder for the run; by default runs/transformer_from_scratch/DATE-TIME."""
    resume: str | None = None
    """Folder of an interrupted run to continue, bit for bit, with its own settings."""

    batch_size: int = 4
    """Blocks of `context` characters a step, over all processes."""
    max_steps: int = 3000
    """Optimizer steps."""
    max_seconds: float | None = None
    """Stop after about this long, the learning rate's course cut to fit; such a run does not resume bit for bit."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw for all weights, or Muon for the blocks' matrices and AdamW for the rest."""
    learning_rate: float = 1e-3
    """Peak of AdamW's learning rate."""
    muon_learning_rate: float = 0.015
    """Peak of Muon's learning rate."""
    muon_momentum: float = 0.9
    """Share of Muon's running mean that each step keeps; small batches want less than the usual 0.95."""
    final_learning_rate: float = 0.1
    """Share of the peak that the cosine ends at."""
    warmup_steps: int = 100
    """Steps over which the rate rises from zero to the peak."""
    weight_decay: float = 0.1
    """Pull of the matrices towards zero."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 leaves it as it is."""
    eval_every: int = 250
    """Steps between evaluations; each also draws a sample and saves a checkpoint."""
    eval_blocks: int = 200
    """Validation blocks, evenly spread, that these evaluations use; the last one uses all."""
    vocabulary: int = 8192
    """Most characters the model knows, the frequent ones first; rarer ones become one unknown character."""
    seed: int = 0
    """Seed of weights, batches and dropout."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the matrix products; auto takes bf16 where it is faster."""
    tracking: Tool = "mlflow"
    """Experiment tracker: mlflow (a local SQLite file), wandb, or none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "max_steps", "eval_every", "eval_blocks"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give a whole number of at least 1")
        for name in ("learning_rate", "muon_learning_rate"):
            check(getattr(self, name) > 0, name, getattr(self, name), "give a number above 0")
        for name in ("warmup_steps", "weight_decay", "clip"):
            check(getattr(self, name) >= 0, name, getattr(self, name), "give 0 or more")
        check(0 <= self.muon_momentum < 1, "muon_momentum", self.muon_momentum, "give a share from 0 to below 1")
        check(self.max_seconds is None or self.max_seconds > 0, "max_seconds", self.max_seconds, "give seconds above 0")
        check(0 <= self.final_learning_rate <= 1, "final_learning_rate", self.final_learning_rate, "give 0 to 1")
        check(self.vocabulary >= 2, "vocabulary", self.vocabulary, "give at least 2")


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Raises ValueError for a value out of range."""

    temperature: float = 0.8
    """Below 1 safer, above 1 wilder; 0 always takes the likeliest."""
    top_k: int = 0
    """Draw from the k likeliest only; 0 for all."""
    top_p: float = 1.0
    """Draw from the likeliest that together hold this probability only (nucleus sampling, arXiv 1904.09751)."""

    def __post_init__(self) -> None:
        check(0 <= self.temperature < math.inf, "temperature", self.temperature, "give 0 or a positive number")
        check(self.top_k >= 0, "top_k", self.top_k, "give 0 for all, or how many to draw from")
        check(0 < self.top_p <= 1, "top_p", self.top_p, "give a probability above 0 and up to 1")


# nanoGPT's two recipes for a character model (its README and config/train_shakespeare_char.py), and one for tests.
# On the processor we take fewer and longer blocks, and more steps: that predicts better for as many characters.
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {},
    "gpu": {
        "n_layers": 6,
        "n_heads": 6,
        "width": 384,
        "context": 256,
        "dropout": 0.2,
        "batch_size": 64,
        "max_steps": 5000,
    },
    "tiny": {
        "n_layers": 2,
        "n_heads": 2,
        "width": 32,
        "context": 32,
        "batch_size": 8,
        "max_steps": 60,
        "warmup_steps": 10,
        "eval_every": 20,
        "eval_blocks": 8,
        "tracking": "none",
    },
}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "classic": {},
    "modern": {
        "positions": "rotary",
        "rotary_base": 500.0,
        "norm": "rms",
        "activation": "relu_squared",
        "bias": False,
        "normalise_qk": True,
        "canon_reach": 3,
        "gate_heads": True,
        "hidden_factor": 3.96875,
        "tie_embeddings": False,
        "zero_init": True,
        "optimizer": "muon",
        "learning_rate": 1e-2,
        "final_learning_rate": 0.0,
    },
}
