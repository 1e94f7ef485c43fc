"""Exercise 2: a text as the terms that a search compares, also where no space parts the words."""

REPLACES = "qa_system.retrieval.text_analysis.analyse"
CHECKED_BY = [
    "qa_system/tests/test_sparse_retrieval.py::test_terms_of_english_chinese_and_mixed_texts",
    "qa_system/tests/test_sparse_retrieval.py::test_stop_words_never_become_terms",
]


def analyse(text: str) -> list[str]:
    """The terms of a text, in their order, repeated as often as they occur.

      1. NFKC, lower case, and the curly apostrophe \u2019 as a plain one;
      2. pieces: runs of Han characters, and words;
      3. a run of Han characters gives its overlapping pairs, "模型好" gives "模型", "型好"; a single one gives itself;
      4. a word loses a 's at its end, is dropped where it is a stop word, else it is stemmed.

    Hints: `_PIECES.findall(text)` of `qa_system.retrieval.text_analysis` finds the pieces, `_HAN.match(piece)` tells
    the kind, STOP_WORDS are the stop words, and `_stems([word])` gives a list with the word's stem.

    Read: "Introduction to Information Retrieval", section 2.2, https://nlp.stanford.edu/IR-book/
    Expect: with a pattern for words alone a whole Chinese sentence is one term, which no question ever repeats.
    """
    raise RuntimeError("fill in analyse")
