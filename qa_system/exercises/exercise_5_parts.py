"""Exercise 5: why was this passage found? What its words and what its meaning gave to the score."""

from qa_system.retrieval.hybrid_retrieval import Hit

REPLACES = "qa_system.retrieval.hybrid_retrieval.HybridRetriever.parts"
CHECKED_BY = "qa_system/tests/test_hybrid_parts.py"


def parts(self, question: str, hit: Hit) -> tuple[float, float]:
    """(1 - w) * bm25 and w * cosine, where w is the weight of the cosine between these two languages.

    Hints: `self._dense_weights(is_chinese, array)` gives the weights (N,) for a question and an array (N,) of booleans
    that say which passages are Chinese; `is_han(text)` of `qa_system.retrieval.text_analysis` tells. Return plain
    floats.

    Read: "An Analysis of Fusion Functions for Hybrid Retrieval", section 3, https://arxiv.org/abs/2210.11934
    Expect: with one weight for all languages the page would show a share of meaning for Chinese passages, of which the
    encoder has read nothing.
    """
    raise RuntimeError("fill in parts")
