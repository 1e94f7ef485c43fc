"""The model that is compressed: a BERT encoder whose layers may differ in size, and a head that classifies.

Written out instead of taken from transformers, since every method here reaches into it: one removes heads and neurons
of single layers, one shortens the vocabulary, one learns from its attention. A layer is sized by its own numbers of
heads and neurons (`Shape`), so that what pruning removes is really gone. With a whole shape it computes what
transformers' BertModel computes, which a test holds; `subject.py` fills it from BERT, RoBERTa and DistilBERT.

Letters in shapes: B texts, T tokens, D width of the encoder, H heads of a layer, K width of a head, F feed-forward
neurons of a layer, V pieces of the vocabulary, E width of the word vectors (D unless factorised), C classes.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

Pooling = Literal["mean", "first"]
Inner = Literal["none", "tanh", "relu"]

MASKED = -10_000.0  # added to the score of padding: exp() of it is 0, and half precision can hold it


@dataclass(frozen=True)
class Shape:
    """Every size of a classifier. `heads` and `neurons` have an entry a layer."""

    n_pieces: int
    n_positions: int
    width: int
    head_width: int
    heads: tuple[int, ...]
    neurons: tuple[int, ...]
    n_classes: int
    pooling: Pooling = "mean"
    inner: Inner = "none"
    """Activation of a layer between pooling and the classes, as BERT's and RoBERTa's own heads have it."""
    word_width: int | None = None
    """Width of factorised word vectors, which one matrix brings to `width`; None for ordinary ones."""
    epsilon: float = 1e-12

    def __post_init__(self) -> None:
        for name in ("heads", "neurons"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists only
        if len(self.heads) != len(self.neurons):
            raise ValueError(f"{len(self.heads)} layers by their heads, {len(self.neurons)} by their neurons")

    @property
    def n_layers(self) -> int:
        return len(self.heads)


class Inside(NamedTuple):
    """What distillation looks at: the logits (B, C), each layer's output (B, T, D), the embedding's first, and each
    layer's attention scores before the softmax (B, H, T, T)."""

    logits: Tensor
    hidden: list[Tensor]
    scores: list[Tensor]


class Embedding(nn.Module):
    """Word vectors plus learned positions, normalised. BERT's segment vector is the same everywhere here, and a part
    of the positions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.words = nn.Embedding(shape.n_pieces, shape.word_width or shape.width)
        self.widen = nn.Linear(shape.word_width, shape.width, bias=False) if shape.word_width else None
        self.positions = nn.Embedding(shape.n_positions, shape.width)
        self.norm = nn.LayerNorm(shape.width, shape.epsilon)

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) to (B, T, D)."""
        words = self.words(input_ids)  # (B, T, E)
        if self.widen is not None:
            words = self.widen(words)  # (B, T, D)
        return self.norm(words + self.positions.weight[: input_ids.size(1)])


class Layer(nn.Module):
    """Self-attention and feed-forward network, each added to its input and normalised (post-norm)."""

    def __init__(self, shape: Shape, index: int) -> None:
        super().__init__()
        inner = shape.heads[index] * shape.head_width  # H * K
        self.head_width = shape.head_width
        self.query, self.key, self.value = (nn.Linear(shape.width, inner) for _ in range(3))
        self.attended = nn.Linear(inner, shape.width)
        self.attended_norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.up = nn.Linear(shape.width, shape.neurons[index])
        self.down = nn.Linear(shape.neurons[index], shape.width)
        self.down_norm = nn.LayerNorm(shape.width, shape.epsilon)

    def forward(self, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, D) and what to add to the scores (B, 1, 1, T) to the output (B, T, D) and scores (B, H, T, T)."""
        query, key, value = (self._split(part(x)) for part in (self.query, self.key, self.value))  # (B, H, T, K)
        scores = query @ key.transpose(-1, -2) / self.head_width**0.5 + bias  # (B, H, T, T)
        heads = functional.softmax(scores, -1) @ value  # (B, H, T, K)
        x = self.attended_norm(x + self.attended(heads.transpose(1, 2).flatten(2)))
        return self.down_norm(x + self.down(functional.gelu(self.up(x)))), scores

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, H * K) to (B, H, T, K)."""
        return x.unflatten(-1, (x.size(-1) // self.head_width, self.head_width)).transpose(1, 2)


class Classifier(nn.Module):
    """The whole model: token ids (B, T) and a mask (B, T), 0 where there is padding, to logits (B, C)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = Embedding(shape)
        self.layers = nn.ModuleList(Layer(shape, index) for index in range(shape.n_layers))
        self.inner = nn.Linear(shape.width, shape.width) if shape.inner != "none" else None
        self.output = nn.Linear(shape.width, shape.n_classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.classify(self.encode(input_ids, attention_mask), attention_mask)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The last layer's output (B, T, D)."""
        x, bias = self.embedding(input_ids), padding_bias(attention_mask)
        for layer in self.layers:
            x, _ = layer(x, bias)
        return x

    def look_inside(self, input_ids: Tensor, attention_mask: Tensor) -> Inside:
        """As `forward`, with what happens on the way."""
        hidden, scores = [self.embedding(input_ids)], []
        for layer in self.layers:
            x, attention = layer(hidden[-1], padding_bias(attention_mask))
            hidden.append(x)
            scores.append(attention)
        return Inside(self.classify(hidden[-1], attention_mask), hidden, scores)

    def classify(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        """The last layer's output (B, T, D) to logits (B, C)."""
        pooled = self.pool(x, attention_mask)
        if self.inner is not None:
            pooled = getattr(torch, self.shape.inner)(self.inner(pooled))
        return self.output(pooled)

    def pool(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        """A layer's output (B, T, D) to one vector a text (B, D)."""
        if self.shape.pooling == "first":
            return x[:, 0]
        mask = attention_mask[..., None].to(x.dtype)  # (B, T, 1)
        return (x * mask).sum(1) / mask.sum(1)


def padding_bias(attention_mask: Tensor) -> Tensor:
    """A mask (B, T) to what is added to the scores: 0, or MASKED on padding (B, 1, 1, T)."""
    return (1.0 - attention_mask[:, None, None, :].float()) * MASKED


def n_parameters(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())
