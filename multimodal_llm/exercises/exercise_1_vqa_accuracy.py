"""Exercise 1: score an answer against ten people who do not agree."""

from collections.abc import Sequence

REPLACES = "multimodal_llm.visual_question_answering.data_loader.vqa_accuracy"
CHECKED_BY = "multimodal_llm/tests/test_vqa_data.py::test_vqa_accuracy_is_the_official_mean_over_nine_of_ten_people"


def vqa_accuracy(answer: str, people: Sequence[str]) -> float:
    """How right an answer is, from 0 to 1, given the answers of several people (usually ten).

    An answer that three other people gave is wholly right: min(1, how many said so / 3). As each of the ten may be the
    odd one, that is computed ten times, each time without one of them, and the mean counts. One person alone: 1 or 0.

    Hints: compare by `normalise_answer(...)` of the same module, since "Yes." and "yes" are one answer. For each person
    left out the number of those who agree is `sum(right) - own`, with `own` whether that person agreed.

    Read: "VQA: Visual Question Answering", https://arxiv.org/abs/1505.00468
    Expect: if one of ten said so, .3; if four did, 1.
    """
    raise RuntimeError("fill in vqa_accuracy")
