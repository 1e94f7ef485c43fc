"""Exercise 2: the causal mask, which keeps a language model from reading the answer."""

import torch
from torch import Tensor

REPLACES = "transformer_from_scratch.attention.causal_mask"
CHECKED_BY = [
    "transformer_from_scratch/tests/test_attention.py",
    "transformer_from_scratch/tests/test_transformer_block.py::test_cached_steps_equal_the_whole_sequence",
]


def causal_mask(n_queries: int, n_keys: int, device: torch.device | None = None) -> Tensor:
    """Who may look where: a boolean (T, S), True where query row t may attend to key column s.

    A position sees itself and all before it. With as many queries as keys that is a lower triangle. In generation the
    earlier keys come from a cache and the queries are the LAST T of the S positions: then `causal_mask(1, 5)` is one
    row of five Trues, and `causal_mask(2, 3)` is the last two rows of `causal_mask(3, 3)`.

    Hints: `torch.arange(n_keys, device=device)` numbers the keys. Query row t stands at position S - T + t. Comparing
    a column of positions with a row of positions broadcasts to the whole table.

    Read: "Attention Is All You Need", section 3.2.3, https://arxiv.org/abs/1706.03762
    Expect: with `<` in place of `<=` the first position may look nowhere, and the cache tests fail.
    """
    raise RuntimeError("fill in causal_mask")
