"""Exercise 3: hide words, as BERT learned language from them, and DistilBERT after it."""

REPLACES = "model_optimization.masked_model.hide_words"
CHECKED_BY = [
    "model_optimization/tests/test_masked_model.py::test_words_are_hidden_as_in_bert",
    "model_optimization/tests/test_masked_model.py::test_what_is_hidden_follows_from_seed_and_step",
    "model_optimization/tests/test_masked_model.py::test_of_the_shortest_text_one_word_is_hidden",
]


def hide_words(batch, words, seed: int):
    """A batch to `Hidden(input_ids, attention_mask, where, words)` with 15 % of its real tokens hidden, at least one.

    `batch` has input_ids and attention_mask (B, T) and the number of its `step`; `words` has `mask_id`, `n_pieces` and
    the ids that are never hidden, `special`. `where` (B, T) is true where a token is hidden, and `words` (M,) are the
    ids that stood there. Of the hidden ones 80 % become `mask_id`, 10 % any piece, and 10 % stay as they are.

    Hints: `torch.Generator().manual_seed(seed * 1_000_003 + batch.step)` draws the same at the same step, so that a
    training that was interrupted goes on alike. Draw one uniform number a token and set it to 1 for padding and special
    tokens; hide those below .15, or, where none is, the least. A second draw decides what is shown instead.

    Read: "BERT", section 3.1, https://arxiv.org/abs/1810.04805
    Expect: hiding padding teaches the model to guess what nobody wrote.
    """
    raise RuntimeError("fill in hide_words")
