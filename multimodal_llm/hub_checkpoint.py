"""A checkpoint of the hub in its parts, by transformers' own classes: model, tokenizer, and what prepares the pictures.

Pictures are prepared by the `...ImageProcessorPil` classes, which need no torchvision. Every fault of a folder, from a
missing file to weights of another shape, becomes one line.
"""

from pathlib import Path
from typing import Any, NamedTuple

from shared.devices import choose_device
from shared.errors import UserError
from shared.hub import resolve_model
from shared.runs import read_json


class Checkpoint(NamedTuple):
    """A model on its device, and what turns texts and pictures into its inputs."""

    model: Any
    tokenizer: Any
    pictures: Any
    missing: list[str]
    """Weights that the file did not hold, and that are therefore noise."""


def find_checkpoint(name: str, suggestion: str) -> tuple[Path, dict[str, Any]]:
    """The folder of this path or hub name, and its config.json. Raises UserError where there is none.

    `suggestion` is what to use instead, which needs no hub.
    """
    folder = resolve_model(name, suggestion=suggestion)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{name}: no config.json in it, so no model: give a model's folder or hub name, or {suggestion}"
        )
    settings = read_json(folder / "config.json")
    if not isinstance(settings, dict):
        raise UserError(f"{name}: its config.json is no model's: give another folder, or {suggestion}")
    return folder, settings


def load_checkpoint(
    name: str, folder: Path, model_class: Any, pictures_class: Any, suggestion: str, device: str = "auto"
) -> Checkpoint:
    """The parts of the checkpoint in this folder. Raises UserError where one is missing, damaged or another's."""
    from transformers import AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        # Safetensors only: other formats would be unpickled.
        model, report = model_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        pictures = pictures_class.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever a damaged file makes transformers raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{name}: no {model_class.__name__} can be loaded from it ({reason}): use {suggestion}"
        ) from error
    return Checkpoint(model.eval().to(choose_device(device).value), tokenizer, pictures, sorted(report["missing_keys"]))
