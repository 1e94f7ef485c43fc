"""Attention: every position asks all others a question and averages their answers.

Each position makes a query ("what am I looking for?"), a key ("what do I hold?") and a value ("what do I hand over?").
A query's dot products with all keys, turned into weights by a softmax, say how much of each value it takes:

    Attention(Q, K, V) = softmax(Q K^T / sqrt(Dh)) V          "Attention Is All You Need", arXiv 1706.03762, eq. (1)

Shapes: B batch, T queries, S keys (S = T in self-attention), D model width, H heads, G key-value heads,
Dh = D / H width of a head.

Masks are boolean and True means "may attend", everywhere in this project, and broadcast to (B, H, T, S).
A query that may attend to nothing gets zeros, not NaN.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_from_scratch.canon import CanonLayer
from transformer_from_scratch.positional_encoding import RotaryEncoding


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """Attention written out, equation (1): the path to read, and the one that can show its weights.

    query (..., T, Dh), key and value (..., S, Dh), mask broadcastable to (..., T, S). `scale` multiplies the scores;
    by default it is 1 / sqrt(Dh).
    Returns the output (..., T, Dh) and the weights (..., T, S), whose rows sum to 1, or to 0 where all is masked.
    """
    # Dot products of Dh independent terms have variance Dh; without the division a wide head's softmax would
    # saturate and pass no gradient (section 3.2.1).
    scale = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    scores = query @ key.transpose(-2, -1) * scale  # (..., T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = softmax(scores)
    return weights @ value, weights  # (..., T, Dh), (..., T, S)


def softmax(scores: Tensor) -> Tensor:
    """exp(scores) normalised over the last axis; a row of minus infinities gives zeros.

    Taking the row's largest score away first changes nothing in the result and keeps exp from overflowing.
    """
    largest = scores.amax(dim=-1, keepdim=True)
    exponentials = torch.exp(scores - largest.masked_fill(largest == -math.inf, 0.0))
    return exponentials / exponentials.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)


def causal_mask(n_queries: int, n_keys: int, device: torch.device | None = None) -> Tensor:
    """(T, S) mask: each position may attend to itself and to those before it.

    The queries are the last T of the S positions, so that a cache's earlier keys are all in view.
    """
    positions = torch.arange(n_keys, device=device)
    return positions <= positions[n_keys - n_queries :, None]


def padding_mask(lengths: Tensor, n_keys: int) -> Tensor:
    """(B, 1, 1, S) mask from the true lengths (B,): positions at or past a text's length may not be attended to."""
    return (torch.arange(n_keys, device=lengths.device) < lengths[:, None])[:, None, None, :]


class KeyValueCache:
    """The keys and values of the positions seen so far, so that generation computes each position once.

    Memory for `capacity` positions is taken once; `append` then only copies the new ones in.
    """

    def __init__(self, batch: int, n_kv_heads: int, capacity: int, head_width: int, like: Tensor) -> None:
        shape = (batch, n_kv_heads, capacity, head_width)
        self._keys = torch.empty(shape, dtype=like.dtype, device=like.device)
        self._values = torch.empty_like(self._keys)
        self.length = 0
        self.recent: dict[str, Tensor] = {}  # the last inputs of a block's canon layers, where it has some

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add keys and values (B, G, T, Dh); give all so far, each (B, G, S, Dh).

        Raises ValueError past the capacity.
        """
        start, self.length = self.length, self.length + keys.size(2)
        if self.length > self._keys.size(2):
            raise ValueError(f"the cache holds {self._keys.size(2)} positions, not {self.length}: start a new one")
        self._keys[:, :, start : self.length] = keys
        self._values[:, :, start : self.length] = values
        return self.contents()

    def contents(self) -> tuple[Tensor, Tensor]:
        """The keys and values so far, each (B, G, S, Dh)."""
        return self._keys[:, :, : self.length], self._values[:, :, : self.length]


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each in its own Dh-wide projection (section 3.2.2).

    `n_kv_heads` < `n_heads` lets groups of query heads share one key and value head, which shrinks the cache by that
    factor (grouped-query attention, arXiv 2305.13245). `rotary` turns queries and keys by their position
    (arXiv 2104.09864). `normalise_qk` puts both on the sphere before the dot product, which bounds the scores
    (arXiv 2010.04245). `gated` lets each head turn its answer up or down, by what the asking position holds: not every
    head has something to say everywhere (arXiv 2505.06708, one gate a head). `canon_reach` above 1 mixes each value
    with those just before it. `scale` multiplies the scores; by default it is 1 / sqrt(Dh). Raises ValueError where
    `width`, `n_heads` and `n_kv_heads` do not divide.
    """

    def __init__(
        self,
        width: int,
        n_heads: int,
        *,
        n_kv_heads: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        rotary: RotaryEncoding | None = None,
        normalise_qk: bool = False,
        gated: bool = False,
        canon_reach: int = 0,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.n_kv_heads = n_kv_heads or n_heads
        if width % n_heads:
            raise ValueError(f"width {width} does not divide into {n_heads} heads: choose a multiple")
        if n_heads % self.n_kv_heads:
            raise ValueError(f"n_heads {n_heads} does not divide into {n_kv_heads} groups: choose a divisor")
        self.head_width = width // n_heads
        self.dropout = dropout
        self.rotary = rotary
        self.normalise_qk = normalise_qk
        self.scale = scale
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, self.n_kv_heads * self.head_width, bias=bias)
        self.value = nn.Linear(width, self.n_kv_heads * self.head_width, bias=bias)
        self.output = nn.Linear(width, width, bias=bias)
        self.gate = nn.Linear(width, n_heads, bias=False) if gated else None
        self.canon = CanonLayer(self.n_kv_heads * self.head_width, canon_reach) if canon_reach > 1 else None

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        cache: KeyValueCache | None = None,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from x (B, T, D) to `context` (B, S, D), or to x itself where there is none.

        `mask` and `causal` both apply. With a cache, x holds only the new positions. Returns the output (B, T, D)
        and, on request, the weights (B, H, T, S) computed by the explicit path.
        """
        source = x if context is None else context
        query, key, value = self._project(x, source)  # (B, T, H * Dh), (B, S, G * Dh), (B, S, G * Dh)
        if self.canon is not None:
            value = self.canon(value, cache and cache.recent, "value")
        query = self._split(query, self.n_heads)  # (B, H, T, Dh)
        key, value = self._split(key, self.n_kv_heads), self._split(value, self.n_kv_heads)  # (B, G, S, Dh)
        if self.normalise_qk:
            query, key = F.rms_norm(query, (self.head_width,)), F.rms_norm(key, (self.head_width,))
        if self.rotary is not None:
            first = cache.length if cache is not None else 0
            query, key = self.rotary(query, first), self.rotary(key, first)
        if cache is not None:
            key, value = cache.append(key, value)
        if self.n_kv_heads < self.n_heads:
            group = self.n_heads // self.n_kv_heads
            key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)  # (B, H, S, Dh)

        out, weights = self._attend(query, key, value, mask, causal, need_weights)  # (B, H, T, Dh)
        out = out.transpose(1, 2)  # (B, T, H, Dh)
        if self.gate is not None:
            out = out * (2 * torch.sigmoid(self.gate(x)))[..., None]  # times 1 where the gate has learned nothing yet
        out = out.flatten(2)  # (B, T, D): the heads side by side again
        return self.output(out), weights

    def _project(self, x: Tensor, source: Tensor) -> tuple[Tensor, ...]:
        """Query, key and value. In self-attention one product makes all three: x is read, and in bf16 rounded, once."""
        layers = (self.query, self.key, self.value)
        if source is not x:
            return tuple(layer(given) for layer, given in zip(layers, (x, source, source), strict=True))
        weight = torch.cat([layer.weight for layer in layers])
        bias = None if self.query.bias is None else torch.cat([layer.bias for layer in layers])
        return F.linear(x, weight, bias).split([layer.out_features for layer in layers], dim=-1)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        n_queries, n_keys = query.size(2), key.size(2)
        # One new position after a cache sees everything, and a square causal mask is built into the fused kernel.
        fused_causal = causal and mask is None and n_queries == n_keys and not need_weights
        if causal and not fused_causal and n_queries > 1:
            before = causal_mask(n_queries, n_keys, query.device)
            mask = before if mask is None else mask & before
        if need_weights:
            return scaled_dot_product_attention(query, key, value, mask, self.scale)
        dropout = self.dropout if self.training else 0.0
        if torch.is_autocast_enabled("cpu"):
            # Backwards, a processor's fused kernel takes four times as long in bf16 as in fp32.
            query, key, value = query.float(), key.float(), value.float()
        with torch.autocast("cpu", enabled=False):
            out = F.scaled_dot_product_attention(
                query, key, value, mask, dropout, is_causal=fused_causal, scale=self.scale
            )
        return out, None

    def _split(self, x: Tensor, n_heads: int) -> Tensor:
        """(B, T, heads * Dh) -> (B, heads, T, Dh)"""
        return x.unflatten(2, (n_heads, self.head_width)).transpose(1, 2)
