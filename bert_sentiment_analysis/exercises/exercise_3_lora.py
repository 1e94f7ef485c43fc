"""Exercise 3: a low-rank adapter, which learns a large matrix's change as the product of two small ones."""

from torch import Tensor

REPLACES = "bert_sentiment_analysis.models.lora.LoraLinear.forward"
CHECKED_BY = "bert_sentiment_analysis/tests/test_lora.py"


def forward(self, inputs: Tensor) -> Tensor:
    """inputs (..., I) -> outputs (..., O): those of the frozen layer plus those of the adapter.

        W x + bias + scale * B (A x)

    What the layer has: `self.base`, the frozen `nn.Linear` with W and its bias; `self.a` (R, I) and `self.b` (O, R);
    `self.scale`, which is ALPHA / R.

    Hints: `functional.linear(x, weight)` is x times the transposed weight, for any leading dimensions. Go through the
    R numbers in the middle; B times A first would give the right answer with an O by I matrix that nobody needs.

    Read: "LoRA", section 4.1, https://arxiv.org/abs/2106.09685
    Expect: without the scale the adapter still learns, and another rank would want another learning rate.
    """
    raise RuntimeError("fill in LoraLinear.forward")
