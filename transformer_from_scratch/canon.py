"""Notes passed along the row: with a canon layer, attention need not spend heads on looking one or two characters back.

It stands in front of attention and of the feed-forward network (the paper's positions A and C), and on attention's
values (a third of its position B). "Physics of Language Models, part 4.1", arXiv 2512.17351, section 3.

Shapes: B batch, T positions, D numbers a position.
"""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class CanonLayer(nn.Module):
    """Passes notes along the row: each position takes in a little of its nearest predecessors, number by number.

        y_t = w_0 x_t + w_1 x_{t-1} + ... , one weight a number and distance    arXiv 2512.17351, section 3

    A causal convolution. It starts as the identity.
    """

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(reach, width))
        nn.init.ones_(self.weight[0])

    def forward(self, x: Tensor, recent: dict[str, Tensor] | None = None, name: str = "") -> Tensor:
        """x (B, T, D) -> (B, T, D). `recent` keeps, under `name`, the last inputs for the call with the next ones."""
        reach, length = len(self.weight), x.size(1)
        before = None if recent is None else recent.get(name)
        padded = functional.pad(x, (0, 0, reach - 1, 0)) if before is None else torch.cat([before, x], dim=1)
        if recent is not None:
            recent[name] = padded[:, length:]  # (B, reach - 1, D)
        mixed = padded[:, reach - 1 :] * self.weight[0]
        for distance in range(1, reach):
            mixed = mixed + padded[:, reach - 1 - distance : reach - 1 - distance + length] * self.weight[distance]
        return mixed
