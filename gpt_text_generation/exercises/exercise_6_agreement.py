"""Exercise 6: do people agree more than chance would have them? Krippendorff's alpha with missing votes."""

from collections.abc import Sequence

REPLACES = "gpt_text_generation.evaluation.agreement.krippendorff_alpha"
CHECKED_BY = [
    "gpt_text_generation/tests/test_human_evaluation.py::test_alpha_of_krippendorffs_own_example",
    "gpt_text_generation/tests/test_human_evaluation.py::test_agreement_by_hand",
    "gpt_text_generation/tests/test_human_evaluation.py::test_a_tie_against_a_side_is_less_disagreement_than_two_sides",
]


def krippendorff_alpha(units: Sequence[Sequence[float]]) -> float | None:
    """Alpha for numbers on a line. Each unit holds the values that it was given, as many as there were raters for it.

        1 - (disagreement within units) / (disagreement between any two values)

    Units with a single value say nothing and are left out. Within: for each unit of m values, the squared differences
    of all its ordered pairs by m - 1, summed over the units, by the number n of all values. Between: the mean squared
    difference over all ordered pairs of the n values. Return None where no value is left, or all are equal.

    Hints: squared differences over all ordered pairs of m values sum to 2 m^2 times their variance (`np.var`).

    Read: "Computing Krippendorff's Alpha-Reliability", https://repository.upenn.edu/asc_papers/43
    Expect: two people who both say "left" to almost everything agree often and have an alpha near 0.
    """
    raise RuntimeError("fill in krippendorff_alpha")
