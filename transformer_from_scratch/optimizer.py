"""The optimizers: AdamW for everything, or Muon for the matrices inside the blocks and AdamW for the rest."""

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
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(state["momentum"], group["momentum"])  # Nesterov: look one step ahead
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                scale = max(1.0, weight.size(0) / weight.size(1)) ** 0.5
                weight.add_(orthogonalise(update), alpha=-group["lr"] * scale)


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """A matrix with the same singular vectors and singular values near 1 (.7 to 1.2), by matrix products alone."""
    a, b, c = NEWTON_SCHULZ
    x = matrix.T if matrix.size(0) > matrix.size(1) else matrix  # the smaller Gram matrix is the cheaper one
    x = x / x.norm().clamp_min(1e-7)  # now no singular value exceeds 1
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.size(0) > matrix.size(1) else x


def build_optimizers(model: nn.Module, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon where asked for. Only matrices decay: gains and biases have no reason to be near zero."""
    parameters = dict(model.named_parameters())
    matrices = {name for name, weight in parameters.items() if weight.dim() == 2}
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
