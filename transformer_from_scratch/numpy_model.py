"""The trained model once more, in plain numpy: one text at a time, one character a step, nothing but arithmetic.

For writing a single text this is also the fast way. A step of so small a model is about a hundred tiny operations, and
what torch spends on starting each of them is more than the arithmetic itself; numpy starts them several times faster.
A test holds both to the same numbers.

Shapes: D model width, H heads, G key-value heads, Dh width of a head, T positions so far, V vocabulary.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from transformer_from_scratch.transformer_block import FeedForward, LanguageModel, RMSNorm, TransformerBlock

Vector = np.ndarray


class NumpyModel:
    """Reads one token after another; `logits` are the scores of the next. Holds a copy of the model's weights."""

    def __init__(self, model: LanguageModel) -> None:
        config = model.config
        self.context = config.context
        self._embedding = _array(model.embedding.tokens.weight) * np.float32(model.embedding.scale)  # (V, D)
        table = getattr(model.embedding.positions, "table", None)
        self._positions = None if table is None else _array(table)  # (T, D)
        self._blocks = [_Block(block, config) for block in model.blocks]
        self._final_norm = _norm(model.final_norm)
        self._output = _array(model.output.weight)  # (V, D)
        self.length = 0

    def start(self) -> None:
        """Forget the text so far."""
        self.length = 0
        for block in self._blocks:
            block.start()

    def logits(self, token: int) -> Vector:
        """Take the next token in and score the one after it: (V,)."""
        x = self._embedding[token]  # (D,)
        if self._positions is not None:
            x = x + self._positions[self.length]
        for block in self._blocks:
            x = block(x, self.length)
        self.length += 1
        return self._output @ self._final_norm(x)


class _Block:
    """One block, and the keys, values and recent inputs it remembers."""

    def __init__(self, block: TransformerBlock, config: Any) -> None:
        attention = block.attention
        self.pre_norm, self.residuals = block.pre_norm, block.residuals
        self.n_heads, self.n_kv_heads, self.head_width = attention.n_heads, attention.n_kv_heads, attention.head_width
        self.scale = np.float32(attention.scale or 1 / math.sqrt(self.head_width))
        self.normalise_qk = attention.normalise_qk
        # One product for query, key and value in place of three
        self.project = _linear(attention.query, attention.key, attention.value)
        self.output, self.widen, self.narrow = (
            _linear(layer) for layer in (attention.output, block.feed_forward.widen, block.feed_forward.narrow)
        )
        self.activation = _activation(config.activation)
        self.norms = [_norm(block.attention_norm), _norm(block.feed_forward_norm)]
        self.canon = None if block.canon is None else [_array(layer.weight) for layer in block.canon.values()]
        rotary = attention.rotary
        self.cos, self.sin = (None, None) if rotary is None else (_array(rotary.cos), _array(rotary.sin))
        self.keys = np.zeros((self.n_kv_heads, config.context, self.head_width), np.float32)  # (G, T, Dh)
        self.values = np.zeros_like(self.keys)
        self.start()

    def start(self) -> None:
        if self.canon is not None:
            self.recent = [np.zeros_like(weight) for weight in self.canon]  # newest first

    def __call__(self, x: Vector, position: int) -> Vector:
        x = self._add(x, self._attend(self._prepare(x, 0), position), 0)
        hidden = self.activation(self.widen(self._prepare(x, 1)))
        return self._add(x, self.narrow(hidden), 1)

    def _prepare(self, x: Vector, sublayer: int) -> Vector:
        if self.pre_norm:
            x = self.norms[sublayer](x)
        if self.canon is None:
            return x
        recent = self.recent[sublayer]
        recent[1:] = recent[:-1].copy()
        recent[0] = x
        return np.einsum("kd,kd->d", recent, self.canon[sublayer])

    def _attend(self, x: Vector, position: int) -> Vector:
        heads = self.project(x).reshape(-1, self.head_width)  # (H + 2G, Dh): queries, keys, values
        turned = heads[: -self.n_kv_heads]  # (H + G, Dh): queries and keys
        if self.normalise_qk:
            squares = np.einsum("hd,hd->h", turned, turned) / np.float32(self.head_width)
            turned = turned / np.sqrt(squares + np.float32(np.finfo(np.float32).eps))[:, None]
        if self.cos is not None:
            half = self.head_width // 2
            swapped = np.concatenate((turned[:, half:], turned[:, :half]), axis=1)
            turned = turned * self.cos[position] + swapped * self.sin[position]
        self.keys[:, position] = turned[self.n_heads :]
        self.values[:, position] = heads[-self.n_kv_heads :]
        # Each key head serves a group of query heads: (G, T, Dh) @ (G, Dh, H/G)
        queries = turned[: self.n_heads].reshape(self.n_kv_heads, -1, self.head_width)
        scores = (queries @ self.keys[:, : position + 1].transpose(0, 2, 1)) * self.scale  # (G, H/G, T)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return self.output((weights @ self.values[:, : position + 1]).reshape(-1))  # (D,)

    def _add(self, x: Vector, update: Vector, sublayer: int) -> Vector:
        x = x + update if self.residuals else update
        return x if self.pre_norm else self.norms[sublayer](x)


def _array(weight: torch.Tensor) -> np.ndarray:
    return weight.detach().float().cpu().numpy().copy()


def _linear(*layers: nn.Linear) -> Callable[[Vector], Vector]:
    """The layers, one below the other, as one map of a vector."""
    matrix = np.concatenate([_array(layer.weight) for layer in layers])
    if layers[0].bias is None:
        return lambda x: matrix @ x
    bias = np.concatenate([_array(layer.bias) for layer in layers])
    return lambda x: matrix @ x + bias


def _norm(norm: nn.Module) -> Callable[[Vector], Vector]:
    if isinstance(norm, nn.Identity):
        return lambda x: x
    weight = _array(norm.weight)
    if isinstance(norm, RMSNorm):
        gain = weight * np.float32(math.sqrt(len(weight)))
        tiny = 1e-6 * len(weight)
        return lambda x: x * gain * np.float32(1 / math.sqrt(x.dot(x) + tiny))
    bias = np.float32(0) if norm.bias is None else _array(norm.bias)

    def layer_norm(x: Vector) -> Vector:
        centred = x - x.mean()
        return centred * np.float32(1 / math.sqrt(centred.dot(centred) / len(x) + 1e-5)) * weight + bias

    return layer_norm


def _activation(name: str) -> Callable[[Vector], Vector]:
    if name == "relu_squared":
        return lambda x: np.square(np.maximum(x, 0))
    function = FeedForward.ACTIVATIONS[name]  # numpy has no erf; a view costs torch next to nothing
    return lambda x: function(torch.from_numpy(x)).numpy()
