"""The Transformer's blocks, and the three models made of them: encoder, encoder-decoder, decoder-only language model.

A block is attention (positions exchange what they know), then a feed-forward network (each position thinks it over),
each added to what came in:

    post-norm   x = LayerNorm(x + Sublayer(x))    arXiv 1706.03762, section 3.1: as published
    pre-norm    x = x + Sublayer(LayerNorm(x))    arXiv 2002.04745: trains without a long warm-up, the default here

The residual "+" lets gradients pass every block unchanged; the normalisation keeps each sublayer's input at one scale.

Shapes: B batch, T positions, S source positions, D model width, F hidden width, V vocabulary.
"""

import math
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from transformer_from_scratch.attention import KeyValueCache, MultiHeadAttention
from transformer_from_scratch.canon import CanonLayer
from transformer_from_scratch.config import ModelConfig
from transformer_from_scratch.positional_encoding import LearnedEncoding, RotaryEncoding, SinusoidalEncoding

SUBLAYERS = ("attention", "feed_forward")


class LayerNorm(nn.Module):
    """Centre each position's numbers, scale them to variance 1, then stretch and shift (arXiv 1607.06450, eq. 4)."""

    def __init__(self, width: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)  # = layer_norm below, faster


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None = None, epsilon: float = 1e-5) -> Tensor:
    """LayerNorm written out, over the last axis of x (..., D): the path to read. `LayerNorm` runs it fused."""
    centred = x - x.mean(dim=-1, keepdim=True)
    normalised = centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + epsilon)
    return normalised * weight if bias is None else normalised * weight + bias


class RMSNorm(nn.Module):
    """Scale each position's numbers to a mean square of 1, then stretch (arXiv 1910.07467, eq. 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight, 1e-6)


class FeedForward(nn.Module):
    """Two linear layers with a non-linearity between, applied to each position alone (section 3.3)."""

    ACTIVATIONS: dict[str, Any] = {
        "relu": functional.relu,
        "gelu": functional.gelu,
        "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),  # GPT-2's form
        "relu_squared": lambda x: functional.relu(x).square(),  # arXiv 2109.08668
    }

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(config.width, config.hidden, bias=config.bias)
        self.narrow = nn.Linear(config.hidden, config.width, bias=config.bias)
        self.activation = self.ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.narrow(self.activation(self.widen(x)))  # (B, T, D) -> (B, T, F) -> (B, T, D)


class TransformerBlock(nn.Module):
    """Self-attention and feed-forward: the encoder's layer and, with `causal`, the language model's.

    With `cross_attention` it is the decoder's layer, which also attends to the encoder's output (section 3.1).
    """

    def __init__(
        self, config: ModelConfig, rotary: RotaryEncoding | None = None, *, cross_attention: bool = False
    ) -> None:
        super().__init__()
        self.pre_norm = config.norm_position == "pre"
        self.residuals = config.residuals
        self.attention = _attention(config, rotary)
        self.attention_norm = _norm(config)
        if cross_attention:
            self.cross_attention = _attention(config, None)  # the source's own encoding holds its positions
            self.cross_attention_norm = _norm(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = _norm(config)
        self.canon = None
        if config.canon_reach > 1:
            self.canon = nn.ModuleDict({name: CanonLayer(config.width, config.canon_reach) for name in SUBLAYERS})
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        source: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        source_mask: Tensor | None = None,
        causal: bool = False,
        cache: KeyValueCache | None = None,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D), source (B, S, D) -> x (B, T, D) and, on request, the self-attention's weights (B, H, T, T)."""
        normed = self._prepare(x, self.attention_norm, "attention", cache)
        attended, weights = self.attention(normed, mask=mask, causal=causal, cache=cache, need_weights=need_weights)
        x = self._add(x, attended, self.attention_norm)
        if source is not None:
            normed = self.cross_attention_norm(x) if self.pre_norm else x
            attended, _ = self.cross_attention(normed, source, mask=source_mask)
            x = self._add(x, attended, self.cross_attention_norm)
        normed = self._prepare(x, self.feed_forward_norm, "feed_forward", cache)
        return self._add(x, self.feed_forward(normed), self.feed_forward_norm), weights

    def _prepare(self, x: Tensor, norm: nn.Module, name: str, cache: KeyValueCache | None) -> Tensor:
        normed = norm(x) if self.pre_norm else x
        return normed if self.canon is None else self.canon[name](normed, cache and cache.recent, name)

    def _add(self, x: Tensor, update: Tensor, norm: nn.Module) -> Tensor:
        x = x + self.dropout(update) if self.residuals else self.dropout(update)
        return x if self.pre_norm else norm(x)


class Encoder(nn.Module):
    """A stack of blocks in which every position sees every other: x (B, T, D) -> (B, T, D).

    It takes vectors, not tokens; add positions before it (rotary ones are its own).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        rotary = _rotary(config)
        self.blocks = nn.ModuleList(TransformerBlock(config, rotary) for _ in range(config.n_layers))
        self.final_norm = _final_norm(config)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` (B, 1, 1, T) hides padding, see `attention.padding_mask`."""
        for block in self.blocks:
            x, _ = block(x, mask=mask)
        return self.final_norm(x)


class Decoder(nn.Module):
    """A stack of causal blocks that also attend to `source` (B, S, D): x (B, T, D) -> (B, T, D)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        rotary = _rotary(config)
        self.blocks = nn.ModuleList(
            TransformerBlock(config, rotary, cross_attention=True) for _ in range(config.n_layers)
        )
        self.final_norm = _final_norm(config)

    def forward(
        self, x: Tensor, source: Tensor, mask: Tensor | None = None, source_mask: Tensor | None = None
    ) -> Tensor:
        for block in self.blocks:
            x, _ = block(x, source, mask=mask, source_mask=source_mask, causal=True)
        return self.final_norm(x)


class EncoderDecoder(nn.Module):
    """The 2017 Transformer: reads a source sequence, predicts a target sequence (figure 1 of the paper)."""

    def __init__(self, config: ModelConfig, source_vocabulary: int, target_vocabulary: int) -> None:
        super().__init__()
        self.source_embedding = TokenEmbedding(config, source_vocabulary)
        self.target_embedding = TokenEmbedding(config, target_vocabulary)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.output = nn.Linear(config.width, target_vocabulary, bias=False)
        if config.tie_embeddings:
            self.output.weight = self.target_embedding.tokens.weight

    def forward(self, source: Tensor, target: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """source (B, S) and target (B, T) token ids -> logits (B, T, V) of the token after each target position.

        `source_mask` (B, 1, 1, S) hides padding, see `attention.padding_mask`.
        """
        encoded = self.encoder(self.source_embedding(source), source_mask)  # (B, S, D)
        decoded = self.decoder(self.target_embedding(target), encoded, source_mask=source_mask)  # (B, T, D)
        return self.output(decoded)


class LanguageModel(nn.Module):
    """Decoder-only: embeds the tokens, runs causal blocks, and scores every token as the next one (GPT's shape)."""

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(config, vocabulary)
        rotary = _rotary(config)
        self.blocks = nn.ModuleList(TransformerBlock(config, rotary) for _ in range(config.n_layers))
        self.final_norm = _final_norm(config)
        self.output = nn.Linear(config.width, vocabulary, bias=False)
        _initialise(self, config)
        if config.tie_embeddings:
            self.output.weight = self.embedding.tokens.weight

    def forward(
        self, tokens: Tensor, caches: list[KeyValueCache] | None = None, *, need_weights: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Token ids (B, T) -> logits (B, T, V) and, on request, each block's attention weights (B, H, T, T).

        With `caches`, one a block, the tokens are those that come after the cached ones. Raises ValueError for more
        tokens than the context holds.
        """
        first = caches[0].length if caches else 0
        if first + tokens.size(1) > self.config.context:
            raise ValueError(f"{first + tokens.size(1)} tokens are more than the context of {self.config.context}")
        x = self.embedding(tokens, first)  # (B, T, D)
        maps = []
        for index, block in enumerate(self.blocks):
            cache = caches[index] if caches else None
            x, weights = block(x, causal=True, cache=cache, need_weights=need_weights)
            if weights is not None:
                maps.append(weights)
        return self.output(self.final_norm(x)), maps

    def new_caches(self, batch: int = 1) -> list[KeyValueCache]:
        """Empty caches for `batch` texts, one a block."""
        n_heads = self.config.n_kv_heads or self.config.n_heads
        like = self.embedding.tokens.weight
        return [KeyValueCache(batch, n_heads, self.config.context, self.config.head_width, like) for _ in self.blocks]


class TokenEmbedding(nn.Module):
    """A vector for each token id, plus its position where the encoding is an added one: (B, T) -> (B, T, D)."""

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, config.width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.positions: Any = {
            "sinusoidal": lambda: SinusoidalEncoding(config.context, config.width),
            "learned": lambda: LearnedEncoding(config.context, config.width),
        }.get(config.positions, lambda: None)()
        # Section 3.4: the embeddings are brought up to the scale of the waves added to them.
        self.scale = math.sqrt(config.width) if config.positions == "sinusoidal" else 1.0
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Ids (B, T) to vectors (B, T, D). `first` is the first's position, past 0 where a cache holds those before."""
        x = self.tokens(tokens) * self.scale
        return self.dropout(x if self.positions is None else self.positions(x, first))


def _initialise(model: LanguageModel, config: ModelConfig) -> None:
    """Small random matrices, as GPT-2; or, with `zero_init`, blocks that start by doing nothing.

    Zeros where a sublayer or the model speaks let training start from the embeddings alone and open each sublayer as
    it has something to add; the zeroed matrices still get a gradient, since what they multiply is not zero
    (arXiv 2203.03466, appendix D.2).
    """
    for name, weight in model.named_parameters():
        speaks = name.endswith(("attention.output.weight", "narrow.weight"))
        if name == "embedding.tokens.weight":
            nn.init.normal_(weight, std=0.02 if config.tie_embeddings else 1.0)
        elif ".gate." in name or config.zero_init and (speaks or name == "output.weight"):
            nn.init.zeros_(weight)
        elif speaks:
            # Each block adds two updates to the stream: scaled so that the sum's variance does not grow with depth.
            nn.init.normal_(weight, std=0.02 / math.sqrt(2 * config.n_layers))
        elif weight.dim() == 2 and ".canon." not in name and name != "embedding.positions.table":
            nn.init.normal_(weight, std=0.5 / math.sqrt(config.width) if config.zero_init else 0.02)
        elif name.endswith(("query.bias", "key.bias", "value.bias", "output.bias", "widen.bias", "narrow.bias")):
            nn.init.zeros_(weight)


def _norm(config: ModelConfig) -> nn.Module:
    if config.norm == "none":
        return nn.Identity()
    return RMSNorm(config.width) if config.norm == "rms" else LayerNorm(config.width, config.bias)


def _final_norm(config: ModelConfig) -> nn.Module:
    """Pre-norm leaves the stream unnormalised, so the stack ends with one; post-norm has done it already."""
    return _norm(config) if config.norm_position == "pre" else nn.Identity()


def _attention(config: ModelConfig, rotary: RotaryEncoding | None) -> MultiHeadAttention:
    return MultiHeadAttention(
        config.width,
        config.n_heads,
        n_kv_heads=config.n_kv_heads,
        bias=config.bias,
        dropout=config.dropout,
        rotary=rotary,
        normalise_qk=config.normalise_qk,
        gated=config.gate_heads,
        canon_reach=config.canon_reach,
        scale=None if config.scale_scores else 1.0,
    )


def _rotary(config: ModelConfig) -> RotaryEncoding | None:
    if config.positions != "rotary":
        return None
    return RotaryEncoding(config.context, config.head_width, config.rotary_base)
