"""Exercise 2: one answer for a long text that was read in several windows."""

from torch import Tensor

REPLACES = "bert_sentiment_analysis.models.bert_classifier.average_windows"
CHECKED_BY = [
    "bert_sentiment_analysis/tests/test_classifier.py::test_the_average_is_weighted_by_tokens",
    "bert_sentiment_analysis/tests/test_classifier.py::test_the_windows_of_a_text_are_averaged_by_length_as_by_hand",
    "bert_sentiment_analysis/tests/test_classifier.py::test_a_batch_in_parts_gives_the_gradients_of_the_whole_with_dropout_off",
]


def average_windows(logits: Tensor, lengths: Tensor, text_index: Tensor) -> Tensor:
    """Given the logits of windows (W, C), their tokens (W,) and which text each belongs to (W,), return (B, C).

    A text's logits are the mean of its windows', weighted by their tokens: the last window is often a short one. The
    windows of a text stand together and the texts count from 0, so `text_index` is for example [0, 0, 1, 2, 2, 2].

    Hints: `torch.zeros(n_texts).index_add(0, text_index, values)` adds each window's value to its text's place. First
    add up the lengths so, which gives each window its share of its text; then the logits times those shares.

    Read: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_add_.html
    Expect: a loop over the texts passes too, at several times the time. An in-place change of `logits` does not: the
    gradient has to come back the same way.
    """
    raise RuntimeError("fill in average_windows")
