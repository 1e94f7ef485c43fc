"""Exercise 7: bring photos to their own captions and away from all others, as CLIP does."""

from torch import Tensor

REPLACES = "multimodal_llm.clip_applications.train_joint_space.contrastive_loss"
CHECKED_BY = [
    "multimodal_llm/tests/test_joint_space.py::test_the_loss_is_that_of_guessing_where_nothing_is_told_apart",
    "multimodal_llm/tests/test_joint_space.py::test_training_brings_photos_that_it_never_saw_to_their_captions",
]


def contrastive_loss(images: Tensor, texts: Tensor, sharpness: Tensor | float) -> Tensor:
    """The symmetric cross-entropy of B photos and their captions, both (B, W) of length 1: row i belongs to row i.

    Each photo asks which of the B captions is its own, and each caption asks the same of the photos: two
    cross-entropies over one matrix of cosines, multiplied by `sharpness`, and summed.

    Hints: `images @ texts.T` is (B, B). The right answer of row i is i: `torch.arange(B)`. For the captions' side use
    the same matrix transposed. `torch.nn.functional.cross_entropy` takes scores, not probabilities.

    Read: "Learning Transferable Visual Models From Natural Language Supervision", figure 3,
    https://arxiv.org/abs/2103.00020
    Expect: 2 log B where all vectors are equal, and 0 where each is far nearer to its own than to any other.
    """
    raise RuntimeError("fill in contrastive_loss")
