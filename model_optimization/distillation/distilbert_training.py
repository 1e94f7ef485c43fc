"""DistilBERT's recipe: a student of half the layers learns the teacher's language before it learns any task.

python -m model_optimization.distillation.distilbert_training --output FOLDER
python -m model_optimization.distillation.distilbert_training --teacher bert-base-uncased --layers 0,2,4,6,8,10

Words of a text are hidden, and both guess them (Sanh et al. 2019, arXiv 1910.01108, section 2). The student's loss has
three parts, weighted as in the authors' code: 5 times the cross-entropy with the teacher's softened guesses, 2 times
that with the words themselves, and once the cosine between the two last hidden states. It starts from every other layer
of the teacher. After that it learns to classify from labels alone, as DistilBERT does; the same student without the
first part does so too, and what the recipe brings is the difference.

The packaged encoder comes without the head that guesses words, as its authors trained it for similarity: one is trained
first, tied to the word vectors (`--head_epochs`). A BERT by its hub name brings its own.

Letters in shapes: B texts, T tokens, D width, V pieces of the vocabulary, M hidden words of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from model_optimization.config import PROJECT
from shared.config import check, parse_config
from shared.errors import run_program
from shared.logging import get_logger, print_result, setup_logging

if TYPE_CHECKING:
    import torch

    from model_optimization.masked_model import MaskedModel

log = get_logger(__name__)

SOFT, HARD, COSINE = 5.0, 2.0, 1.0  # alpha_ce, alpha_mlm and alpha_cos of the authors' code


@dataclass(frozen=True)
class DistilBertConfig:
    """Teach a student the teacher's language, then a task, beside the same student without the first."""

    teacher: str = "minilm"
    """The packaged encoder, or a BERT with a head that guesses words, by path or hub name."""
    layers: str = "0,2,4"
    """The teacher's layers that the student starts from, counted from 0."""
    dataset: str = "rotten_tomatoes"
    """The task: a packaged set, a file, or a hub set."""
    output: str = f"runs/{PROJECT}/distilbert"
    """Folder for head, student and both classifiers; what is finished there is not made again."""
    n: int = 20_000
    """Reviews and sentences on films to guess words in."""
    head_epochs: int = 1
    """Passes in which the teacher's head learns to guess, where it has none."""
    epochs: int = 2
    """Passes in which the student learns from the teacher."""
    task_epochs: int = 3
    """Passes over the task's labels."""
    max_length: int = 128
    """Tokens of a text that are read here."""
    temperature: float = 2.0
    """Above 1 the teacher's guesses are softened."""
    learning_rate: float = 5e-4
    """Peak rate of head and student."""
    seed: int = 0
    """Seed of the order of texts, the hidden words and the new layers."""

    def __post_init__(self) -> None:
        check(self.temperature > 0, "temperature", self.temperature, "give a number above 0")
        check(self.max_length >= 8, "max_length", self.max_length, "give at least 8 tokens")
        for name in ("n", "head_epochs", "epochs", "task_epochs"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give a whole number of at least 1")


def cosine_loss(student: "torch.Tensor", teacher: "torch.Tensor") -> "torch.Tensor":
    """Hidden states (M, D) of both to 1 minus their cosine, on average."""
    import torch.nn.functional as functional

    return 1 - functional.cosine_similarity(student, teacher, -1).mean()


def train_head(teacher: "MaskedModel", windows: Sequence[list[int]], config: DistilBertConfig, folder: Path) -> None:
    """Let the head learn to guess hidden words, the encoder staying as it is."""
    import torch.nn.functional as functional

    from model_optimization.masked_model import hide_words
    from model_optimization.training import Batch, Recipe, fit

    teacher.encoder.requires_grad_(False)

    def loss(batch: Batch) -> "torch.Tensor":
        hidden = hide_words(batch, teacher.words, config.seed)
        return functional.cross_entropy(teacher(hidden).logits, hidden.words)

    recipe = Recipe(epochs=config.head_epochs, learning_rate=config.learning_rate, seed=config.seed)
    fit(teacher, windows, loss, recipe, folder / "head-checkpoint.safetensors", "the teacher learns to guess")
    teacher.encoder.requires_grad_(True)


def pretrain(
    teacher: "MaskedModel", student: "MaskedModel", windows: Sequence[list[int]], config: DistilBertConfig, folder: Path
) -> None:
    """Train the student in place by the three losses."""
    import torch
    import torch.nn.functional as functional

    from model_optimization.distillation.teacher_student import soft_target_loss
    from model_optimization.masked_model import hide_words
    from model_optimization.training import Batch, Recipe, fit

    teacher.eval().requires_grad_(False)

    def loss(batch: Batch) -> torch.Tensor:
        hidden = hide_words(batch, teacher.words, config.seed)
        with torch.no_grad():
            told = teacher.to(batch.places.device)(hidden)
        guessed = student(hidden)
        soft = soft_target_loss(guessed.logits, told.logits, config.temperature)
        hard = functional.cross_entropy(guessed.logits, hidden.words)
        return SOFT * soft + HARD * hard + COSINE * cosine_loss(guessed.states, told.states)

    recipe = Recipe(epochs=config.epochs, learning_rate=config.learning_rate, seed=config.seed)
    fit(student, windows, loss, recipe, folder / "student-checkpoint.safetensors", "the student learns to guess")


def distilbert(config: DistilBertConfig) -> dict[str, float]:
    """Accuracy on the task's validation texts: `distilled` and `not_distilled`, the same student without the recipe."""
    import copy

    from model_optimization.distillation.teacher_student import learn_alone, parse_layers, take_layers
    from model_optimization.fidelity import validation_accuracy
    from model_optimization.masked_model import MaskedModel, load_masked_model
    from model_optimization.subject import SHAPE, load_subject, save_subject
    from model_optimization.texts import film_texts, load_texts
    from model_optimization.training import Recipe, first_windows
    from shared.datasets import Example
    from shared.devices import seed_everything

    seed_everything(config.seed)
    folder = Path(config.output)
    teacher, subject = load_masked_model(config.teacher, config.max_length)
    texts = load_texts(config.dataset, subject.trained_on, len(subject.label_names))
    chosen = [Example(text) for text in _evenly(film_texts(), config.n)]
    windows = first_windows(subject, chosen)
    layers = parse_layers(config.layers)
    start = subject.with_model(take_layers(teacher.encoder, layers))
    recipe = Recipe(epochs=config.task_epochs, learning_rate=1e-4, seed=config.seed)
    found = {}
    for name in ("distilled", "not_distilled"):
        if not (folder / name / SHAPE).is_file():
            student = start
            if name == "distilled":
                if not teacher.has_head:
                    train_head(teacher, windows, config, folder)
                model = MaskedModel(copy.deepcopy(start.model), teacher.words)
                model.head.load_state_dict(teacher.head.state_dict())
                pretrain(teacher, model, windows, config, folder)
                student = start.with_model(model.encoder)
            learned = learn_alone(student, texts.train, recipe, folder / name / "checkpoint.safetensors")
            save_subject(replace(learned, trained_on=frozenset()), folder / name)
        found[name] = validation_accuracy(load_subject(folder / name), texts.validation)
        log.info("%s: %.3f of the validation texts", name, found[name])
    return found


def _evenly(texts: Sequence[str], n: int) -> list[str]:
    step = max(1, len(texts) // n)
    return list(texts[::step][:n])


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(DistilBertConfig, argv, prog=f"python -m {PROJECT}.distillation.distilbert_training")
    setup_logging()
    found = distilbert(config)
    print_result({"classifiers": config.output, "layers": config.layers, "validation_accuracy": found})


if __name__ == "__main__":
    run_program(main)
