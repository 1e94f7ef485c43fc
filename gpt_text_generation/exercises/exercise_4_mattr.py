"""Exercise 4: how many different words does a text use, whatever its length?"""

from collections.abc import Sequence

REPLACES = "gpt_text_generation.evaluation.diversity_metrics.mattr"
CHECKED_BY = [
    "gpt_text_generation/tests/test_diversity_metrics.py::test_mattr_by_hand_and_over_slices",
    "gpt_text_generation/tests/test_diversity_metrics.py::test_mattr_hardly_changes_with_length_where_distinct_1_does",
]


def mattr(tokens: Sequence[str], window: int = 50) -> float:
    """The share of different words, as the mean over a window of `window` words that moves one word at a time.

    Of a text shorter than the window the whole is the only window; of no words it is `math.nan`.

    Hints: start with a `collections.Counter` of the first window. Each step adds the word that comes and takes away the
    one that leaves; a word whose count has become 0 must go, else `len(counts)` still counts it. Slicing every window
    anew is right too, and `window` times slower.

    Read: "Cutting the Gordian Knot: The Moving-Average Type-Token Ratio", https://doi.org/10.1080/09296171003643098
    Expect: the plain share of different words falls as a text grows, since words come back; this one hardly changes.
    """
    raise RuntimeError("fill in mattr")
