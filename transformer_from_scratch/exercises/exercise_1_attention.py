"""Exercise 1: scaled dot-product attention, the one equation everything else is built on."""

from torch import Tensor

REPLACES = "transformer_from_scratch.attention.scaled_dot_product_attention"
CHECKED_BY = "transformer_from_scratch/tests/test_attention.py"


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """Each query takes the mean of the values, weighted by how well it fits their keys.

    Given query (..., T, Dh), key (..., S, Dh), value (..., S, Dh), and perhaps a boolean mask that broadcasts to
    (..., T, S) and is True where a query may look, return the output (..., T, Dh) and the weights (..., T, S).

    Steps:
      1. the dot product of every query with every key: `key.transpose(-2, -1)` turns the keys around;
      2. multiply by `scale`; where it is None, divide by the square root of Dh (`query.size(-1)`);
      3. where the mask is False, put minus infinity: `scores.masked_fill(~mask, -math.inf)`;
      4. softmax over the last axis. `transformer_from_scratch.attention.softmax` gives zeros, not NaN, for a query
         that may look nowhere. Try torch's own `scores.softmax(-1)` first and see which test fails;
      5. the weights times the values.

    Read: "Attention Is All You Need", section 3.2.1, https://arxiv.org/abs/1706.03762
    Expect: without step 2 the hand-worked test fails; in training, wide heads would learn more slowly.
    """
    raise RuntimeError("fill in scaled_dot_product_attention")
