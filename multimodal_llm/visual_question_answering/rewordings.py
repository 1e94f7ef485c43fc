"""The same questions in other words, and questions beside the point: written by us, three files for three uses.

questions/train.yaml   mixed into easy-VQA's questions in training
questions/dev.yaml     settings and thresholds are chosen on these
questions/test.yaml    measured on these alone
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from multimodal_llm.visual_question_answering.data_loader import COLORS, SHAPES, Facts
from shared.files import read_yaml

FOLDER = Path(__file__).with_name("questions")
Part = Literal["train", "dev", "test"]
KINDS = ("color", "shape", "yes", "no")
OUTSIDE = ("outside", "nearly_outside")


class Rewording(NamedTuple):
    """A sentence of easy-VQA's meaning; `{shape}` and `{color}` in it are filled from a picture.

    `kind` is what it asks for. `names` is the value that a yes-or-no sentence without a gap asks about.
    """

    text: str
    kind: str
    names: str = ""


class Asked(NamedTuple):
    """A question in some words, and its right answer."""

    text: str
    answer: str


@cache
def rewordings(part: Part) -> tuple[Rewording, ...]:
    """The sentences that keep easy-VQA's meaning."""
    content = _read(part)
    found = []
    for kind in KINDS:
        for row in content[kind]:
            named = isinstance(row, dict)  # "circle: is it round?" is a mapping in YAML
            names, text = next(iter(row.items())) if named else ("", row)
            found.append(Rewording(text, kind, names))
    return tuple(found)


@cache
def outside_questions(part: Part, kind: str) -> tuple[str, ...]:
    """Questions that easy-VQA does not teach, far off (`outside`) or about such pictures (`nearly_outside`)."""
    return tuple(_read(part)[kind])


def _read(part: Part) -> dict[str, list]:
    return read_yaml(FOLDER / f"{part}.yaml")


def ask(rewording: Rewording, facts: Facts, truth: bool, random: np.random.Generator) -> Asked:
    """Put the sentence to a picture. With `truth` the value named is the picture's own, else any other.

    Of a shape and a colour named together at least one is wrong without `truth`. What is asked for, and a sentence
    that names a value of its own, leave no choice.
    """
    if rewording.kind in ("color", "shape"):
        text = rewording.text.format(shape=random.choice([facts.shape, "shape"]), color=facts.color)
        return Asked(text, facts.color if rewording.kind == "color" else facts.shape)
    if rewording.names:
        truth = rewording.names in facts
        text = rewording.text
    else:
        gaps = re.findall(r"\{(\w+)\}", rewording.text)
        wrong = set() if truth else set(gaps if len(gaps) == 1 else random.choice(["shape", "color"], size=1))
        text = rewording.text.format(
            shape=_other(facts.shape, SHAPES, random) if "shape" in wrong else facts.shape,
            color=_other(facts.color, COLORS, random) if "color" in wrong else facts.color,
        )
    return Asked(text, "yes" if truth == (rewording.kind == "yes") else "no")


def every_wording(rewording: Rewording) -> list[str]:
    """All the sentences that `ask` can make of it."""
    shapes = (*SHAPES, "shape") if rewording.kind in ("color", "shape") else SHAPES
    texts = [rewording.text]
    for gap, values in (("{shape}", shapes), ("{color}", COLORS)):
        texts = [text.replace(gap, value) for text in texts for value in values]
    return sorted(set(texts))


def words_of(texts: Sequence[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"\w+", text.lower())}


def _other(value: str, values: Sequence[str], random: np.random.Generator) -> str:
    return str(random.choice([other for other in values if other != value]))
