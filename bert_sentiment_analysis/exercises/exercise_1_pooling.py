"""Exercise 1: from a vector a token to one a text: the mean, without the padding."""

from torch import Tensor

REPLACES = "bert_sentiment_analysis.models.bert_classifier.mean_of_tokens"
CHECKED_BY = [
    "bert_sentiment_analysis/tests/test_classifier.py::test_the_mean_of_tokens_leaves_the_padding_out",
    "bert_sentiment_analysis/tests/test_classifier.py::test_padding_and_company_do_not_change_an_answer",
]


def mean_of_tokens(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Given the encoder's vectors (W, T, D) and a mask (W, T), 1 for a token and 0 for padding, return (W, D).

    Hints: `attention_mask[..., None]` is (W, T, 1) and so broadcasts over the D numbers of a token. Multiplying by it
    makes padding zero; then add up over the tokens, and divide by how many there are, which is the sum of the mask.

    Read: "Sentence-BERT", section 3, https://arxiv.org/abs/1908.10084
    Expect: with `hidden.mean(1)` all seems well as long as texts are read one by one; in a batch the answer to a short
    text depends on the length of its neighbours.
    """
    raise RuntimeError("fill in mean_of_tokens")
