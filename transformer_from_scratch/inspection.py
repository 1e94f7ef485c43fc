"""Everything a language model computes while it reads one text: for pictures of what goes on inside.

The model's own code runs, once. A copy of it that shares every weight is watched through forward hooks, so the model
itself is left as it is and may be read by several visitors at once.

Shapes: L layers, H heads, T positions of the text (S the same positions, as keys), D model width, Dh width of a head,
V vocabulary.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transformer_from_scratch.attention import MultiHeadAttention, causal_mask
from transformer_from_scratch.positional_encoding import RotaryEncoding
from transformer_from_scratch.transformer_block import LanguageModel, TransformerBlock


@dataclass(frozen=True)
class Inspection:
    """What one pass over a text computed. All arrays are float32."""

    queries: np.ndarray
    """(L, H, T, Dh) as they enter the dot product: after query-key normalisation and rotation, before the scale."""
    keys: np.ndarray
    """(L, H, S, Dh) likewise; heads that share one key (grouped-query attention) show it once each."""
    values: np.ndarray
    """(L, H, S, Dh) likewise."""
    scores: np.ndarray
    """(L, H, T, S) as they enter the softmax: scaled, minus infinity where a position may not look."""
    weights: np.ndarray
    """(L, H, T, S) as the model itself reports them: rows sum to 1."""
    outputs: np.ndarray
    """(L, H, T, Dh) of each head: its weights times its values, before the heads are mixed."""
    stream: np.ndarray
    """(L + 1, T, D) the residual stream: the embeddings, then what leaves each block."""
    added: np.ndarray
    """(L, 2, T, D) what attention and the feed-forward network hand to the stream (before a post-norm)."""
    probabilities: np.ndarray
    """(L + 1, T, V) of the next token, read off the stream at each of its stages; the last are the model's own.

    Reading an early stage with the last layers' eyes (final norm, output layer) is the "logit lens".
    """
    logits: np.ndarray
    """(T, V) the model's scores of the next token."""
    scale: float
    """What the dot products are multiplied by."""

    @property
    def stream_norms(self) -> np.ndarray:
        """(L + 1, T) length of each position's vector at each stage of the stream."""
        return np.linalg.norm(self.stream, axis=-1)

    @property
    def added_norms(self) -> np.ndarray:
        """(L, 2, T) length of what attention (0) and the feed-forward network (1) hand over."""
        return np.linalg.norm(self.added, axis=-1)


@torch.inference_mode()
def look_inside(model: LanguageModel, tokens: Tensor) -> Inspection:
    """Let the model read `tokens` (T,), at least one, and keep what it computes on the way."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    watched = copy.deepcopy(model, shared).eval()
    blocks = [_watch(block) for block in watched.blocks]
    logits, maps = watched(tokens[None], need_weights=True)  # (1, T, V), L x (1, H, T, S)

    queries, keys, values = (_stack([seen[name] for seen in blocks]) for name in ("query", "key", "value"))
    weights = _stack(maps)
    scale = _scale(watched.blocks[0].attention)
    scores = (queries @ keys.transpose(-2, -1) * scale).masked_fill(~causal_mask(len(tokens), len(tokens)), -math.inf)
    stages = [blocks[0]["before"], *(seen["after"] for seen in blocks)]
    lens = _stack([watched.output(watched.final_norm(stage)).softmax(-1) for stage in stages])
    added = [torch.stack([seen["attended"], seen["thought"]], dim=1) for seen in blocks]  # L x (1, 2, T, D)
    return Inspection(
        queries=queries.numpy(),
        keys=keys.numpy(),
        values=values.numpy(),
        scores=scores.numpy(),
        weights=weights.numpy(),
        outputs=(weights @ values).numpy(),
        stream=_stack(stages).numpy(),
        added=_stack(added).numpy(),
        probabilities=lens.numpy(),
        logits=logits[0].float().cpu().numpy(),
        scale=scale,
    )


def scores_by_distance(model: LanguageModel, inspection: Inspection, layer: int, head: int) -> np.ndarray | None:
    """A rotary head's taste for distance (context,): the score of a key 0, 1, 2, ... positions back, all else equal.

    The text's queries and keys are turned back to how they were before the rotation and averaged, so that what is
    left to tell two keys apart is how far away they stand. None where positions are not rotary.
    """
    rotary = model.blocks[layer].attention.rotary
    if rotary is None:
        return None
    query = _turned_back(rotary, inspection.queries[layer, head]).mean(0)  # (Dh,)
    key = _turned_back(rotary, inspection.keys[layer, head]).mean(0)  # (Dh,)
    turned = rotary(query.expand(1, 1, model.config.context, -1))[0, 0]  # (context, Dh): the key stays at position 0
    return (turned @ key * inspection.scale).numpy()


def most_focused(weights: np.ndarray) -> tuple[int, int]:
    """Layer and head whose positions look most at one place other than their own: the easiest to read.

    weights (L, H, T, T); the later half of the text counts, for early positions have little to choose from.
    """
    _, heads, length, _ = weights.shape
    elsewhere = weights * (1 - np.eye(length))
    return divmod(int(elsewhere[:, :, length // 2 :].max(-1).mean(-1).argmax()), heads)


def _turned_back(rotary: RotaryEncoding, x: np.ndarray) -> Tensor:
    """Undo the rotation of x (T, Dh): turn by the opposite angle."""
    turned = torch.from_numpy(x)
    return turned * rotary.cos[: len(x)] - turned.roll(x.shape[1] // 2, dims=1) * rotary.sin[: len(x)]


def _watch(block: TransformerBlock) -> dict[str, Tensor]:
    """Make a block note what enters, what each sublayer hands over and what leaves; the notes fill up as it runs."""
    seen: dict[str, Tensor] = {}

    def enters(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        seen["before"] = arguments[0]

    def leaves(module: nn.Module, arguments: tuple[Tensor, ...], result: tuple[Tensor, Tensor | None]) -> None:
        seen["after"] = result[0]

    def attended(module: nn.Module, arguments: tuple[Tensor, ...], result: tuple[Tensor, Tensor | None]) -> None:
        seen["attended"] = result[0]

    def thought(module: nn.Module, arguments: tuple[Tensor, ...], result: Tensor) -> None:
        seen["thought"] = result

    block.register_forward_pre_hook(enters)
    block.register_forward_hook(leaves)
    block.attention.register_forward_hook(attended)
    block.feed_forward.register_forward_hook(thought)

    # The dot product is no module of its own, so no hook reaches what enters it: this copy's method is wrapped.
    attend = block.attention._attend

    def noted(query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> tuple[Tensor, Tensor | None]:
        seen.update(query=query, key=key, value=value)
        return attend(query, key, value, *rest)

    block.attention._attend = noted  # type: ignore[assignment, method-assign]
    return seen


def _scale(attention: MultiHeadAttention) -> float:
    return 1 / math.sqrt(attention.head_width) if attention.scale is None else attention.scale


def _stack(tensors: list[Tensor]) -> Tensor:
    """L tensors (1, ...) as one (L, ...), in full precision on the CPU."""
    return torch.cat(tensors).float().cpu()
