"""Exercise 6: which texts shall fix the ranges of static int8? A rule, so that nobody can choose lucky ones."""

from collections.abc import Sequence

REPLACES = "model_optimization.quantization.static_quantization.calibration_texts"
CHECKED_BY = [
    "model_optimization/tests/test_quantization.py::"
    "test_calibration_texts_are_spread_evenly_over_the_lengths_whatever_the_order",
    "model_optimization/tests/test_quantization.py::test_without_calibration_texts_there_is_one_clear_line",
]


def calibration_texts(texts: Sequence[str], n: int) -> list[str]:
    """`n` of the texts, evenly spread over them sorted by length: the shortest, the longest, and those between.

    All of them where there are no more than `n`. Raise UserError where there are none.

    Hints: sort by length and then by the text itself, so that the order of the file does not matter;
    `np.linspace(0, len(ordered) - 1, n).round().astype(int)` are the places.

    Read: "A White Paper on Neural Network Quantization", section 3.2, https://arxiv.org/abs/2106.08295
    Expect: with only short texts, ranges are too narrow for long ones, whose largest values are then cut off.
    """
    raise RuntimeError("fill in calibration_texts")
