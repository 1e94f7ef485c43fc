"""Exercise 7: what did the model answer? Reading a label without reading one into it."""

from gpt_text_generation.prompt_tasks import Item

REPLACES = "gpt_text_generation.prompt_tasks.check_label"
CHECKED_BY = "gpt_text_generation/tests/test_prompt_engineering.py::test_a_label_counts_where_it_is_the_only_one"


def check_label(item: Item, answer: str) -> bool | None:
    """Whether the one label in the answer is that of the input, `item.target[0]`; None where there is none, or both.

    The labels are "negative" and "positive", as whole words in any case: "positively" is neither.

    Hints: `words(answer)` of `gpt_text_generation.prompt_tasks` gives the words in lower case.

    Read: "Calibrate Before Use: Improving Few-Shot Performance of Language Models", https://arxiv.org/abs/2102.09690
    Expect: with `label in answer` instead, "positive or negative?" counts as right for every input.
    """
    raise RuntimeError("fill in check_label")
