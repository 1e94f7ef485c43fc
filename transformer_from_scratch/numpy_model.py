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

from transformer_from_scratch.attention import KeyValueCache
from transformer_from_scratch.transformer_block import (
    SUBLAYERS,
    FeedForward,
    LanguageModel,
    RMSNorm,
    TransformerBlock,
)

Vector = np.ndarray


class NumpyModel:
    """Reads one token after another; `logits` are the scores of the next. Holds a copy of the model's weights."""

    def __init__(self, model: LanguageModel) -> None:
        config = model.config
        self._model = model
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

    def read(self, tokens: list[int]) -> Vector:
        """Take the next tokens in; the scores (V,) of the one after them."""
        if self.length == 0 and len(tokens) > 1:
            return self._read_at_once(tokens)
        for token in tokens:
            scores = self.logits(token)
        return scores

    def _read_at_once(self, tokens: list[int]) -> Vector:
        """A text's beginning goes through torch in one pass, which large products are better for."""
        caches = self._model.new_caches()
        with torch.inference_mode():
            logits, _ = self._model(torch.tensor([tokens]), caches)  # (1, T, V)
        for block, cache in zip(self._blocks, caches, strict=True):
            block.take_over(cache)
        self.length = len(tokens)
        return logits[0, -1].numpy()

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
        rotary = attention.rotary
        half = self.head_width // 2
        # Rotary turns the pairs (i, i + half). Put side by side they are complex numbers, and a turn is one product.
        self.pairs = np.arange(self.head_width).reshape(2, half).T.reshape(-1) if rotary is not None else None
        self.turns = None if rotary is None else _array(rotary.cos)[:, :half] + 1j * _array(rotary.sin)[:, half:]
        # One product for query, key and value in place of three
        self.project = _linear(attention.query, attention.key, attention.value, reorder=(self.pairs, self.pairs, None))
        self.output, self.widen, self.narrow = (
            _linear(layer) for layer in (attention.output, block.feed_forward.widen, block.feed_forward.narrow)
        )
        self.activation = _activation(config.activation)
        self.norms = [_norm(block.attention_norm), _norm(block.feed_forward_norm)]
        self.canon = None if block.canon is None else [_array(layer.weight) for layer in block.canon.values()]
        self.keys = np.zeros((self.n_kv_heads, self.head_width, config.context), np.float32)  # (G, Dh, T)
        self.values = np.zeros((self.n_kv_heads, config.context, self.head_width), np.float32)  # (G, T, Dh)
        self.start()

    def start(self) -> None:
        if self.canon is not None:
            self.recent = [list(np.zeros_like(weight)) for weight in self.canon]  # inputs (D,), the newest first

    def take_over(self, cache: KeyValueCache) -> None:
        """Go on from what the torch model remembers of one text."""
        keys, values = cache.contents()  # (1, G, T, Dh)
        length = keys.size(2)
        keys = _array(keys[0])
        self.keys[:, :, :length] = (keys if self.pairs is None else keys[:, :, self.pairs]).transpose(0, 2, 1)
        self.values[:, :length] = _array(values[0])
        if self.canon is not None:
            for sublayer, name in enumerate(SUBLAYERS):
                newest_first = list(_array(cache.recent[name][0])[::-1])
                self.recent[sublayer] = [*newest_first, np.zeros_like(newest_first[0])]

    def __call__(self, x: Vector, position: int) -> Vector:
        x = self._add(x, self._attend(self._prepare(x, 0), position), 0)
        hidden = self.activation(self.widen(self._prepare(x, 1)))
        return self._add(x, self.narrow(hidden), 1)

    def _prepare(self, x: Vector, sublayer: int) -> Vector:
        if self.pre_norm:
            x = self.norms[sublayer](x)
        if self.canon is None:
            return x
        recent = self.recent[sublayer] = [x, *self.recent[sublayer][:-1]]
        mixed = x * self.canon[sublayer][0]
        for before, weight in zip(recent[1:], self.canon[sublayer][1:], strict=True):
            mixed += before * weight
        return mixed

    def _attend(self, x: Vector, position: int) -> Vector:
        heads = self.project(x).reshape(-1, self.head_width)  # (H + 2G, Dh): queries, keys, values
        turned = heads[: -self.n_kv_heads]  # (H + G, Dh): queries and keys
        if self.normalise_qk:
            squares = np.add.reduce(turned * turned, axis=1, keepdims=True)
            turned = turned / np.sqrt(squares * np.float32(1 / self.head_width) + np.finfo(np.float32).eps)
        if self.turns is not None:
            turned = (turned.view(np.complex64) * self.turns[position]).view(np.float32)
        self.keys[:, :, position] = turned[self.n_heads :]
        self.values[:, position] = heads[-self.n_kv_heads :]
        # Each key head serves a group of query heads: (G, H/G, Dh) @ (G, Dh, T)
        queries = turned[: self.n_heads].reshape(self.n_kv_heads, -1, self.head_width)
        scores = queries @ self.keys[:, :, : position + 1] * self.scale  # (G, H/G, T)
        # ufunc.reduce is what x.max() and x.sum() call, without the detour
        weights = np.exp(scores - np.maximum.reduce(scores, axis=-1, keepdims=True))
        total = np.add.reduce(weights, axis=-1, keepdims=True)
        return self.output((weights @ self.values[:, : position + 1] / total).reshape(-1))  # (D,)

    def _add(self, x: Vector, update: Vector, sublayer: int) -> Vector:
        x = x + update if self.residuals else update
        return x if self.pre_norm else self.norms[sublayer](x)


def _array(weight: torch.Tensor) -> np.ndarray:
    return weight.detach().float().cpu().numpy().copy()


def _linear(*layers: nn.Linear, reorder: tuple[np.ndarray | None, ...] = (None,)) -> Callable[[Vector], Vector]:
    """The layers, one below the other, as one map of a vector; `reorder` permutes the outputs within each head."""
    matrix = np.concatenate([_permuted(layer.weight, order) for layer, order in zip(layers, reorder, strict=True)])
    if layers[0].bias is None:
        return lambda x: matrix @ x
    bias = np.concatenate([_permuted(layer.bias, order) for layer, order in zip(layers, reorder, strict=True)])
    return lambda x: matrix @ x + bias


def _permuted(weight: torch.Tensor, order: np.ndarray | None) -> np.ndarray:
    array = _array(weight)
    if order is None:
        return array
    return array.reshape(-1, len(order), *array.shape[1:])[:, order].reshape(array.shape)


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
