"""Exercise 9: decide for each query how many photos to give, perhaps none."""

import numpy as np

REPLACES = "multimodal_llm.clip_applications.image_search.fitting"
CHECKED_BY = [
    "multimodal_llm/tests/test_image_search.py::test_the_cut_keeps_the_best_and_only_the_best",
    "multimodal_llm/tests/test_image_search.py::test_a_photo_that_stands_out_is_given_alone",
    "multimodal_llm/tests/test_image_search.py::test_photos_are_given_however_many_of_them_fit",
]


def fitting(cosines: np.ndarray, usual: np.ndarray, floor: float | None = None, kept: float = 0.7) -> int:
    """How many of a query's photos fit, by their cosines (N,) in descending order and the usual ones (M,) in any order.

    None, where the best one's cosine is below `least`; else all that have at least `least`, and at least the share
    `kept` of the best one's height above the median of the usual ones. `least` is the floor; without one it is the
    median plus three times the distance from the median down to the 16th percentile. With fewer than 50 usual ones the
    floor alone decides, and without a floor all fit.

    Hints: `np.quantile(usual, [0.5, 0.16])`. Why not the standard deviation? Look what it does when a third of
    the photos fit. Where the best lies below the median, it alone can fit.

    Read: the discussion of flat cut-offs in https://github.com/immich-app/immich/issues/5996
    Expect: with usual cosines from -.1 to .1 three of [.6, .5, .44, .3].
    """
    raise RuntimeError("fill in fitting")
