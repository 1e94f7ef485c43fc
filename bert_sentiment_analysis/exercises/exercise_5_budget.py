"""Exercise 5: batches by a budget of tokens, so that short texts go many at a time and long ones few."""

from collections.abc import Iterator, Sequence

REPLACES = "bert_sentiment_analysis.models.bert_classifier.batches_by_budget"
CHECKED_BY = [
    "bert_sentiment_analysis/tests/test_classifier.py::test_a_batch_never_exceeds_the_budget_and_no_window_is_lost",
    "bert_sentiment_analysis/tests/test_classifier.py::test_padding_and_company_do_not_change_an_answer",
]


def batches_by_budget(lengths: Sequence[int], budget: int) -> Iterator[slice]:
    """Cut window lengths, ascending, into runs that stay within the budget once padded; yield each as a slice.

    Every window of a batch is padded to its longest, so a batch costs the number of its windows times the length of
    the last one. Yield a batch when the next window would make that more than `budget`. A window that alone is longer
    than the budget is a batch by itself.

    Hints: remember where the batch starts. For each `end` the next length is `lengths[end]`, and with it there would be
    `end + 1 - start` of that length. Do not forget the last batch, and yield nothing of no windows.

    Read: "Attention Is All You Need", section 5.1, which batches by length too, https://arxiv.org/abs/1706.03762
    Expect: adding up the lengths instead of padding them forgets the padding, and a batch takes more than its budget.
    """
    raise RuntimeError("fill in batches_by_budget")
