"""Exercise 1: how much does a word tell? The rare ones more than the common ones."""

REPLACES = "qa_system.retrieval.sparse_retrieval.SparseIndex.idf"
CHECKED_BY = [
    "qa_system/tests/test_sparse_retrieval.py::test_two_documents_by_hand",
    "qa_system/tests/test_sparse_retrieval.py::test_scores_equal_the_plain_formula",
]


def idf(self, term: str) -> float:
    """ln(1 + (N - df + 0.5) / (df + 0.5)), where N documents are in the index and df of them have the term.

    Hints: `len(self)` is N. `self._postings.get(term)` is None for a term that no document has, else
    `len(postings.slots)` is df. `np.log1p(x)` is ln(1 + x). Return a plain float.

    Read: "The Probabilistic Relevance Framework: BM25 and Beyond", section 3.1, https://doi.org/10.1561/1500000019
    Expect: without the 1 + a term that more than half of the documents have gets a negative weight, and finding it
    makes a document worse.
    """
    raise RuntimeError("fill in idf")
