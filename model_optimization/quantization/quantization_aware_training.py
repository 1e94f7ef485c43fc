"""Quantization-aware training: the model learns on while its weights and activations are rounded as they will be.

python -m model_optimization.quantization.quantization_aware_training --run RUN --output FOLDER

torchao puts a rounding to int8 and back in every linear layer (Jacob et al. 2018, arXiv 1712.05877, section 3): weights
by column and symmetric, activations by token with a zero point. Rounding has no gradient, so it is passed through as if
nothing had been rounded (Bengio et al. 2013, arXiv 1308.3432). The model learns its own whole answers back, and what
leaves is an ordinary classifier whose weights bear rounding better. It is then quantized like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_optimization.config import PROJECT, SUBJECT
from shared.config import parse_config
from shared.errors import UserError, run_program
from shared.logging import print_result, setup_logging

if TYPE_CHECKING:
    from torch import nn

    from model_optimization.subject import Subject
    from model_optimization.training import Recipe
    from shared.datasets import Example


@dataclass(frozen=True)
class AwareConfig:
    """Train a classifier to bear int8."""

    run: str = SUBJECT
    """Folder of a trained classifier, or a hub name."""
    output: str = f"runs/{PROJECT}/int8_aware"
    """Folder for the int8 variant; the trained classifier goes beside it, to `_classifier`."""
    dataset: str = "rotten_tomatoes"
    """Texts to learn on: the training part of a packaged set, a file, or a hub set."""
    epochs: int = 1
    """Passes over the texts."""
    learning_rate: float = 2e-5
    """Peak rate; the model is trained already."""
    seed: int = 0
    """Seed of the order of texts."""


def train_aware(subject: "Subject", examples: "Sequence[Example]", recipe: "Recipe", checkpoint: Path) -> "Subject":
    """A classifier that learned to say under rounding what the subject says without.

    Raises UserError where torchao is missing.
    """
    import copy

    from model_optimization.distillation.teacher_student import learn_from

    student = subject.with_model(copy.deepcopy(subject.model))
    round_while_training(student.model)
    learned = learn_from(subject, student, examples, recipe, checkpoint)
    round_no_more(learned.model)
    return learned


def round_while_training(model: "nn.Module") -> None:
    """Let every linear layer compute with weights and inputs rounded to int8."""
    import torch

    quantize_, aware = _torchao()
    from torchao.quantization.qat import IntxFakeQuantizeConfig

    by_token = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
    by_column = IntxFakeQuantizeConfig(torch.int8, "per_channel", is_symmetric=True)
    quantize_(model, aware(activation_config=by_token, weight_config=by_column, step="prepare"))


def round_no_more(model: "nn.Module") -> None:
    """Ordinary linear layers again, with the weights that were learned."""
    quantize_, aware = _torchao()
    quantize_(model, aware(step="convert"))


def _torchao():
    try:
        from torchao.quantization import quantize_
        from torchao.quantization.qat import QATConfig
    except ImportError as error:
        raise UserError(
            "quantization-aware training needs torchao: run `pip install -r model_optimization/requirements.txt`"
        ) from error
    return quantize_, QATConfig


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(AwareConfig, argv, prog=f"python -m {PROJECT}.quantization.quantization_aware_training")
    setup_logging()
    from model_optimization.deployment.onnx_conversion import convert
    from model_optimization.quantization.dynamic_quantization import quantize_dynamically
    from model_optimization.subject import load_subject, save_subject
    from model_optimization.texts import load_texts
    from model_optimization.training import Recipe

    subject = load_subject(config.run)
    texts = load_texts(config.dataset, subject.trained_on, len(subject.label_names))
    recipe = Recipe(epochs=config.epochs, learning_rate=config.learning_rate, seed=config.seed)
    folder = Path(config.output)
    trained = folder.with_name(f"{folder.name}_classifier")
    learned = train_aware(subject, texts.train, recipe, trained / "checkpoint.safetensors")
    save_subject(learned, trained)
    whole = convert(learned, folder.with_name(f"{folder.name}_fp32_onnx"))
    variant = quantize_dynamically(whole, folder)
    print_result({"variant": str(folder), "classifier": str(trained), "size_mb": variant.size_mb})


if __name__ == "__main__":
    run_program(main)
