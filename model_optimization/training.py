"""The loop in which every method here trains: a model, batches of texts of similar length, a loss, and nothing else.

No dropout and no state but weights and moments, and an order that follows from the seed alone: a training that was
interrupted goes on bit for bit from its last checkpoint.
"""

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from model_optimization.runtime import Reader
from model_optimization.subject import Subject
from shared.config import check
from shared.datasets import Example
from shared.devices import choose_device, choose_precision, keep_freed_memory
from shared.files import atomic_path
from shared.interrupt import StopRequest
from shared.logging import get_logger, progress_bar

log = get_logger(__name__)

GROUP = 50  # batches within which texts are sorted by length
CHECKPOINT_EVERY = 200  # steps
MOMENTS = ("exp_avg", "exp_avg_sq")  # AdamW's two averages of the gradient


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    epochs: int = 2
    """Passes over the texts."""
    batch_size: int = 32
    """Texts a step."""
    learning_rate: float = 1e-4
    """Peak rate: it rises over a tenth of the steps, and falls to 0 in a straight line."""
    weight_decay: float = 0.01
    """Pull of the matrices towards zero."""
    seed: int = 0
    """Seed of the order of texts."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give a whole number of at least 1")
        check(self.learning_rate > 0, "learning_rate", self.learning_rate, "give a number above 0")
        check(self.weight_decay >= 0, "weight_decay", self.weight_decay, "give 0 or more")


class Batch(NamedTuple):
    """Token ids and mask (B, T), which texts they are (B,), by their place in the list, and at which step they came."""

    input_ids: Tensor
    attention_mask: Tensor
    places: Tensor
    step: int = 0


def fit(
    model: nn.Module,
    windows: Sequence[list[int]],
    loss: Callable[[Batch], Tensor],
    recipe: Recipe,
    checkpoint: Path | None = None,
    title: str = "training",
    about: str = "",
) -> nn.Module:
    """Train the weights of `model` that require a gradient, in place, and return it in evaluation mode.

    `windows` are token ids of texts. With a `checkpoint` file it is written now and then, gone on from where there is
    one of the same training, and removed at the end; `about` says what else than recipe, model and texts makes a
    training the same. Raises KeyboardInterrupt after Ctrl-C, once that is written.
    """
    keep_freed_memory()
    device = choose_device().value
    precision = choose_precision("auto", device, model.shape.width if hasattr(model, "shape") else 0).value
    model.to(device).train()
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    decayed = [weight for weight in weights.values() if weight.ndim > 1]
    rest = [weight for weight in weights.values() if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    n_steps = math.ceil(len(windows) / recipe.batch_size) * recipe.epochs
    texts = hashlib.sha256(repr(windows).encode()).hexdigest()
    training = f"{recipe} on {texts} {about}"
    step = _restore(checkpoint, weights, optimizer, training) if checkpoint and checkpoint.exists() else 0
    with StopRequest() as stop, progress_bar(title, n_steps, done=step) as update:
        for places in _order(windows, recipe, skip=step):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * _schedule(step, n_steps)
            batch = pad(windows, places, device)._replace(step=step)
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                found = loss(batch)
            optimizer.zero_grad()
            found.backward()
            nn.utils.clip_grad_norm_(weights.values(), 1.0)
            optimizer.step()
            step += 1
            update(done=step, note=f"loss {found.item():.3f}" if step % 10 == 0 else "")
            if checkpoint and (stop.requested or step % CHECKPOINT_EVERY == 0):
                _keep(checkpoint, weights, optimizer, training, step)
            if stop.requested:
                log.info("stopped at step %d: the same command goes on from the last checkpoint", step)
                raise KeyboardInterrupt
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return model.to("cpu").eval()


def first_windows(subject: Subject, examples: Sequence[Example]) -> list[list[int]]:
    """The token ids of each text, of a long one those of its first window: enough to learn from."""
    reader = Reader(subject.tokenizer, subject.max_length)
    return [windows[0] for windows in reader.windows([example.text for example in examples])]


def pad(windows: Sequence[list[int]], places: Sequence[int], device: str = "cpu") -> Batch:
    """The texts at these places as one batch. Padding has the id 0; the mask hides it."""
    width = max(len(windows[place]) for place in places)
    ids = torch.zeros((len(places), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, place in enumerate(places):
        ids[row, : len(windows[place])] = torch.tensor(windows[place])
        mask[row, : len(windows[place])] = 1
    return Batch(ids.to(device), mask.to(device), torch.tensor(places, device=device))


def _order(windows: Sequence[list[int]], recipe: Recipe, skip: int) -> Iterator[list[int]]:
    """The texts of every step, but of the first `skip`: all of them once an epoch, in batches of similar length."""
    for epoch in range(recipe.epochs):
        draw = random.Random(recipe.seed * 1_000_003 + epoch)
        places = draw.sample(range(len(windows)), len(windows))
        size = GROUP * recipe.batch_size
        groups = [sorted(places[i : i + size], key=lambda at: len(windows[at])) for i in range(0, len(places), size)]
        steps = [g[i : i + recipe.batch_size] for g in groups for i in range(0, len(g), recipe.batch_size)]
        draw.shuffle(steps)
        yield from steps[skip:]
        skip = max(0, skip - len(steps))


def _schedule(step: int, n_steps: int) -> float:
    """The share of the peak rate at this step."""
    warm_up = max(1, n_steps // 10)
    return (step + 1) / warm_up if step < warm_up else (n_steps - step) / max(1, n_steps - warm_up)


Weights = dict[str, nn.Parameter]


def _keep(file: Path, weights: Weights, optimizer: torch.optim.Optimizer, training: str, step: int) -> None:
    tensors = {f"weight {name}": weight.detach() for name, weight in weights.items()}
    for name, weight in weights.items():
        # A weight that the loss does not use has no gradient, and so no moments.
        state = optimizer.state.get(weight, {})
        tensors |= {f"{moment} {name}": state[moment] for moment in MOMENTS if state}
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as draft:
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            draft,
            {"training": training, "step": str(step)},
        )


@torch.no_grad()
def _restore(file: Path, weights: Weights, optimizer: torch.optim.Optimizer, training: str) -> int:
    """Put everything back and give the step. The checkpoint of another training is passed over, as is a damaged one."""
    try:
        with safe_open(file, "pt") as stored:
            told = stored.metadata() or {}
            found = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118, not a dict
    except (SafetensorError, OSError):
        told, found = {}, {}
    fits = all(f"weight {name}" in found and found[f"weight {name}"].shape == w.shape for name, w in weights.items())
    if told.get("training") != training or not fits:
        log.warning("%s is of another training: beginning anew", file)
        return 0
    step = int(told["step"])
    for name, weight in weights.items():
        weight.copy_(found[f"weight {name}"])
        if f"{MOMENTS[0]} {name}" not in found:
            continue
        moments = {moment: found[f"{moment} {name}"].to(weight.device) for moment in MOMENTS}
        optimizer.state[weight] = {"step": torch.tensor(float(step), device=weight.device), **moments}
    return step
