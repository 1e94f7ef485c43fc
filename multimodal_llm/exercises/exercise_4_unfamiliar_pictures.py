"""Exercise 4: how far is a picture from all those of training?"""

from torch import Tensor

from multimodal_llm.visual_question_answering.calibration import PictureGate

REPLACES = "multimodal_llm.visual_question_answering.calibration.PictureGate.distance"
CHECKED_BY = (
    "multimodal_llm/tests/test_vqa_model.py::test_the_picture_gate_passes_what_is_like_training_and_refuses_what_is_not"
)


def distance(self: PictureGate, features: Tensor) -> Tensor:
    """Features (N, F) to distances (N,): the root of the mean square of the whitened features.

    Hints: without `self.mean` and multiplied by `self.whitener` (F, F) the features of training have unit variance in
    every direction; then square, mean over the features, root.

    Read: "A Simple Unified Framework for Detecting Out-of-Distribution Samples", https://arxiv.org/abs/1807.03888
    Expect: about 1 for a usual picture, many times that for noise.
    """
    raise RuntimeError("fill in distance")
