"""A small student learns from a large teacher: from its answers, and from what happens inside it.

python -m model_optimization.distillation.teacher_student --run RUN --output FOLDER --layers 0,2,5

Three losses, each with its weight:
- soft targets: the cross-entropy with the teacher's probabilities at a temperature, times its square, so that the
  gradient keeps its size (Hinton et al. 2015, arXiv 1503.02531, section 2);
- hidden states: the squared difference of a student's layer from the teacher's layer that it stands for (TinyBERT,
  arXiv 1909.10351, equation 8; the widths are equal here, so that no matrix has to bring one to the other);
- attention: the squared difference of their scores before the softmax (the same, equation 7).

Teacher and student read any text, labelled or not: sentences of film reviews teach the more, the more there are. The
student starts from the teacher's own layers (DistilBERT, arXiv 1910.01108, section 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_optimization.config import PROJECT, SUBJECT
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.logging import print_result, setup_logging

if TYPE_CHECKING:
    from torch import Tensor

    from model_optimization.classifier import Classifier, Inside
    from model_optimization.subject import Subject
    from model_optimization.training import Recipe
    from shared.datasets import Example


@dataclass(frozen=True)
class DistilConfig:
    """Let a student of fewer layers learn from a classifier."""

    run: str = SUBJECT
    """Folder of the teacher, a trained classifier, or a hub name."""
    output: str = f"runs/{PROJECT}/student"
    """Folder for the student; what is there is replaced."""
    layers: str = "0,2,5"
    """The teacher's layers that the student starts from, and stands for, counted from 0."""
    dataset: str = "rotten_tomatoes"
    """Texts with labels: a packaged set, a file, or a hub set."""
    sentences: int = 40_000
    """Sentences of film reviews to learn from as well, without their labels; 0 for none."""
    teacher: bool = True
    """Learn from the teacher; false trains the same student on the labels alone, for comparison."""
    temperature: float = 2.0
    """Above 1 the teacher's probabilities are softened, and say more of the other classes."""
    hidden: float = 1.0
    """Weight of the hidden states."""
    attention: float = 0.0
    """Weight of the attention scores."""
    epochs: int = 3
    """Passes over the texts."""
    learning_rate: float = 2e-4
    """Peak rate."""
    seed: int = 0
    """Seed of the order of texts."""

    def __post_init__(self) -> None:
        check(self.temperature > 0, "temperature", self.temperature, "give a number above 0")
        for name in ("sentences", "hidden", "attention"):
            check(getattr(self, name) >= 0, name, getattr(self, name), "give 0 or more")


@dataclass(frozen=True)
class Weights:
    """How much each loss counts."""

    temperature: float = 2.0
    hidden: float = 0.0
    attention: float = 0.0


def soft_target_loss(student: "Tensor", teacher: "Tensor", temperature: float) -> "Tensor":
    """Logits (B, C) of both to the mean cross-entropy with softened probabilities, times the temperature squared."""
    import torch.nn.functional as functional

    targets = functional.softmax(teacher / temperature, -1)
    return functional.cross_entropy(student / temperature, targets) * temperature**2


def hidden_loss(student: "Inside", teacher: "Inside", layers: Sequence[int], mask: "Tensor") -> "Tensor":
    """Mean squared difference of the hidden states over real tokens: of the embeddings, and of each pair of layers."""
    pairs = [(0, 0), *((i + 1, layer + 1) for i, layer in enumerate(layers))]  # hidden states start at the embeddings
    real = mask.bool()  # (B, T)
    differences = [(student.hidden[i] - teacher.hidden[j])[real].square().mean() for i, j in pairs]
    return sum(differences) / len(differences)


def attention_loss(student: "Inside", teacher: "Inside", layers: Sequence[int], mask: "Tensor") -> "Tensor":
    """Mean squared difference of the scores between real tokens. Raises UserError for other numbers of heads."""
    real = (mask[:, None, :, None] * mask[:, None, None, :]).bool()  # (B, 1, T, T)
    differences = []
    for i, layer in enumerate(layers):
        ours, theirs = student.scores[i], teacher.scores[layer]  # (B, H, T, T)
        if ours.shape != theirs.shape:
            raise UserError(
                f"attention: layer {i} of the student has {ours.shape[1]} heads, layer {layer} of the teacher "
                f"{theirs.shape[1]}: leave the attention out"
            )
        differences.append((ours - theirs)[real.expand_as(ours)].square().mean())
    return sum(differences) / len(differences)


def take_layers(teacher: "Classifier", layers: Sequence[int]) -> "Classifier":
    """A student with these layers of the teacher. Raises UserError for one that is not shallower, or is not there."""
    from model_optimization.classifier import Classifier

    n = teacher.shape.n_layers
    if not layers or len(layers) >= n or list(layers) != sorted(set(layers)) or not 0 <= layers[0] <= layers[-1] < n:
        raise UserError(
            f"--layers {','.join(map(str, layers))}: give fewer than the teacher's {n} layers, each once and in order, "
            f"from 0 to {n - 1}"
        )
    sizes: dict[str, Any] = {
        name: tuple(getattr(teacher.shape, name)[layer] for layer in layers) for name in ("heads", "neurons")
    }
    student = Classifier(replace(teacher.shape, **sizes))
    renamed = {}
    for name, weight in teacher.state_dict().items():
        if name.startswith("layers."):
            _, layer, rest = name.split(".", 2)
            if int(layer) not in layers:
                continue
            name = f"layers.{layers.index(int(layer))}.{rest}"
        renamed[name] = weight
    student.load_state_dict(renamed)
    return student.eval()


def learn_from(
    teacher: "Subject",
    student: "Subject",
    examples: "Sequence[Example]",
    recipe: "Recipe",
    checkpoint: Path,
    weights: Weights = Weights(),
    layers: Sequence[int] = (),
) -> "Subject":
    """Train a copy of the student on the teacher's answers to these texts.

    `layers` are those of the teacher that the student's stand for. Both may have tokenizers of their own as long as
    only the answers count.
    """
    import copy

    import torch

    from model_optimization.training import Batch, first_windows, fit, pad
    from shared.leaks import text_ids

    theirs, ours = (first_windows(subject, examples) for subject in (teacher, student))
    model = copy.deepcopy(student.model)
    frozen = copy.deepcopy(teacher.model).eval()

    def loss(batch: Batch) -> torch.Tensor:
        frozen.to(batch.places.device)
        asked = pad(theirs, batch.places.tolist(), str(batch.places.device))
        with torch.no_grad():
            told = frozen.look_inside(asked.input_ids, asked.attention_mask)
        found = model.look_inside(batch.input_ids, batch.attention_mask)
        total = soft_target_loss(found.logits, told.logits, weights.temperature)
        if weights.hidden:
            total = total + weights.hidden * hidden_loss(found, told, layers, batch.attention_mask)
        if weights.attention:
            total = total + weights.attention * attention_loss(found, told, layers, batch.attention_mask)
        return total

    told_by = f"{teacher.fingerprint()} {weights} {layers}"
    fit(model, ours, loss, recipe, checkpoint, "learning from the teacher", told_by)
    return student.with_model(model, text_ids(example.text for example in examples))


def learn_alone(student: "Subject", examples: "Sequence[Example]", recipe: "Recipe", checkpoint: Path) -> "Subject":
    """Train a copy of the student on the labels of these texts."""
    import copy

    import torch
    import torch.nn.functional as functional

    from model_optimization.training import Batch, first_windows, fit
    from shared.leaks import text_ids

    model = copy.deepcopy(student.model)
    labels = torch.tensor([example.label for example in examples])

    def loss(batch: Batch) -> torch.Tensor:
        logits = model(batch.input_ids, batch.attention_mask)
        return functional.cross_entropy(logits, labels.to(batch.places.device)[batch.places])

    fit(model, first_windows(student, examples), loss, recipe, checkpoint, "learning from the labels")
    return student.with_model(model, text_ids(example.text for example in examples))


def distil(teacher: "Subject", config: DistilConfig, folder: Path) -> "Subject":
    """The student of a configuration. `folder` is for the checkpoint."""
    from model_optimization.texts import film_sentences, load_texts
    from model_optimization.training import Recipe

    layers = parse_layers(config.layers)
    student = teacher.with_model(take_layers(teacher.model, layers))
    texts = load_texts(config.dataset, teacher.trained_on, len(teacher.label_names))
    recipe = Recipe(epochs=config.epochs, learning_rate=config.learning_rate, seed=config.seed)
    checkpoint = folder / "checkpoint.safetensors"
    if not config.teacher:
        return learn_alone(student, texts.train, recipe, checkpoint)
    examples = [*texts.train, *film_sentences(config.sentences, config.seed)]
    weights = Weights(config.temperature, config.hidden, config.attention)
    return learn_from(teacher, student, examples, recipe, checkpoint, weights, layers)


def parse_layers(text: str) -> list[int]:
    """`0,2,5` as numbers of layers. Raises UserError for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--layers {text}: give whole numbers with commas between, such as 0,2,5") from None


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(DistilConfig, argv, prog=f"python -m {PROJECT}.distillation.teacher_student")
    setup_logging()
    from model_optimization.classifier import n_parameters
    from model_optimization.subject import load_subject, save_subject

    teacher = load_subject(config.run)
    student = distil(teacher, config, Path(config.output))
    save_subject(student, Path(config.output))
    sizes = {"params": n_parameters(student.model), "teacher_params": n_parameters(teacher.model)}
    print_result({"classifier": config.output, "layers": config.layers, **sizes})


if __name__ == "__main__":
    run_program(main)
