"""Exercise 6: from scores to a choice: temperature, top-k and top-p."""

import numpy as np

from transformer_from_scratch.config import Sampling

REPLACES = "transformer_from_scratch.sampling.next_token_probabilities"
CHECKED_BY = "transformer_from_scratch/tests/test_sampling.py"


def next_token_probabilities(scores: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Scores (..., V) -> the probabilities (..., V) that the next token is drawn from.

      1. temperature: 0 gives the likeliest token probability 1 and ends here; else divide the scores by it;
      2. top_k above 0: all but the k highest scores become minus infinity;
      3. softmax;
      4. top_p below 1: keep the likeliest tokens that together reach top_p, the others get 0, and the rest is
         scaled up to sum to 1 again. The likeliest token always stays.

    Hints: `np.sort(scores, axis=-1)[..., -k, None]` is the k-th highest score. For step 4 sort downwards, take
    `cumsum`, and drop a token if those BEFORE it already hold top_p; `np.put_along_axis` puts the answer back into
    the old order.

    Read: "The Curious Case of Neural Text Degeneration", section 3.1, https://arxiv.org/abs/1904.09751
    Expect: dropping a token when the sum INCLUDING it passes top_p loses the last one that belongs to the set, and with
    a small top_p it loses them all.
    """
    raise RuntimeError("fill in next_token_probabilities")
