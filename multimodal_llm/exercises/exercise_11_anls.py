"""Exercise 11: score an answer that was read off a picture, where a letter may be misread."""

from collections.abc import Sequence

REPLACES = "multimodal_llm.document_understanding.answer_scores.anls"
CHECKED_BY = "multimodal_llm/tests/test_document_qa.py::test_anls_gives_most_of_the_point_for_a_misread_letter"


def anls(answer: str, right: Sequence[str]) -> float:
    """The best similarity (0 to 1) of an answer to one of the right ones, 0 where the best is below one half.

    Similarity is 1 - d / n: d the number of letters to put in, take out or replace (Levenshtein's distance), n the
    length of the longer text. Case and the amount of white do not count.

    Hints: `edit_distance` of the same module gives d. Two empty texts are the same. Why a threshold? Look how much of
    "no" is in "not at all", and of one total in another.

    Read: "Scene text visual question answering", arXiv 1905.13648, section 4, eq. 1
    Expect: "3O.00" for "30.00" is worth 0.8, "yes" for "not at all" nothing.
    """
    raise RuntimeError("fill in anls")
