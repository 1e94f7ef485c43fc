"""Exercise 13: tell a language model where on the page a word stands."""

Rectangle = tuple[float, float, float, float]

REPLACES = "multimodal_llm.document_understanding.layout_models.scaled"
CHECKED_BY = [
    "multimodal_llm/tests/test_layout_models.py::test_boxes_are_thousandths_of_the_page",
    "multimodal_llm/tests/test_layout_models.py::test_a_saved_layoutlm_points_at_words_of_the_page",
]


def scaled(box: Rectangle, width: float, height: float) -> list[int]:
    """A box in whole thousandths of the page's width and height: [left, top, right, bottom], each 0 to 1000.

    Hints: rounding can leave the grid, and so can a word at the page's edge; each number is the row of an embedding
    table with 1024 rows, so one too large is an error deep inside the model. Round, do not cut.

    Read: "LayoutLM: pre-training of text and layout for document image understanding", arXiv 1912.13318, section 2.2
    Expect: (50, 20, 100, 400) on a page of 200 x 400 pixels is [250, 50, 500, 1000].
    """
    raise RuntimeError("fill in scaled")
