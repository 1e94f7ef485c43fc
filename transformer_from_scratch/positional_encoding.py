"""Where am I? Attention sees a set, not a sequence, so the order must be put in. Three ways.

Sinusoidal  fixed waves added to the embeddings   arXiv 1706.03762, section 3.5
Learned     a trained vector a position, added    arXiv 1706.03762, table 3 (E); GPT-2
Rotary      queries and keys turned by an angle   arXiv 2104.09864, section 3.2

Shapes: B batch, T positions, D model width, H heads, Dh width of a head.
"""

import torch
from torch import Tensor, nn


def sinusoidal_table(length: int, width: int) -> Tensor:
    """The paper's table (length, width), float32:

    PE(pos, 2i) = sin(pos / 10000^(2i / width)),  PE(pos, 2i+1) = cos(pos / 10000^(2i / width)).

    Each pair of columns is a clock hand, and the hands turn ever slower from left to right. A step of k positions
    turns each hand by a fixed angle, so "k further on" is the same linear map everywhere.
    Raises ValueError for an odd width.
    """
    if width % 2:
        raise ValueError(f"width {width} is odd: sines and cosines come in pairs, choose an even width")
    position = torch.arange(length, dtype=torch.float64)[:, None]  # (T, 1)
    frequency = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)  # (D/2,)
    angle = position * frequency  # (T, D/2)
    # stack puts sine and cosine of one frequency next to each other: columns 2i and 2i + 1
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).float()  # (T, D)


class SinusoidalEncoding(nn.Module):
    """Adds the table's rows to x (B, T, D). Nothing is learned, and nothing is stored with the weights."""

    def __init__(self, max_length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoidal_table(max_length, width), persistent=False)

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """`first` is the position of x's first row, past 0 where a cache holds the ones before."""
        return x + self.table[first : first + x.size(1)]


class LearnedEncoding(nn.Module):
    """Adds a trained vector for each position to x (B, T, D); knows no position past `max_length`."""

    def __init__(self, max_length: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(max_length, width))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """As `SinusoidalEncoding`'s."""
        return x + self.table[first : first + x.size(1)]


class RotaryEncoding(nn.Module):
    """Turns each pair of a query's or key's coordinates by position times frequency.

    The dot product of a query at m and a key at n then depends on m - n alone: relative positions without a table.
    Pairs are (i, i + Dh/2), as in published models, not the paper's (2i, 2i + 1): the same up to a fixed reordering.
    Raises ValueError for an odd width of a head.
    """

    def __init__(self, max_length: int, head_width: int, base: float = 10000.0) -> None:
        super().__init__()
        if head_width % 2:
            raise ValueError(f"a head is {head_width} wide: rotation needs pairs, choose an even width of a head")
        frequency = base ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)  # (Dh/2,)
        angle = torch.arange(max_length, dtype=torch.float64)[:, None] * frequency  # (T, Dh/2)
        self.register_buffer("cos", angle.cos().repeat(1, 2).float(), persistent=False)  # (T, Dh)
        # The first half of a turned pair is x1 cos - x2 sin, the second x2 cos + x1 sin; the sign sits in the table.
        self.register_buffer("sin", torch.cat([-angle.sin(), angle.sin()], 1).float(), persistent=False)  # (T, Dh)

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """Turn x (B, H, T, Dh), whose first row stands at position `first`."""
        cos = self.cos[first : first + x.size(2)].to(x.dtype)
        sin = self.sin[first : first + x.size(2)].to(x.dtype)
        return x * cos + x.roll(x.size(3) // 2, dims=3) * sin  # roll swaps the halves
