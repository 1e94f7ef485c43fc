"""The small student: three of six layers, and a shorter and narrower table of word vectors. And the one that ships.

python -m model_optimization.shipped_student                     both steps and the card, some 40 minutes on 2 cores

Step 1 takes three layers of the teacher, without the pieces that film reviews never use, and lets them learn from it.
Step 2 drops the rare pieces too, writes the rest of the table as a product of two thin ones, and lets the result learn
on. Each is a training that can be interrupted and goes on; what is finished below --output is not done again.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model_optimization.config import PROJECT, STUDENT, SUBJECT
from shared.config import parse_config
from shared.errors import run_program
from shared.files import write_json, write_text
from shared.logging import print_result, setup_logging

if TYPE_CHECKING:
    from model_optimization.subject import Subject
    from model_optimization.texts import Texts

SENTENCES = 40_000  # of film reviews, without labels
AT_LEAST, AT_LEAST_AFTER = 5, 20  # occurrences of a piece that is kept, in each step
WORD_WIDTH = 128
EPOCHS, EPOCHS_AFTER = 3, 2
SUMMARY = "summary.json"


@dataclass(frozen=True)
class StudentConfig:
    """Make the student that ships anew."""

    output: str = f"runs/{PROJECT}/shipped_student"
    """Folder for the two steps; what is finished there is used."""
    seed: int = 0
    """Seed of the order of texts."""


def make_student(teacher: "Subject", texts: "Texts", folder: Path, seed: int = 0) -> "Subject":
    """Both steps, learning from the texts' training part and from film sentences without labels."""
    from model_optimization.distillation.teacher_student import DistilConfig, distil, learn_from
    from model_optimization.pruning.vocabulary import factorise, trim
    from model_optimization.subject import SHAPE, load_subject, save_subject
    from model_optimization.texts import film_sentences, film_texts
    from model_optimization.training import Recipe

    large = folder / "step_1"
    if not (large / SHAPE).is_file():
        layers = ",".join(map(str, half_of_the_layers(teacher)))
        config = DistilConfig(dataset=texts.name, layers=layers, sentences=SENTENCES, epochs=EPOCHS, seed=seed)
        save_subject(distil(trim(teacher, film_texts(), AT_LEAST), config, large), large)
    small = factorise(trim(load_subject(large), film_texts(), AT_LEAST_AFTER), WORD_WIDTH)
    examples = [*texts.train, *film_sentences(SENTENCES, seed)]
    recipe = Recipe(epochs=EPOCHS_AFTER, learning_rate=2e-4, seed=seed)
    return learn_from(teacher, small, examples, recipe, folder / "checkpoint.safetensors")


def half_of_the_layers(teacher: "Subject") -> list[int]:
    """Evenly spread, the first and the last among them: of six 0, 2 and 5."""
    n = teacher.model.shape.n_layers
    return np.linspace(0, n - 1, max(1, n // 2)).astype(int).tolist()


def make_student_alone(teacher: "Subject", texts: "Texts", folder: Path, seed: int = 0) -> "Subject":
    """One of the same shape and start that learns from the labels alone, to show what the teacher is worth."""
    from model_optimization.distillation.teacher_student import learn_alone, take_layers
    from model_optimization.pruning.vocabulary import factorise, trim
    from model_optimization.texts import film_texts
    from model_optimization.training import Recipe

    small = teacher.with_model(take_layers(teacher.model, half_of_the_layers(teacher)))
    small = factorise(trim(small, film_texts(), AT_LEAST_AFTER), WORD_WIDTH)
    recipe = Recipe(epochs=EPOCHS, learning_rate=2e-4, seed=seed)
    return learn_alone(small, texts.train, recipe, folder / "checkpoint.safetensors")


def publish(student: "Subject", teacher: "Subject", folder: Path) -> dict[str, Any]:
    """Write the student in half precision, with its card, and score what was written. Returns the scores."""
    from model_optimization.classifier import n_parameters
    from model_optimization.fidelity import answers
    from model_optimization.gate import paired_loss, wilson_interval
    from model_optimization.subject import load_subject, save_subject
    from model_optimization.texts import load_texts
    from shared.runs import provenance

    save_subject(replace(student, model=copy.deepcopy(student.model).half()), folder)
    written = load_subject(folder)
    texts = load_texts(trained_on=written.trained_on)
    labels = np.array([example.label for example in texts.test])
    right, teachers = (answers(subject, texts.test) == labels for subject in (written, teacher))
    summary = {
        "accuracy": float(right.mean()),
        "accuracy_ci": wilson_interval(int(right.sum()), len(right)),
        "teacher_accuracy": float(teachers.mean()),
        "loss": paired_loss(teachers, right).loss,
        "n_test": len(texts.test),
        "n_excluded": texts.n_excluded,
        "params": n_parameters(written.model),
        "teacher_params": n_parameters(teacher.model),
        **provenance(),
    }
    write_json(folder / SUMMARY, summary)
    write_text(folder / "README.md", _card(folder, written, summary))
    return summary


def _card(folder: Path, student: "Subject", summary: dict[str, Any]) -> str:
    """The model card, in Markdown."""
    from shared.leaks import TRAIN_IDS

    size = (folder / "model.safetensors").stat().st_size / 1e6
    shape = student.model.shape
    return f"""# student

A classifier of English film reviews, negative or positive: {shape.n_layers} layers of {shape.width} numbers, and
{shape.n_pieces:,} word pieces of {shape.word_width}. It has {summary["params"] / 1e6:.1f} million weights, its teacher
{summary["teacher_params"] / 1e6:.1f}; in half precision it takes {size:.1f} MB.

- **Made by** `python -m {PROJECT}.shipped_student` · {summary["date"]} · `{summary["commit"]}` ·
  {summary["hardware"]}. Its teacher is `english-sentiment` of bert_sentiment_analysis.
- **Data** the train part of Rotten Tomatoes, {SENTENCES:,} sentences of the train part of IMDb without labels, and
  all that its teacher learned from: {len(student.trained_on):,} texts, whose ids (the first 16 digits of their
  SHA-256) are in `{TRAIN_IDS}`. LICENSES.md names their terms.
- **Weights** safetensors; MIT like the code, the terms of the data apply to what one does with them.
- **Limits** English sentences about films. What its teacher says of products or tweets it was never taught; rare
  words it spells in short pieces. Not for decisions about people.

On the {summary["n_test"]:,} held-out sentences of Rotten Tomatoes, none of which trained or chose it: accuracy
{summary["accuracy"]:.3f}, the teacher's {summary["teacher_accuracy"]:.3f}.
"""


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(StudentConfig, argv, prog=f"python -m {PROJECT}.shipped_student")
    setup_logging()
    from model_optimization.subject import load_subject
    from model_optimization.texts import load_texts

    teacher = load_subject(SUBJECT)
    texts = load_texts(trained_on=teacher.trained_on)
    print_result(publish(make_student(teacher, texts, Path(config.output), config.seed), teacher, Path(STUDENT)))


if __name__ == "__main__":
    run_program(main)
