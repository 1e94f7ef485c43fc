"""Exercise 5: how alike are the texts that one strategy writes?"""

from collections.abc import Sequence

REPLACES = "gpt_text_generation.evaluation.diversity_metrics.self_bleu"
CHECKED_BY = [
    "gpt_text_generation/tests/test_diversity_metrics.py::test_self_bleu_by_hand",
    "gpt_text_generation/tests/test_diversity_metrics.py::test_self_bleu_equals_sacrebleu",
    "gpt_text_generation/tests/test_diversity_metrics.py::test_self_bleu_refuses_what_it_cannot_compare",
]


def self_bleu(texts: Sequence[Sequence[str]], longest: int = 4) -> float:
    """BLEU of each text (its words) against all the others, mean over the texts.

    For n = 1 .. `longest`: how many n-grams of the text are found in the others, each at most as often as it stands in
    that other text which has it most often, by how many n-grams the text has. BLEU is the geometric mean of these
    shares. Where the k-th share in a row is 0, it counts as 1 / (2^k * number of n-grams); where all are, BLEU is 0.
    Raise ValueError ("of one length") for fewer than two texts, or texts of different lengths.

    Hints: `n_grams(tokens, n)` and `Counter` give the counts; `Counter | Counter` keeps the larger count of each.
    Work with logarithms. Comparing every pair is right; with the two highest counts of each n-gram it is much faster.

    Read: "Texygen: A Benchmarking Platform for Text Generation Models", https://arxiv.org/abs/1802.01886
    Expect: beam search and low temperatures come out highest: they write nearly the same text every time.
    """
    raise RuntimeError("fill in self_bleu")
