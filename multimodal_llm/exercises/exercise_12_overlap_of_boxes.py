"""Exercise 12: say whether an answer was read in the right place."""

Rectangle = tuple[float, float, float, float]

REPLACES = "multimodal_llm.document_understanding.answer_scores.intersection_over_union"
CHECKED_BY = [
    "multimodal_llm/tests/test_document_qa.py::test_the_overlap_of_boxes",
    "multimodal_llm/tests/test_document_qa.py::test_an_answer_is_right_and_in_its_place",
]


def intersection_over_union(one: Rectangle, other: Rectangle) -> float:
    """What two boxes (left, top, right, bottom) share, of what they cover together: 1 for the same box, 0 apart.

    Hints: the shared part begins at the larger left and ends at the smaller right; where it would end before it
    begins, nothing is shared. What both cover together counts the shared part once.

    Read: Everingham et al., "The Pascal visual object classes challenge", IJCV 2010, section 4.2,
    https://doi.org/10.1007/s11263-009-0275-4
    Expect: (0, 0, 4, 2) and (2, 0, 6, 2) share a third. A total stands on a receipt three times: without this number
    an answer from the wrong line counts as right.
    """
    raise RuntimeError("fill in intersection_over_union")
