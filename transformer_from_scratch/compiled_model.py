"""The trained model once more, for writing: nothing but loops and arithmetic, compiled to machine code by numba.

A step of so small a model is about a hundred tiny operations, and what torch spends on starting each of them is more
than the arithmetic itself. Compiled loops start nothing. A test holds both to the same numbers.

Every kind of model runs through the same equations: what a model leaves out is replaced by something that changes
nothing, such as a bias of zeros, a rotation by no angle, or a canon layer that passes on what it gets.

Shapes: T new positions, C context, L layers, D model width, F hidden width, H heads, G key-value heads, Dh width of a
head, V vocabulary. An index is named after its axis: t, d, f, h, g, s for the positions attended to, i in a head.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import nn

from transformer_from_scratch.transformer_block import SUBLAYERS, LanguageModel

NO_NORM, RMS_NORM, LAYER_NORM = range(3)
RELU, GELU, GELU_TANH, RELU_SQUARED = range(4)

# Compiled at the first call, which takes seconds, and kept on disk for the programs after. Of fastmath only the right
# to add up in any order, several numbers at once: all of it would let the compiler assume that nothing is infinite.
compiled = njit(cache=True, fastmath={"reassoc", "contract"})
inlined = njit(inline="always")  # becomes part of the one function that calls it, which saves a second of compiling


class Choices(NamedTuple):
    """What kind of model it is, where nothing neutral could stand in."""

    norm_before: int  # each sublayer, and the end
    norm_after: int
    normalise_qk: bool
    activation: int
    scale: np.float32  # of the scores
    residual: np.float32  # 1, or 0 where a sublayer's output replaces its input


class Layers(NamedTuple):
    """Layers of one kind, from the first block to the last: their weights (L, ..., D) and biases (L, ...)."""

    weight: np.ndarray
    bias: np.ndarray


class Weights(NamedTuple):
    """What the model learned, and its tables of positions."""

    embedding: np.ndarray  # (V, D)
    positions: np.ndarray  # (C, D)
    cos: np.ndarray  # (C, Dh)
    sin: np.ndarray  # (C, Dh), its first half negative
    norm: Layers  # (2 L + 1, D): a block has two sublayers, and the last norm stands after them all
    canon: np.ndarray  # (2 L, reach, D)
    value_canon: np.ndarray  # (L, reach, G Dh)
    query: Layers  # (L, D, D)
    key: Layers  # (L, G Dh, D)
    value: Layers  # (L, G Dh, D)
    gate: Layers  # (L, H, D)
    output: Layers  # (L, D, D)
    widen: Layers  # (L, F, D)
    narrow: Layers  # (L, D, F)
    unembedding: Layers  # (1, V, D)


class Memory(NamedTuple):
    """What the positions so far left for those to come."""

    keys: np.ndarray  # (L, C, G, Dh)
    raw_values: np.ndarray  # (L, C, G Dh) before their canon layer
    values: np.ndarray  # (L, C, G, Dh)
    inputs: np.ndarray  # (2 L, C, D) of the canon layers


class CompiledModel:
    """Reads a text piece by piece. Holds a copy of the model's weights."""

    def __init__(self, model: LanguageModel) -> None:
        config = model.config
        self._context, self._vocabulary = config.context, len(model.output.weight)
        self._choices, self._weights = _choices(model), _weights(model)
        heads = (config.n_layers, config.context, config.n_kv_heads or config.n_heads, config.head_width)
        flat, inputs = (*heads[:2], heads[2] * heads[3]), (2 * config.n_layers, config.context, config.width)
        self._memory = Memory(*(np.empty(shape, np.float32) for shape in (heads, flat, heads, inputs)))
        self.length = 0

    def start(self) -> None:
        """Forget the text so far."""
        self.length = 0

    def read(self, tokens: list[int]) -> np.ndarray:
        """Take the next tokens in, at least one; the scores (V,) of the one after them.

        Raises ValueError for no tokens, unknown ones, or more than there is room for.
        """
        first, room = self.length, self._context - self.length
        # Compiled loops read from wherever an index points, even past the end of an array.
        if not (0 < len(tokens) <= room and 0 <= min(tokens) and max(tokens) < self._vocabulary):
            raise ValueError(f"tokens {tokens}: give 1 to {room} from 0 to {self._vocabulary - 1}")
        self.length += len(tokens)
        return scores_after(np.array(tokens), first, self._choices, self._weights, self._memory)


@compiled
def scores_after(tokens, first, choices, weights, memory):
    """The model: tokens (T,), of which the first stands at position `first` -> the scores (V,) after the last."""
    n_tokens, (n_sublayers, _, width) = len(tokens), memory.inputs.shape
    x = np.empty((n_tokens, width), np.float32)  # the stream that sublayers read from and add to
    noted, update = np.empty_like(x), np.empty_like(x)
    for t in range(n_tokens):
        for d in range(width):
            x[t, d] = weights.embedding[tokens[t], d] + weights.positions[first + t, d]
    for sublayer in range(n_sublayers):
        layer, inputs = sublayer // 2, memory.inputs[sublayer]  # (C, D)
        normalise(x, choices.norm_before, weights.norm, sublayer, inputs[first : first + n_tokens])
        look_back(inputs, first, weights.canon[sublayer], noted)
        if sublayer % 2 == 0:
            attention(noted, layer, first, choices, weights, memory, update)
        else:
            feed_forward(noted, layer, choices, weights, update)
        for t in range(n_tokens):
            for d in range(width):
                x[t, d] = choices.residual * x[t, d] + update[t, d]
        normalise(x, choices.norm_after, weights.norm, sublayer, x)
    last, scores = x[n_tokens - 1 :], np.empty((1, len(weights.embedding)), np.float32)
    normalise(last, choices.norm_before, weights.norm, n_sublayers, last)
    linear(last, weights.unembedding, 0, scores)
    return scores[0]


@compiled
def normalise(x, kind, norms, index, out):
    """One of the norms, of some kind: x (T, D) -> out (T, D), which may be x itself."""
    n_tokens, width = x.shape
    for t in range(n_tokens):
        if kind == NO_NORM:
            for d in range(width):
                out[t, d] = x[t, d]
            continue
        mean, square = np.float32(0), np.float32(0)
        if kind == LAYER_NORM:
            for d in range(width):
                mean += x[t, d] / np.float32(width)
        for d in range(width):
            square += (x[t, d] - mean) * (x[t, d] - mean)
        factor = np.float32(1 / math.sqrt(square / width + (1e-5 if kind == LAYER_NORM else 1e-6)))
        for d in range(width):
            out[t, d] = (x[t, d] - mean) * factor * norms.weight[index, d] + norms.bias[index, d]


@compiled
def look_back(inputs, first, canon, out):
    """The canon layer: inputs (C, D) from position `first` on, each with a little of those before -> out (T, D)."""
    for t in range(out.shape[0]):
        for d in range(out.shape[1]):
            out[t, d] = canon[0, d] * inputs[first + t, d]
        for distance in range(1, min(len(canon), first + t + 1)):
            for d in range(out.shape[1]):
                out[t, d] += canon[distance, d] * inputs[first + t - distance, d]


@inlined
def attention(x, layer, first, choices, weights, memory, out):
    """Each new position asks itself and all before it: x (T, D) -> out (T, D)."""
    n_tokens, after = len(x), first + len(x)
    keys, values = memory.keys[layer], memory.values[layer]  # (C, G, Dh)
    head_width = keys.shape[2]
    shape = n_tokens, x.shape[1] // head_width, head_width
    queries, answers = np.empty(shape, np.float32), np.zeros(shape, np.float32)  # (T, H, Dh)
    group = queries.shape[1] // keys.shape[1]  # query heads that share a key head
    scores = np.empty(after, np.float32)
    linear(x, weights.query, layer, queries.reshape(n_tokens, -1))
    linear(x, weights.key, layer, keys[first:after].reshape(n_tokens, -1))
    linear(x, weights.value, layer, memory.raw_values[layer, first:after])
    look_back(memory.raw_values[layer], first, weights.value_canon[layer], values[first:after].reshape(n_tokens, -1))
    gates = np.empty(shape[:2], np.float32)  # (T, H)
    linear(x, weights.gate, layer, gates)
    for t in range(n_tokens):
        cos, sin = weights.cos[first + t], weights.sin[first + t]  # (Dh,)
        turn(queries[t], cos, sin, choices.normalise_qk)
        turn(keys[first + t], cos, sin, choices.normalise_qk)
    for t in range(n_tokens):
        n_seen = first + t + 1
        for h in range(queries.shape[1]):
            g = h // group
            for s in range(n_seen):
                score = np.float32(0)
                for i in range(head_width):
                    score += queries[t, h, i] * keys[s, g, i]
                scores[s] = score * choices.scale
            softmax(scores[:n_seen])
            for s in range(n_seen):
                for i in range(head_width):
                    answers[t, h, i] += scores[s] * values[s, g, i]
            for i in range(head_width):
                answers[t, h, i] *= 2 / (1 + math.exp(-gates[t, h]))
    linear(answers.reshape(n_tokens, -1), weights.output, layer, out)


@compiled
def turn(heads, cos, sin, normalise):
    """Put one position's queries or keys (H, Dh) on the sphere, if asked to, and turn their pairs, in place."""
    n_heads, head_width = heads.shape
    half = head_width // 2
    for h in range(n_heads):
        if normalise:
            square = np.float32(0)
            for i in range(head_width):
                square += heads[h, i] * heads[h, i]
            factor = np.float32(1 / math.sqrt(square / head_width + np.finfo(np.float32).eps))
            for i in range(head_width):
                heads[h, i] *= factor
        for i in range(half):
            a, b = heads[h, i], heads[h, half + i]
            heads[h, i] = a * cos[i] + b * sin[i]
            heads[h, half + i] = b * cos[half + i] + a * sin[half + i]


@compiled
def softmax(scores):
    """Scores (S,) -> weights that sum to 1, in place."""
    largest, total = scores[0], np.float32(0)
    for s in range(len(scores)):
        largest = max(largest, scores[s])
    for s in range(len(scores)):
        scores[s] = math.exp(scores[s] - largest)
        total += scores[s]
    for s in range(len(scores)):
        scores[s] /= total


@inlined
def feed_forward(x, layer, choices, weights, out):
    """Each position thinks it over: x (T, D) -> out (T, D)."""
    n_tokens, width = len(x), weights.widen.bias.shape[1]
    hidden = np.empty((n_tokens, width), np.float32)  # (T, F)
    linear(x, weights.widen, layer, hidden)
    for t in range(n_tokens):
        for f in range(width):
            y = hidden[t, f]
            if choices.activation == GELU:
                hidden[t, f] = y / 2 * (1 + math.erf(y / math.sqrt(2)))
            elif choices.activation == GELU_TANH:
                hidden[t, f] = y / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
            elif choices.activation == RELU:
                hidden[t, f] = max(y, 0)
            else:
                hidden[t, f] = max(y, 0) ** 2
    linear(hidden, weights.narrow, layer, out)


@compiled
def linear(x, layers, index, out):
    """One of the layers: x (T, in) -> out (T, out). Most of the time goes here."""
    weight, bias = layers.weight[index], layers.bias[index]  # (out, in), (out,)
    for o in range(weight.shape[0]):
        for t in range(x.shape[0]):
            total = bias[o]
            for i in range(weight.shape[1]):
                total += weight[o, i] * x[t, i]
            out[t, o] = total


# What follows is not compiled. It alone knows the torch model, and puts neutral arrays where it has none.


def _choices(model: LanguageModel) -> Choices:
    config = model.config
    norm = {"none": NO_NORM, "rms": RMS_NORM, "layer": LAYER_NORM}[config.norm]
    before, after = (norm, NO_NORM) if config.norm_position == "pre" else (NO_NORM, norm)
    activations = {"relu": RELU, "gelu": GELU, "gelu_tanh": GELU_TANH, "relu_squared": RELU_SQUARED}
    scale = 1 / math.sqrt(config.head_width) if config.scale_scores else 1
    return Choices(
        norm_before=before,
        norm_after=after,
        normalise_qk=config.normalise_qk,
        activation=activations[config.activation],
        scale=np.float32(scale),
        residual=np.float32(config.residuals),
    )


def _weights(model: LanguageModel) -> Weights:
    config, embedding, blocks = model.config, model.embedding, model.blocks
    rotary = blocks[0].attention.rotary
    norms = [norm for block in blocks for norm in (block.attention_norm, block.feed_forward_norm)] + [model.final_norm]
    canon = [None if block.canon is None else block.canon[name].weight for block in blocks for name in SUBLAYERS]
    value_canon = [getattr(block.attention.canon, "weight", None) for block in blocks]
    passes_on = np.eye(max(config.canon_reach, 1), 1)  # (reach, 1): only the newest counts
    values_width = len(blocks[0].attention.value.weight)
    table, turns = (config.context, config.width), (config.context, config.head_width)
    return Weights(
        embedding=_array(embedding.tokens.weight * embedding.scale),
        positions=_array(getattr(embedding.positions, "table", None), np.zeros(table)),
        cos=_array(getattr(rotary, "cos", None), np.ones(turns)),
        sin=_array(getattr(rotary, "sin", None), np.zeros(turns)),
        norm=_layers(norms, np.ones(config.width)),
        canon=np.array([_array(weight, passes_on.repeat(config.width, axis=1)) for weight in canon]),
        value_canon=np.array([_array(weight, passes_on.repeat(values_width, axis=1)) for weight in value_canon]),
        query=_layers([block.attention.query for block in blocks]),
        key=_layers([block.attention.key for block in blocks]),
        value=_layers([block.attention.value for block in blocks]),
        gate=_layers([block.attention.gate for block in blocks], np.zeros((config.n_heads, config.width))),
        output=_layers([block.attention.output for block in blocks]),
        widen=_layers([block.feed_forward.widen for block in blocks]),
        narrow=_layers([block.feed_forward.narrow for block in blocks]),
        unembedding=_layers([model.output]),
    )


def _layers(layers: list[nn.Module | None], neutral: np.ndarray | None = None) -> Layers:
    """Linear layers or norms; `neutral` is the weight that stands in for one that is missing or does nothing."""
    weights = [_array(getattr(layer, "weight", None), neutral) for layer in layers]
    biases = [
        _array(getattr(layer, "bias", None), np.zeros(len(weight)))
        for layer, weight in zip(layers, weights, strict=True)
    ]
    return Layers(np.array(weights), np.array(biases))


def _array(tensor: torch.Tensor | None, neutral: np.ndarray | None = None) -> np.ndarray:
    """A copy of the tensor, or of what stands in for it."""
    values = neutral if tensor is None else tensor.detach().float().cpu().numpy()
    assert values is not None  # what may be missing comes with its neutral weight
    return values.astype(np.float32)
