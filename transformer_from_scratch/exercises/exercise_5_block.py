"""Exercise 5: the block, where attention, feed-forward, residuals and norms come together."""

from torch import Tensor

from transformer_from_scratch.attention import KeyValueCache

REPLACES = "transformer_from_scratch.transformer_block.TransformerBlock.forward"
CHECKED_BY = "transformer_from_scratch/tests/test_transformer_block.py"


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
    """x (B, T, D) -> x (B, T, D) and the self-attention's weights (None unless asked for).

    Two sublayers, or three: self-attention, attention to `source` (only where one is given), feed-forward.

        pre-norm   (self.pre_norm is True)    x = x + sublayer(norm(x))
        post-norm  (self.pre_norm is False)   x = norm(x + sublayer(x))

    What the block has: `self.attention(x, mask=, causal=, cache=, need_weights=)` gives (output, weights);
    `self.cross_attention(x, source, mask=source_mask)` likewise; `self.feed_forward(x)`; a norm for each:
    `self.attention_norm`, `self.cross_attention_norm`, `self.feed_forward_norm`; `self.dropout` for each sublayer's
    output before it is added; and `self._add(x, update, norm)`, which does the adding for either order.

    Read: "Attention Is All You Need", section 3.1; "On Layer Normalization in the Transformer Architecture", figure 1,
    https://arxiv.org/abs/2002.04745
    Expect: a forgotten residual still runs, and only the tests against torch's encoder and GPT-2 notice.
    """
    raise RuntimeError("fill in TransformerBlock.forward")
