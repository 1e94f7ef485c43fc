"""Choosing the next character from the model's scores, one after another, with the cache that makes it fast."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from transformer_from_scratch.config import Sampling
from transformer_from_scratch.transformer_block import LanguageModel


def next_token_probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """Scores (..., V) -> the probabilities (..., V) that the next token is drawn from.

    In this order: temperature, top-k, top-p. Temperature 0 gives the likeliest token the probability 1.
    """
    if sampling.temperature == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    logits = logits.float() / sampling.temperature
    if 0 < sampling.top_k < logits.size(-1):
        smallest_kept = logits.topk(sampling.top_k).values[..., -1:]
        logits = logits.masked_fill(logits < smallest_kept, -math.inf)
    probabilities = logits.softmax(-1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(descending=True)
        # Dropped once those before hold enough already, so the likeliest always stays.
        dropped = ordered.cumsum(-1) - ordered >= sampling.top_p
        probabilities = probabilities.masked_fill(dropped.scatter(-1, order, dropped), 0.0)
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    return probabilities


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
    Token 0, the unknown character, is never drawn.
    """
    context = model.config.context
    random = torch.Generator(prompt.device)
    random.manual_seed(seed) if seed is not None else random.seed()
    tokens = prompt.tolist()
    caches, read = model.new_caches() if use_cache else None, 0
    for _ in range(n_tokens):
        if caches is None:
            read = max(len(tokens) - context, 0)
        elif caches[0].length + len(tokens) - read > context:
            read = len(tokens) - (max(context // 2, 1) if caches[0].length else context)
            caches = model.new_caches()
        unread, read = tokens[read:], len(tokens)
        logits, _ = model(torch.tensor([unread], device=prompt.device), caches)  # (1, T, V)
        scores = logits[0, -1]
        scores[0] = -math.inf
        probabilities = next_token_probabilities(scores, sampling)  # (V,)
        tokens.append(int(torch.multinomial(probabilities, 1, generator=random)))
        yield tokens[-1]
