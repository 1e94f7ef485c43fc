"""Exercise 7: does a passage support what was written? A number that stands nowhere supports nothing."""

REPLACES = "qa_system.generation.citation_handler.support"
CHECKED_BY = [
    "qa_system/tests/test_citations.py::test_support_is_the_share_of_a_sentence_s_words",
    "qa_system/tests/test_citations.py::test_a_number_that_stands_nowhere_supports_nothing",
    "qa_system/tests/test_citations.py::test_a_sentence_cites_the_line_that_says_it_with_page_and_box",
]


def support(sentence: str, words: frozenset[str]) -> float:
    """The share, 0 to 1, of a sentence's different terms that are among the words.

    0 for a sentence without terms, and for one with a number that is not among the words.

    Hints: `analyse(sentence)` of `qa_system.retrieval.text_analysis` gives the terms, `set(...)` the different ones; a
    term that begins with a digit is a number.

    Read: "Enabling Large Language Models to Generate Text with Citations", section 3, https://arxiv.org/abs/2305.14627
    Expect: without the rule for numbers "opened in 1889" supports "opened in 1890" with two words of three.
    """
    raise RuntimeError("fill in support")
