"""Exercise 3: is a ranking good? What stands first counts most."""

from collections.abc import Mapping, Sequence

REPLACES = "qa_system.evaluation.retrieval_metrics.ndcg"
CHECKED_BY = "qa_system/tests/test_retrieval_metrics.py"


def ndcg(ranked: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """The gains of the first k documents, each divided by log2(place + 1), over those of the best possible order.

    `grades` has the relevant documents; any other has gain 0. Places count from 1.

    Hints: `enumerate(ranked[:k], 1)`; the best order is `sorted(grades.values(), reverse=True)[:k]`.

    Read: "Cumulated Gain-Based Evaluation of IR Techniques", section 2.2, https://doi.org/10.1145/582415.582418
    Expect: if the ideal is taken from the documents that were found, a search that misses the best one is not punished.
    """
    raise RuntimeError("fill in ndcg")
