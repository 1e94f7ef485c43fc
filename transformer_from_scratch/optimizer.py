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

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float, decay: float = 0.0) -> None:
        """Each group has "params", and "rows": after how many rows a weight's next matrix begins, None for one."""
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.shape, []).append(weight)
            for shape, weights in by_shape.items():
                # Matrices of one shape go through the products together: many small products waste the cores.
                rows, columns = group["rows"] or shape[0], shape[1]
                matrices = self._momentum(weights, group["momentum"]).reshape(-1, rows, columns)
                updates = orthogonalise(matrices).reshape(-1, *shape)
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(weights, list(updates), alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _momentum(self, weights: list[nn.Parameter], momentum: float) -> Tensor:
        """The running means of the gradients, one step ahead (Nesterov): (weights, rows, columns)."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        gradients, means = [weight.grad for weight in weights], [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        return torch.stack(torch._foreach_lerp(gradients, means, momentum))


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Matrices (..., rows, columns) with the same singular vectors and singular values near 1 (.7 to 1.2).

    By products alone, which run everywhere; a singular value decomposition would take many times as long. Each step is
    x <- (a + b G + c G^2) x with the Gram matrix G = x x^T. All these factors commute, so they are multiplied up on
    the small side, where G <- q G q follows along, and x itself is touched once at the end.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.size(-2) > matrices.size(-1)
    x = matrices.mT if tall else matrices  # the smaller Gram matrix is the cheaper one
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)  # now no singular value exceeds 1
    gram = x @ x.mT
    product = None
    for step in range(steps):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        product = factor if product is None else factor @ product
        if step < steps - 1:
            gram = factor @ gram @ factor
    x = product @ x
    return x.mT if tall else x


def build_optimizers(model: nn.Module, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon where asked for. Only matrices decay: gains and biases have no reason to be near zero."""
    parameters = dict(model.named_parameters())
    # A canon layer's weights form a table, but each is a gain of its own number; and a gate is a few rows on their own.
    apart = (".canon.", ".gate.")
    matrices = {name for name, weight in parameters.items() if weight.dim() == 2 and not any(a in name for a in apart)}
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
        # A head's queries, keys and values are a map of their own; so small ones also cost a tenth of one large one.
        by_head = {name for name in hidden if name.split(".")[-2] in ("query", "key", "value")}
        groups = [
            {"params": those(hidden - by_head), "rows": None},
            {"params": those(by_head), "rows": config.head_width},
        ]
        optimizers.append(Muon(groups, config.muon_learning_rate, config.muon_momentum, config.weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]  # what the schedule multiplies
    return optimizers
