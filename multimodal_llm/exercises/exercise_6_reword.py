"""Exercise 6: put one sentence to a picture, once so that the answer is yes and once so that it is no."""

import numpy as np

from multimodal_llm.visual_question_answering.data_loader import Facts
from multimodal_llm.visual_question_answering.rewordings import Asked, Rewording

REPLACES = "multimodal_llm.visual_question_answering.rewordings.ask"
CHECKED_BY = [
    "multimodal_llm/tests/test_vqa_rewordings.py::test_the_answer_says_whether_the_value_named_is_the_pictures",
    "multimodal_llm/tests/test_vqa_rewordings.py"
    "::test_an_open_question_is_answered_by_the_picture_and_never_gives_the_answer_away",
]


def ask(rewording: Rewording, facts: Facts, truth: bool, random: np.random.Generator) -> Asked:
    """`Asked(text, answer)` for a picture that shows `facts.shape` in `facts.color`.

    `rewording.kind` is color or shape (the answer is the picture's), or yes or no: what the answer is where the value
    that the sentence names is the picture's. Its text may have the gaps {shape} and {color}. With `truth` fill them
    with the picture's values, otherwise with another value in at least one; an open question's always with the
    picture's. Where `rewording.names` is not empty there is no gap, and that value is what the sentence asks about.

    Hints: `text.format(shape=..., color=...)`; SHAPES and COLORS are in data_loader.py; with both gaps and no truth it
    is enough to change one.

    Read: "CLEVR", section 3, on questions made from templates, https://arxiv.org/abs/1612.06890
    Expect: half yes and half no, so that a model cannot score by the question alone.
    """
    raise RuntimeError("fill in ask")
