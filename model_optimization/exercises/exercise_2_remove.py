"""Exercise 2: structured pruning: cut heads and neurons out of the matrices, and keep every answer."""

from dataclasses import replace  # noqa: F401, for your solution

REPLACES = "model_optimization.pruning.structured_pruning.remove"
CHECKED_BY = [
    "model_optimization/tests/test_pruning.py::test_a_smaller_model_answers_as_the_masked_one",
    "model_optimization/tests/test_pruning.py::test_keeping_everything_changes_nothing_and_a_failure_unmasks",
]


def remove(model, masks):
    """The same `Classifier` without the heads and neurons that the masks have as 0, in evaluation mode.

    `masks.heads[i]` (H,) and `masks.neurons[i]` (F,) are those of layer i, 1 for what stays. The answers are those of
    the model in which what goes counted nothing.

    Of a layer's matrices (as `nn.Linear` stores them, outputs first): head h makes the rows h * K to (h + 1) * K of
    query, key and value, weights and biases, and is read by those columns of `attended.weight`. Neuron f is row f of
    `up`, weight and bias, and column f of `down.weight`.

    Hints: work on `weights = model.state_dict()`, whose names are `layers.0.query.weight` and so on.
    `heads.repeat_interleave(layer.head_width).bool()` says of each row of a query whether it stays. The new model is
    `Classifier(replace(model.shape, heads=..., neurons=...))`, with a number of what stays for each layer.

    Read: "Are Sixteen Heads Really Better than One?", https://arxiv.org/abs/1905.10650
    Expect: cutting the bias of `attended` or `down` too changes all answers: it belongs to what they put out.
    """
    raise RuntimeError("fill in remove")
