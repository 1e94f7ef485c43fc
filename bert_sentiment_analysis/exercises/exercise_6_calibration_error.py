"""Exercise 6: the expected calibration error: does a model that says 90 % get nine of ten right?"""

from bert_sentiment_analysis.evaluation.calibration import Bin

REPLACES = "bert_sentiment_analysis.evaluation.calibration.expected_error"
CHECKED_BY = [
    "bert_sentiment_analysis/tests/test_calibration.py::test_ece_by_hand",
    "bert_sentiment_analysis/tests/test_calibration.py::test_bins_weigh_by_their_texts",
    "bert_sentiment_analysis/tests/test_calibration.py::test_ece_equals_the_definition_written_as_a_loop",
    "bert_sentiment_analysis/tests/test_calibration.py::test_adaptive_bins_equal_a_cut_of_the_sorted_texts",
]


def expected_error(bins: list[Bin]) -> float:
    """The mean of |accuracy - confidence| over the bins, each weighted by its share of the texts.

    A bin has `count`, and the mean `confidence` and the `accuracy` of its texts; both are None where `count` is 0, as
    for two classes in every bin below one half.

    Hints: the shares are `bin.count` of the sum of all counts; leave out the empty bins before you subtract.

    Read: "On Calibration of Modern Neural Networks", equation 3, https://arxiv.org/abs/1706.04599
    Expect: the plain mean over the bins lets three odd texts weigh as much as three thousand.
    """
    raise RuntimeError("fill in expected_error")
