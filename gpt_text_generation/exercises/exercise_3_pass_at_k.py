"""Exercise 3: pass@k without bias: how likely is one right answer among k, when you have seen n?"""

REPLACES = "gpt_text_generation.code_benchmark.pass_at_k"
CHECKED_BY = [
    "gpt_text_generation/tests/test_code_benchmark.py::test_pass_at_k_is_the_share_of_choices_that_hold_a_right_answer",
    "gpt_text_generation/tests/test_code_benchmark.py::test_pass_at_k_by_hand_and_by_the_formula_of_the_paper",
    "gpt_text_generation/tests/test_code_benchmark.py::test_more_answers_than_there_are_cannot_be_drawn",
]


def pass_at_k(n: int, right: int, k: int) -> float:
    """The chance that one of `k` of the `n` drawn answers is right, where `right` of them are.

        1 - C(n - right, k) / C(n, k)

    is the share of all ways to choose k of the n answers that hold a right one. Raise ValueError for k below 1 or above
    n.

    Hints: `math.comb(a, b)` is the number of ways to choose b of a, and 0 where b is larger.

    Read: "Evaluating Large Language Models Trained on Code", section 2.1, https://arxiv.org/abs/2107.03374
    Expect: 1 - (1 - right / n)^k is simpler and wrong: it puts every answer back before it draws the next, and comes
    out too low.
    """
    raise RuntimeError("fill in pass_at_k")
