"""The optimizers: AdamW for everything, or Muon for the matrices inside the blocks and AdamW for the rest."""

from typing import Any

import torch
from torch import Tensor, nn

from transformer_from_scratch.config import TrainingConfig

# Quintic whose repeated use pushes every singular value towards 1 (Keller Jordan, "Muon", 2024).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum whose update matrix is made orthogonal: every direction of a weight matrix moves equally far.

    A gradient matrix is nearly of low rank, so plain momentum keeps pushing the same few directions. After
    orthogonalisation the rare ones learn as fast. For matrices between activations only; embeddings, gains and the
    output layer go to AdamW. Source: Keller Jordan, "Muon: an optimizer for hidden layers", 2024; the scale
    sqrt(max(1, rows / columns)) is from there too.
    """

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.shape, []).append(weight)
            for (rows, columns), weights in by_shape.items():
                # Matrices of one shape go through the products together: many small products waste the cores.
                updates = orthogonalise(torch.stack([self._momentum(weight, group) for weight in weights]))
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                scale = max(1.0, rows / columns) ** 0.5
                torch._foreach_add_(weights, list(updates), alpha=-group["lr"] * scale)

    def _momentum(self, weight: nn.Parameter, group: dict[str, Any]) -> Tensor:
        """The running mean of the gradients, one step ahead (Nesterov)."""
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
        return weight.grad.lerp(state["momentum"], group["momentum"])


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Matrices (..., rows, columns) with the same singular vectors and singular values near 1 (.7 to 1.2).

    By products alone, which run everywhere; a singular value decomposition would take many times as long.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.size(-2) > matrices.size(-1)
    x = matrices.mT if tall else matrices  # the smaller Gram matrix is the cheaper one
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)  # now no singular value exceeds 1
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def build_optimizers(model: nn.Module, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon where asked for. Only matrices decay: gains and biases have no reason to be near zero."""
    parameters = dict(model.named_parameters())
    # A canon layer's weights form a table, but each is a gain of its own number.
    matrices = {name for name, weight in parameters.items() if weight.dim() == 2 and ".canon." not in name}
    hidden = {name for name in matrices if name.startswith("blocks.")} if config.optimizer == "muon" else set()

    def those(names: set[str]) -> list[nn.Parameter]:
        return [weight for name, weight in parameters.items() if name in names]

    groups = [
        {"params": those(matrices - hidden), "weight_decay": config.weight_decay},
        {"params": those(set(parameters) - matrices), "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    # On 2 cores the fused kernel does the whole step in one pass over the memory.
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    ]
    if hidden:
        optimizers.append(Muon(those(hidden), lr=config.muon_learning_rate, decay=config.weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]  # what the schedule multiplies
    return optimizers
