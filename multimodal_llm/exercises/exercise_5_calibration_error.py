"""Exercise 5: is it right as often as it says?"""

import numpy as np

REPLACES = "multimodal_llm.visual_question_answering.calibration.expected_calibration_error"
CHECKED_BY = (
    "multimodal_llm/tests/test_vqa_model.py"
    "::test_the_calibration_error_is_the_gap_between_what_is_said_and_what_is_right"
)


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """The mean gap between confidence (N,) and the share of right answers (N,) over equally wide bins.

    Each bin counts as much as it has answers.

    Hints: an answer's bin is `confidence * bins` rounded down, and 1.0 belongs to the last bin; the gap of a bin is
    `abs(confidence[...].mean() - right[...].mean())`; empty bins count nothing.

    Read: "On Calibration of Modern Neural Networks", equation 3, https://arxiv.org/abs/1706.04599
    Expect: ten answers at 90 % of which nine are right have no gap.
    """
    raise RuntimeError("fill in expected_calibration_error")
