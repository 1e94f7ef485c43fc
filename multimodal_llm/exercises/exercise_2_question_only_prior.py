"""Exercise 2: how well does one do who never looks at the picture?"""

from collections.abc import Sequence
from typing import Any

from multimodal_llm.visual_question_answering.data_loader import Question

REPLACES = "multimodal_llm.visual_question_answering.data_loader.question_only_prior"
CHECKED_BY = (
    "multimodal_llm/tests/test_vqa_data.py"
    "::test_the_prior_answers_by_the_question_alone_and_unknown_questions_by_the_commonest_answer"
)


def question_only_prior(train: Sequence[Question], test: Sequence[Question]) -> dict[str, Any]:
    """`scores(test, guesses)` of guesses by the question's text alone.

    To each question the answer that it had most often in training (`question.text`, `question.answer`); to one that
    training does not hold, the commonest answer of all.

    Hints: `collections.Counter` counts, and its `most_common(1)[0][0]` is the commonest; one for each text and one for
    all. `scores` is in the same module.

    Read: "Making the V in VQA Matter", https://arxiv.org/abs/1612.00837
    Expect: .670 on easy-VQA. A model that scores .7 there has hardly looked.
    """
    raise RuntimeError("fill in question_only_prior")
