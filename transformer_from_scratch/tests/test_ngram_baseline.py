"""Counting n-grams: against the formula written as a plain loop."""

import math

import numpy as np
import pytest

from transformer_from_scratch.ngram_baseline import ngram_losses


def probability(train: list[int], history: list[int], character: int, vocabulary: int) -> float:
    """Witten-Bell by recursion, straight from the definition."""
    followers = [train[i] for i in range(len(history), len(train)) if train[i - len(history) : i] == history]
    shorter = 1 / vocabulary if not history else probability(train, history[1:], character, vocabulary)
    kinds = len(set(followers))
    if not followers:
        return shorter
    return (followers.count(character) + kinds * shorter) / (len(followers) + kinds)


def test_losses_equal_the_formula_written_as_a_loop():
    random = np.random.default_rng(0)
    train, validation = random.integers(0, 4, 300), random.integers(0, 5, 40)
    losses = ngram_losses(train, validation, 5, 4)
    for n, loss in enumerate(losses, start=1):
        terms = [
            -math.log(probability(train.tolist(), validation[max(i - n + 1, 0) : i].tolist(), validation[i], 5))
            for i in range(1, 40)
        ]
        assert loss == pytest.approx(sum(terms) / len(terms))


def test_probabilities_sum_to_one():
    train = np.random.default_rng(1).integers(0, 4, 200)
    for history in ([1, 2], [4, 4]):
        assert sum(probability(train.tolist(), history, c, 5) for c in range(5)) == pytest.approx(1.0)


def test_more_history_helps_on_a_text_that_repeats():
    text = np.array([1, 2, 3, 4] * 50 + [1, 3, 2, 4] * 50)
    losses = ngram_losses(text, text, 5, 3)
    assert losses[0] > losses[1] > losses[2]


def test_numbers_too_long_for_64_bits_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        ngram_losses(np.zeros(20, dtype=np.int32), np.zeros(20, dtype=np.int32), 9000, 5)
