"""Magnitude pruning: the weights nearest to zero become zero. That changes neither the size nor the speed.

python -m model_optimization.pruning.magnitude_pruning --run RUN --sparsities 0.3,0.5,0.7

A matrix of which half is zero is stored, and multiplied, like any other; only a file format for sparse matrices is
smaller, and processors gain nothing below some nine zeros in ten. What it is good for is to see how much of a model is
needed, layer by layer (Han et al. 2015, arXiv 1506.02626). It is shown here with what it costs in accuracy, and what
sparse storage would give: one bit a weight to say whether it is there, and the weights that are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_optimization.config import PROJECT, SUBJECT
from shared.config import parse_config
from shared.errors import UserError, run_program
from shared.logging import print_result, print_table, setup_logging

if TYPE_CHECKING:
    from torch import nn

    from model_optimization.subject import Subject


@dataclass(frozen=True)
class MagnitudeConfig:
    """Zero the smallest weights of a classifier, and see what that costs and saves."""

    run: str = SUBJECT
    """Folder of a trained classifier, or a hub name."""
    output: str = f"runs/{PROJECT}/magnitude"
    """Folder for the classifier of the last sparsity; what is there is replaced."""
    dataset: str = "rotten_tomatoes"
    """Texts to score on: the validation part of a packaged set, a file, or a hub set."""
    sparsities: str = "0.3,0.5,0.7,0.9"
    """Shares of the weights to zero, with commas between."""
    by_layer: bool = False
    """Prune one layer at a time, to see which ones bear it, instead of all together."""


def prune(subject: "Subject", sparsity: float, layer: int | None = None) -> "Subject":
    """A copy with this share of its linear weights, the smallest of all layers or of one, at zero.

    Raises UserError for a sparsity that leaves nothing, or a layer that is not there.
    """
    import copy

    from torch import nn
    from torch.nn.utils import prune as torch_prune

    if not 0 <= sparsity < 1:
        raise UserError(f"a sparsity of {sparsity:g}: give a share from 0 to below 1, or nothing is left")
    n_layers = subject.model.shape.n_layers
    if layer is not None and not 0 <= layer < n_layers:
        raise UserError(f"layer {layer}: the model has the layers 0 to {n_layers - 1}")
    model = copy.deepcopy(subject.model)
    part: nn.Module = model.layers if layer is None else model.layers[layer]
    pruned = [(module, "weight") for module in part.modules() if isinstance(module, nn.Linear)]
    torch_prune.global_unstructured(pruned, pruning_method=torch_prune.L1Unstructured, amount=sparsity)
    for module, name in pruned:
        torch_prune.remove(module, name)  # the mask is multiplied in
    return subject.with_model(model)


def storage_mb(model: "nn.Module") -> dict[str, float]:
    """Megabytes of the weights in 32 bits as they are, and with a bit a weight and only those that are not zero."""
    total = sum(weight.numel() for weight in model.parameters())
    left = sum(int(weight.count_nonzero()) for weight in model.parameters())
    return {"dense_mb": total * 4 / 1e6, "sparse_mb": (total / 8 + left * 4) / 1e6}


def sensitivity(subject: "Subject", dataset: str, sparsities: Sequence[float], by_layer: bool) -> list[dict[str, Any]]:
    """A row a sparsity (and layer): accuracy on the validation texts, and the megabytes of both ways to store it."""
    from model_optimization.fidelity import validation_accuracy
    from model_optimization.texts import load_texts

    texts = load_texts(dataset, subject.trained_on, len(subject.label_names))
    layers = range(subject.model.shape.n_layers) if by_layer else [None]
    rows = []
    for layer in layers:
        for sparsity in sparsities:
            pruned = prune(subject, sparsity, layer)
            row = {} if layer is None else {"layer": layer}
            accuracy = validation_accuracy(pruned, texts.validation)
            rows.append({**row, "sparsity": sparsity, "accuracy": accuracy, **storage_mb(pruned.model)})
    return rows


def parse_shares(text: str) -> list[float]:
    """`0.3,0.5` as shares. Raises UserError for anything else."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--sparsities {text}: give numbers with commas between, such as 0.3,0.5") from None


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(MagnitudeConfig, argv, prog=f"python -m {PROJECT}.pruning.magnitude_pruning")
    setup_logging()
    from model_optimization.subject import load_subject, save_subject

    subject = load_subject(config.run)
    sparsities = parse_shares(config.sparsities)
    rows = sensitivity(subject, config.dataset, sparsities, config.by_layer)
    print_table("what zeros cost and save", rows)
    pruned = prune(subject, sparsities[-1])
    save_subject(pruned, Path(config.output))
    print_result({"classifier": config.output, "sparsity": sparsities[-1], **storage_mb(pruned.model), "rows": rows})


if __name__ == "__main__":
    run_program(main)
