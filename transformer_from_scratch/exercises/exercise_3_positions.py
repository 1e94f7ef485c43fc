"""Exercise 3: the sinusoidal table, a clock with many hands."""

from torch import Tensor

REPLACES = "transformer_from_scratch.positional_encoding.sinusoidal_table"
CHECKED_BY = "transformer_from_scratch/tests/test_positional_encoding.py"


def sinusoidal_table(length: int, width: int) -> Tensor:
    """The paper's table (length, width), float32:

        PE(pos, 2i)     = sin(pos / 10000^(2i / width))
        PE(pos, 2i + 1) = cos(pos / 10000^(2i / width))

    Raise ValueError, with the word "even" in its text, for an odd width.

    Hints: make a column of positions (T, 1) and a row of frequencies (width / 2,), multiply them to angles
    (T, width / 2). `torch.stack([sines, cosines], dim=-1).flatten(1)` puts each pair side by side.

    Read: "Attention Is All You Need", section 3.5, https://arxiv.org/abs/1706.03762
    Expect: sines first and cosines after them, as many tutorials have it, also tells positions apart, but it is not the
    paper's table and weights trained with one do not work with the other.
    """
    raise RuntimeError("fill in sinusoidal_table")
