"""A training's state in one safetensors file, and a finished model beside its tokenizer.

checkpoint.safetensors  weights, optimizer state, step: what resuming needs, replaced as a whole or not at all
model.safetensors       weights alone: what using the model needs
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shared.config import build
from shared.errors import UserError, reason_of
from shared.files import atomic_path
from shared.runs import RunFolder
from transformer_from_scratch.config import TrainingConfig
from transformer_from_scratch.tokenizer import CharTokenizer
from transformer_from_scratch.transformer_block import LanguageModel

CHECKPOINT, MODEL = "checkpoint.safetensors", "model.safetensors"


def save_checkpoint(
    folder: Path, model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], step: int, seconds: float
) -> None:
    """Save what `load_checkpoint` needs to go on at `step`. No random state: batches and dropout follow the step."""
    tensors = {f"model.{name}": weight for name, weight in _weights(model).items()}
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{index}.{name}": value for name, value in state.items()}
    _save(tensors, folder / CHECKPOINT, {"step": str(step), "seconds": str(seconds)})


def load_checkpoint(folder: Path, model: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> tuple[int, float]:
    """Put weights and optimizer state back; give the step to go on from and the seconds spent so far.

    Raises UserError where the file is missing, damaged or of another shape.
    """
    file = folder / CHECKPOINT
    if not file.exists():
        raise UserError(f"--resume {folder}: no checkpoint here yet: train anew, without --resume")
    tensors, metadata = _load(file)
    _put_weights(model, {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}, file)
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            kind, *place = name.split(".")
            if kind == "optimizer" and place[0] == str(number):
                state.setdefault(int(place[1]), {})[place[2]] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    try:
        return int(metadata["step"]), float(metadata["seconds"])
    except (KeyError, ValueError) as error:
        raise UserError(f"{file}: damaged, it does not say its step: train anew") from error


def save_model(folder: Path, model: nn.Module) -> None:
    """Save the weights alone."""
    _save(_weights(model), folder / MODEL, {})


def load_model(folder: Path | str) -> tuple[LanguageModel, CharTokenizer]:
    """A trained model, ready to generate, and its tokenizer.

    Raises UserError where the folder is no run, or its files are missing, damaged or do not belong together.
    """
    run = RunFolder.open(folder)
    config = build(TrainingConfig, run.config())
    tokenizer = CharTokenizer.load(run.path)
    file = run.path / MODEL
    if not file.exists():
        raise UserError(f"{folder}: no trained model yet: let the training end, or continue it by --resume {folder}")
    try:
        model = LanguageModel(config, len(tokenizer))
    except RuntimeError as error:  # no memory for what a damaged file asks for
        raise UserError(f"{folder}: no model of its shape can be made ({reason_of(error):.100}): restore it") from error
    _put_weights(model, _load(file)[0], file)
    return model.eval(), tokenizer


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Each parameter once: the output layer that is tied to the embedding is left out."""
    return {name: weight.detach() for name, weight in model.named_parameters()}


def _put_weights(model: nn.Module, weights: dict[str, Tensor], file: Path) -> None:
    here = _weights(model)
    wrong = [name for name in here.keys() | weights.keys() if _shape(here, name) != _shape(weights, name)]
    if wrong:
        raise UserError(f"{file}: does not fit the settings beside it ({min(wrong)}): restore the run's own files")
    for name, weight in here.items():
        weight.copy_(weights[name])


def _shape(weights: dict[str, Tensor], name: str) -> torch.Size | None:
    return weights[name].shape if name in weights else None


def _save(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str]) -> None:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(file) as draft:
        save_file(contiguous, draft, metadata)


def _load(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(file, "pt") as opened:
            return load_file(file), opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: damaged or unreadable ({error}): restore it or train anew") from error
