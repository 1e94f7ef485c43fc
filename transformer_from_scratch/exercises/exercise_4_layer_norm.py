"""Exercise 4: layer normalisation, which keeps every block's input at one scale."""

from torch import Tensor

REPLACES = "transformer_from_scratch.transformer_block.layer_norm"
CHECKED_BY = (
    "transformer_from_scratch/tests/test_transformer_block.py::test_layer_norm_written_out_equals_the_fused_one"
)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None = None, epsilon: float = 1e-5) -> Tensor:
    """For each position alone: centre its D numbers, scale them to variance 1, stretch by weight, shift by bias.

    x (..., D), weight (D,), bias (D,) or None. The variance is the mean of the squared deviations (divide by D, not by
    D - 1), and epsilon is added to it inside the square root, so that a constant row does not divide by zero.

    Hints: `x.mean(dim=-1, keepdim=True)`; `square()`; `torch.sqrt`.

    Read: "Layer Normalization", equation 4, https://arxiv.org/abs/1607.06450
    Expect: with `x.std()`, which divides by D - 1, the result is off by a few per cent and the test says so.
    """
    raise RuntimeError("fill in layer_norm")
