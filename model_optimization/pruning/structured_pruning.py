"""Structured pruning: attention heads and feed-forward neurons are removed, and the model is really smaller.

python -m model_optimization.pruning.structured_pruning --run RUN --output FOLDER --heads 0.5 --neurons 0.5

How much a head matters is asked of the gradient: put a factor of 1 on its output, and see how the loss would change if
that went to 0 (Michel et al. 2019, arXiv 1905.10650, equation 5; of neurons, Molchanov et al. 2017, arXiv 1611.06440).
The least of all layers go first, in a few rounds, and after each what is left learns from the whole model's answers. A
removed head is a slice of the rows of query, key and value and of the columns of the layer after it, so that what is
left multiplies smaller matrices.

Letters in shapes: H heads of a layer, K width of a head, F neurons of a layer.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from model_optimization.config import PROJECT, SUBJECT
from shared.config import check, parse_config
from shared.errors import run_program
from shared.logging import get_logger, print_result, setup_logging

if TYPE_CHECKING:
    from torch import Tensor

    from model_optimization.classifier import Classifier
    from model_optimization.subject import Subject
    from model_optimization.texts import Texts
    from model_optimization.training import Batch

log = get_logger(__name__)

N_JUDGED = 512  # texts that the importance is asked of


@dataclass(frozen=True)
class StructuredConfig:
    """Remove the least important heads and neurons of a classifier."""

    run: str = SUBJECT
    """Folder of a trained classifier, or a hub name."""
    output: str = f"runs/{PROJECT}/structured"
    """Folder for the smaller classifier; what is there is replaced."""
    dataset: str = "rotten_tomatoes"
    """Texts to judge by and to train on between the rounds: a packaged set, a file, or a hub set."""
    heads: float = 0.5
    """Share of the heads to remove."""
    neurons: float = 0.5
    """Share of the feed-forward neurons to remove."""
    rounds: int = 3
    """Rounds, each followed by a training of `epochs`."""
    epochs: int = 1
    """Passes over the texts after each round."""
    learning_rate: float = 1e-4
    """Peak rate of these trainings."""
    seed: int = 0
    """Seed of the order of texts."""

    def __post_init__(self) -> None:
        for name in ("heads", "neurons"):
            share = getattr(self, name)
            check(0 <= share < 1, name, share, "give a share from 0 to below 1: of a layer something must be left")
        for name in ("rounds", "epochs"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give a whole number of at least 1")


class Parts(NamedTuple):
    """A number a head (H,) and a neuron (F,), a tensor a layer: importances, or masks of 0 and 1."""

    heads: "list[Tensor]"
    neurons: "list[Tensor]"


@contextmanager
def masked(model: "Classifier", masks: Parts) -> Iterator[None]:
    """Within the block, what the masks have as 0 counts nothing: the model that `remove` makes, at its old size."""
    handles = []
    for layer, heads, neurons in zip(model.layers, masks.heads, masks.neurons, strict=True):
        wide = heads.repeat_interleave(layer.head_width)  # (H * K,)
        handles.append(layer.attended.register_forward_pre_hook(lambda _, args, wide=wide: (args[0] * wide,)))
        handles.append(layer.down.register_forward_pre_hook(lambda _, args, mask=neurons: (args[0] * mask,)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def everything(model: "Classifier") -> Parts:
    """Masks that keep all."""
    import torch

    shape = model.shape
    return Parts([torch.ones(n) for n in shape.heads], [torch.ones(n) for n in shape.neurons])


def importance(model: "Classifier", batches: "Iterable[Batch]", labels: "Tensor") -> Parts:
    """How much the loss would change, to first order, without each head and neuron, summed over batches of texts whose
    `labels` are (N,) in all.

    Each layer's numbers are divided by their norm, else some layer would lose all (Michel et al., section 4.1).
    """
    import torch
    import torch.nn.functional as functional

    masks = Parts(*([mask.requires_grad_() for mask in part] for part in everything(model)))
    sums = Parts(*([torch.zeros_like(mask) for mask in part] for part in masks))
    with masked(model, masks):
        for batch in batches:
            logits = model(batch.input_ids, batch.attention_mask)
            loss = functional.cross_entropy(logits, labels[batch.places], reduction="sum")
            flat = [*masks.heads, *masks.neurons]
            for total, gradient in zip([*sums.heads, *sums.neurons], torch.autograd.grad(loss, flat), strict=True):
                total += gradient.abs()
    return Parts(*([total / total.norm().clamp_min(1e-12) for total in part] for part in sums))


def choose(scores: Parts, heads: float, neurons: float) -> Parts:
    """Masks without these shares of the heads and neurons, the least important of all layers; each layer keeps one."""
    return Parts(_least(scores.heads, heads), _least(scores.neurons, neurons))


def _least(scores: "list[Tensor]", share: float) -> "list[Tensor]":
    import torch

    kept = [torch.ones_like(layer) for layer in scores]
    places = sorted((float(value), i, j) for i, layer in enumerate(scores) for j, value in enumerate(layer))
    to_go = round(share * len(places))
    for _, i, j in places:
        if to_go and kept[i].sum() > 1:
            kept[i][j] = 0
            to_go -= 1
    return kept


def remove(model: "Classifier", masks: Parts) -> "Classifier":
    """The same model without what the masks have as 0. Its answers are those of the masked one."""
    from model_optimization.classifier import Classifier

    weights = model.state_dict()
    for i, (layer, heads, neurons) in enumerate(zip(model.layers, masks.heads, masks.neurons, strict=True)):
        rows = heads.repeat_interleave(layer.head_width).bool()  # (H * K,)
        for name in ("query", "key", "value"):
            for part in ("weight", "bias"):
                weights[f"layers.{i}.{name}.{part}"] = weights[f"layers.{i}.{name}.{part}"][rows]
        weights[f"layers.{i}.attended.weight"] = weights[f"layers.{i}.attended.weight"][:, rows]
        kept = neurons.bool()  # (F,)
        for part in ("weight", "bias"):
            weights[f"layers.{i}.up.{part}"] = weights[f"layers.{i}.up.{part}"][kept]
        weights[f"layers.{i}.down.weight"] = weights[f"layers.{i}.down.weight"][:, kept]
    sizes: dict[str, Any] = {name: tuple(int(mask.sum()) for mask in part) for name, part in masks._asdict().items()}
    smaller = Classifier(replace(model.shape, **sizes))
    smaller.load_state_dict(weights)
    return smaller.eval()


def prune(subject: "Subject", texts: "Texts", config: StructuredConfig, folder: Path) -> "Subject":
    """Remove the shares asked for in equal rounds, learning after each; what is finished in `folder` stays."""
    import torch

    from model_optimization.distillation.teacher_student import learn_from
    from model_optimization.subject import SHAPE, load_subject, save_subject
    from model_optimization.training import Recipe, first_windows, pad

    teacher, shape = subject, subject.model.shape
    windows = first_windows(subject, texts.train)
    labels = torch.tensor([example.label for example in texts.train])
    places = sorted(range(0, len(windows), max(1, len(windows) // N_JUDGED)), key=lambda place: len(windows[place]))
    recipe = Recipe(epochs=config.epochs, learning_rate=config.learning_rate, seed=config.seed)
    for turn in range(1, config.rounds + 1):
        done = folder / f"round-{turn}"
        if (done / SHAPE).is_file():
            subject = load_subject(done)
            continue
        batches = (pad(windows, places[i : i + 32]) for i in range(0, len(places), 32))
        scores = importance(subject.model, batches, labels)
        shares = {}
        for name in ("heads", "neurons"):
            left = sum(getattr(subject.model.shape, name)) / sum(getattr(shape, name))
            shares[name] = max(0.0, 1 - (1 - getattr(config, name) * turn / config.rounds) / left)
        subject = subject.with_model(remove(subject.model, choose(scores, **shares)))
        log.info("round %d: heads %s, neurons %s", turn, subject.model.shape.heads, subject.model.shape.neurons)
        subject = learn_from(teacher, subject, texts.train, recipe, done / "checkpoint.safetensors")
        save_subject(subject, done)
    return subject


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(StructuredConfig, argv, prog=f"python -m {PROJECT}.pruning.structured_pruning")
    setup_logging()
    from model_optimization.classifier import n_parameters
    from model_optimization.subject import load_subject, save_subject
    from model_optimization.texts import load_texts

    subject = load_subject(config.run)
    texts = load_texts(config.dataset, subject.trained_on, len(subject.label_names))
    smaller = prune(subject, texts, config, Path(config.output))
    save_subject(smaller, Path(config.output))
    sizes = {"params": n_parameters(smaller.model), "params_before": n_parameters(subject.model)}
    print_result({"classifier": config.output, **sizes, **asdict(smaller.model.shape)})


if __name__ == "__main__":
    run_program(main)
