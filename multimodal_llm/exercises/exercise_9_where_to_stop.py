"""Exercise 9: decide for each query how many photos to give, perhaps none."""

import numpy as np

REPLACES = "multimodal_llm.clip_applications.image_search.fitting"
CHECKED_BY = [
    "multimodal_llm/tests/test_image_search.py::test_the_cut_keeps_the_best_and_only_the_best",
    "multimodal_llm/tests/test_image_search.py::test_a_photo_that_stands_out_is_given_alone",
]


def fitting(z: np.ndarray, least: float = 3.0, kept: float = 0.7) -> int:
    """How many of a query's photos fit, by their z-scores (N,) in descending order.

    None, where the best one stands out by less than `least` standard deviations; else all that have at least `least`
    and at least the share `kept` of the best one's z.

    Hints: an empty array has no best one. Why not a fixed cosine? Try it: python -m multimodal_llm.image_search query
    "a dog" --always true, then "qwerty", and compare the cosines.

    Read: the discussion of flat cut-offs in https://github.com/immich-app/immich/issues/5996
    Expect: of [6, 5, 4.3, 4, 1] three, of [2, 1.9] none.
    """
    raise RuntimeError("fill in fitting")
