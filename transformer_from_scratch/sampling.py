"""Choosing the next character from the model's scores, one after another, with the cache that makes it fast."""

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from transformer_from_scratch.config import Sampling
from transformer_from_scratch.transformer_block import LanguageModel


def next_token_probabilities(scores: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Scores (..., V) -> the probabilities (..., V) that the next token is drawn from.

    In this order: temperature, top-k, top-p. Temperature 0 gives the likeliest token the probability 1.
    """
    if sampling.temperature == 0:
        return (np.arange(scores.shape[-1]) == scores.argmax(-1)[..., None]).astype(scores.dtype)
    scores = scores / sampling.temperature
    if 0 < sampling.top_k < scores.shape[-1]:
        smallest_kept = np.sort(scores, axis=-1)[..., -sampling.top_k, None]
        scores = np.where(scores < smallest_kept, -np.inf, scores)
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    if sampling.top_p < 1:
        order = np.argsort(-probabilities, axis=-1)
        ordered = np.take_along_axis(probabilities, order, axis=-1)
        # Dropped once those before hold enough already, so the likeliest always stays.
        kept = np.where(ordered.cumsum(-1) - ordered >= sampling.top_p, 0, ordered)
        np.put_along_axis(probabilities, order, kept, axis=-1)
        probabilities /= probabilities.sum(-1, keepdims=True)
    return probabilities


def draw(probabilities: np.ndarray, random: np.random.Generator) -> int:
    """A token drawn from the probabilities (V,): where a random point on their line falls."""
    line = probabilities.cumsum()
    return min(int(line.searchsorted(random.random() * line[-1], side="right")), len(line) - 1)


@torch.inference_mode()
def generate_tokens(
    model: LanguageModel,
    prompt: Tensor,
    n_tokens: int,
    sampling: Sampling,
    *,
    seed: int | None = None,
    use_cache: bool = True,
) -> Iterator[int]:
    """Continue `prompt` (T,), at least one token, giving each new token as it is drawn.

    The model sees its last `context` tokens at most. Without the cache each step recomputes them all. With it each
    step computes one, until the context is full: then the later half is read anew, and the cache starts from it.
    On a processor the cached way runs compiled loops (see compiled_model). Token 0, the unknown character, is never
    drawn.
    """
    context = model.config.context
    random = np.random.default_rng(seed)
    tokens = prompt.tolist()
    if not use_cache:
        reader: Reader = WindowReader(model, prompt.device)
    elif isinstance(model, LanguageModel) and prompt.device.type == "cpu":
        # Only now: its compiler takes half a second to load, which a page that only reads need not wait for.
        from transformer_from_scratch.compiled_model import CompiledModel

        reader = CompiledModel(model)
    else:
        reader = CachedReader(model, prompt.device)
    read = 0  # how many of the tokens the reader knows
    for _ in range(n_tokens):
        if reader.length + len(tokens) - read > context:
            read = len(tokens) - (max(context // 2, 1) if reader.length else context)
            reader.start()
        scores = reader.read(tokens[read:])  # (V,)
        read = len(tokens)
        scores[0] = -math.inf
        tokens.append(draw(next_token_probabilities(scores, sampling), random))
        yield tokens[-1]


class Reader(Protocol):
    """Takes a text in, piece by piece, and scores what comes next."""

    length: int  # tokens in view

    def start(self) -> None:
        """Forget the text."""

    def read(self, tokens: list[int]) -> np.ndarray:
        """Take the next tokens in; the scores (V,) of the one after them."""


class CachedReader:
    """Reads with torch and its key-value caches: each token is computed once."""

    def __init__(self, model: LanguageModel, device: torch.device) -> None:
        self._model, self._device = model, device
        self.start()

    def start(self) -> None:
        self.length, self._caches = 0, self._model.new_caches()

    def read(self, tokens: list[int]) -> np.ndarray:
        self.length += len(tokens)
        logits, _ = self._model(torch.tensor([tokens], device=self._device), self._caches)  # (1, T, V)
        return logits[0, -1].float().cpu().numpy()


class WindowReader:
    """Reads the last `context` tokens anew each time: slow, and the measure of what a cache saves."""

    length = 0  # a sliding window is never full

    def __init__(self, model: LanguageModel, device: torch.device) -> None:
        self._model, self._device = model, device
        self._window: list[int] = []

    def start(self) -> None:
        self._window = []

    def read(self, tokens: list[int]) -> np.ndarray:
        self._window = (self._window + tokens)[-self._model.config.context :]
        logits, _ = self._model(torch.tensor([self._window], device=self._device))  # (1, T, V)
        return logits[0, -1].float().cpu().numpy()
