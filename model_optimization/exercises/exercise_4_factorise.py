"""Exercise 4: a table of word vectors as the product of two smaller ones, the nearest that there is."""

REPLACES = "model_optimization.pruning.vocabulary.factorise"
CHECKED_BY = [
    "model_optimization/tests/test_vocabulary.py::test_word_vectors_nearly_as_wide_give_nearly_the_same_answers",
    "model_optimization/tests/test_vocabulary.py::test_of_vectors_that_fill_few_dimensions_nothing_is_lost",
    "model_optimization/tests/test_vocabulary.py::test_no_product_of_that_width_is_nearer",
    "model_optimization/tests/test_vocabulary.py::test_what_is_narrow_can_become_narrower",
    "model_optimization/tests/test_vocabulary.py::test_a_width_that_is_not_narrower_is_one_clear_line",
]


def factorise(subject, word_width: int):
    """The same classifier with word vectors of `word_width` numbers and a matrix that widens them.

    W (V, D) is `embedding.words.weight` of the model's state. Find P (V, E) and Q (E, D) with the least squared
    difference of P Q from W. P becomes `embedding.words.weight`, the transposed Q `embedding.widen.weight` (D, E), in a
    `Classifier(replace(shape, word_width=word_width))`; `subject.with_model(model)` is the answer. Where the subject is
    factorised already, W is the product of its two tables. Raise UserError where E is not from 1 to below its width.

    Hints: `torch.linalg.svd(W, full_matrices=False)` gives U (V, D), the singular values S (D,), largest first, and V
    transposed (D, D), with W = U diag(S) V^T. Keep the first E. Give half of each singular value, its root, to each
    side, so that the two tables have numbers of a like size.

    Read: "ALBERT", section 3.1, https://arxiv.org/abs/1909.11942, and Eckart and Young, Psychometrika 1936
    Expect: the file shrinks by a third at E = D / 3, and no answer comes quicker: a table is looked up.
    """
    raise RuntimeError("fill in factorise")
