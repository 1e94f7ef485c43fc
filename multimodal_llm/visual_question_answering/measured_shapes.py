"""Questions about a shape, answered by measuring it: no weights, two rules for the picture and four for the question.

The colour is the nearest of eight; the shape follows from how much of its frame it fills: a triangle half, a circle
pi / 4, a rectangle all. Of the question only single words count. Where no trained weights are, the demo page answers
with it, and in the benchmark it is what a model that learns has to beat.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from multimodal_llm.images import ImageSource, load_image
from multimodal_llm.visual_question_answering.data_loader import SHAPES
from multimodal_llm.visual_question_answering.drawings import RGB
from multimodal_llm.visual_question_answering.rewordings import every_wording, rewordings, words_of
from multimodal_llm.visual_question_answering.vqa_system import MEASURED, Answer, Doubt, checked

FILLED = {"circle": np.pi / 4, "rectangle": 1.0, "triangle": 0.5}  # share of the frame
SIDE = 256  # pixels; a larger picture is made smaller first
UNLIKE_GROUND = 40  # of 255: a pixel so different in one channel belongs to the shape
SMALLEST = 0.004  # share of the picture; less is dirt
FARTHEST_COLOR, FARTHEST_FILL = 60.0, 0.12  # from all that is known; beyond, the picture is of another kind
PLAIN = 0.5  # share of the shape that must have its colour; its blended edges have not

COLOR_WORDS = {"color", "colour", "hue", "shade"}
SHAPE_WORDS = {"shape", "figure", "form", "object", "thing", "what", "which", "name"}
DENIALS = {"no", "not", "nothing", "without", "lack", "lacks", "missing", "gone", "empty"}
SAID_OF = {"round": "circle", "three": "triangle", "four": "rectangle", "grey": "gray"}


class Measured(NamedTuple):
    """How far the shape in a picture is from each that is known, on two scales of their own."""

    colors: dict[str, float]
    shapes: dict[str, float]
    known: bool
    """Whether it is near enough to one of each."""


def measure(picture: Image.Image) -> Measured:
    """Find the one shape on a plain ground, and compare it."""
    picture = picture.convert("RGB")
    picture.thumbnail((SIDE, SIDE))
    pixels = np.asarray(picture, dtype=float)  # (H, W, 3)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    inside = np.abs(pixels - np.median(edge, axis=0)).max(-1) > UNLIKE_GROUND  # (H, W)
    if inside.mean() < SMALLEST:
        return Measured(dict.fromkeys(RGB, np.inf), dict.fromkeys(SHAPES, np.inf), False)
    color = np.median(pixels[inside], axis=0)
    height, width = (np.ptp(places) + 1 for places in inside.nonzero())
    filled = inside.sum() / (height * width)
    colors = {name: float(np.linalg.norm(color - value)) for name, value in RGB.items()}
    shapes = {name: float(abs(filled - share)) for name, share in FILLED.items()}
    plain = (np.linalg.norm(pixels[inside] - color, axis=-1) < FARTHEST_COLOR).mean() > PLAIN
    near = min(colors.values()) < FARTHEST_COLOR and min(shapes.values()) < FARTHEST_FILL
    return Measured(colors, shapes, bool(plain and near))


class MeasuredShapes:
    """Answers as the trained model does. The confidence is how much nearer the measured value is than the next one."""

    name = MEASURED

    def __init__(self) -> None:
        parts = [*rewordings("train"), *rewordings("dev")]
        self._words = words_of([text for part in parts for text in every_wording(part)]) | {"present", *SAID_OF}

    def answer(self, picture: ImageSource, questions: Sequence[str]) -> list[Answer]:
        """One answer a question, in their order. Raises UserError for a question without words or a bad picture."""
        measured = measure(load_image(picture))
        return [self.answer_measured(measured, question) for question in checked(questions)]

    def answer_measured(self, measured: Measured, question: str) -> Answer:
        """The answer to a question that is not empty, about a shape that was measured."""
        plainly = question.lower().replace("n't", " not")
        words = [SAID_OF.get(word, word) for word in re.findall(r"\w+", plainly)]
        wh = bool({"what", "which", "how", "name", "tell", "give"} & set(words))
        named_colors, named_shapes = ([w for w in words if w in known] for known in (measured.colors, measured.shapes))
        doubts: list[Doubt] = [] if measured.known else ["picture"]
        if COLOR_WORDS & set(words) and not named_colors:
            text, sure = _nearest(measured.colors)
        elif wh and not named_shapes and SHAPE_WORDS & set(words):
            text, sure = _nearest(measured.shapes)
        elif named_colors or named_shapes:
            pairs = ((measured.colors, named_colors), (measured.shapes, named_shapes))
            asked = [(name == _nearest(known)[0], _nearest(known)[1]) for known, names in pairs for name in names]
            denied = bool(DENIALS & set(words))
            text, sure = "yes" if all(so for so, _ in asked) != denied else "no", min(each for _, each in asked)
        else:
            text, sure = "no", 0.0
            doubts.append("question")
        if not set(words) <= self._words and "question" not in doubts:
            doubts.append("question")
        return Answer(question, text, sure, doubts=tuple(doubts))


def _nearest(distances: dict[str, float]) -> tuple[str, float]:
    """The name that is nearest, and 1 where it fits exactly, down to 0 where the next one fits as well."""
    first, second = sorted(distances, key=lambda name: distances[name])[:2]
    near, far = distances[first], distances[second]
    return first, 1 - near / far if 0 < far < np.inf else 0.0
