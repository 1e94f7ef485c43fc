"""Exercise 3: attention from one thing to another, with which a question looks at a picture."""

from torch import Tensor

from multimodal_llm.visual_question_answering.vqa_model import Attention

REPLACES = "multimodal_llm.visual_question_answering.vqa_model.Attention.forward"
CHECKED_BY = [
    "multimodal_llm/tests/test_vqa_model.py::test_attention_is_a_weighted_mean_of_the_values",
    "multimodal_llm/tests/test_vqa_model.py::test_padding_changes_neither_the_answer_nor_the_gate",
]


def forward(self: Attention, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
    """queries (B, T, D) attend to keys (B, S, D), where `mask` (B, S) is true: (B, T, D).

    Hints: `self.query` gives the queries' vectors, `self.key_value` keys and values beside each other (`chunk(2, -1)`);
    `self._split` makes heads of each, (B, H, T, D/H). A mask for all heads and queries is `mask[:, None, None, :]`.
    `torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=...)` does the rest; heads are joined by
    `transpose(1, 2).flatten(2)`, and `self.out` ends it.

    Read: "Attention Is All You Need", section 3.2, https://arxiv.org/abs/1706.03762, and "BLIP", section 3.1,
    https://arxiv.org/abs/2201.12086
    Expect: the same few lines serve words that look at words and words that look at a picture.
    """
    raise RuntimeError("fill in forward")
