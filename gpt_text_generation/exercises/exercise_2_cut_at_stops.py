"""Exercise 2: where does a function end? A model that continues a program does not stop after the function you want."""

from collections.abc import Sequence

REPLACES = "gpt_text_generation.code_text.cut_at_stops"
CHECKED_BY = [
    "gpt_text_generation/tests/test_code_text.py::test_an_answer_is_cut_at_the_first_stop_of_any",
    "gpt_text_generation/tests/test_code_text.py::test_a_completion_becomes_a_program",
]


def cut_at_stops(text: str, stops: Sequence[str]) -> str:
    """The text up to the first place where any of the stops begins; all of it where none does.

    Hints: `text.find(stop)` is -1 where the stop does not occur. The first place is the least over all stops, not the
    place of the first stop in the list.

    Read: "Evaluating Large Language Models Trained on Code", section 2.1, https://arxiv.org/abs/2107.03374
    Expect: without stops the greedy answers go on with further functions, and calls that print; most programs still
    load, but take many times as long to write.
    """
    raise RuntimeError("fill in cut_at_stops")
