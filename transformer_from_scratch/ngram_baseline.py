"""What counting alone achieves: character n-grams, the baseline that a language model has to beat.

An n-gram model predicts a character from the n - 1 before it, by how often it followed them in the training text.
Where it has seen little it leans on the next shorter n-gram (Witten-Bell smoothing, Chen & Goodman 1999, section 2.5):

    p(c | h) = (count(h c) + kinds(h) p(c | h')) / (count(h) + kinds(h))

with h the characters before, h' the same less its first, kinds(h) how many different characters followed h.
"""

import numpy as np


def ngram_losses(train: np.ndarray, validation: np.ndarray, vocabulary: int, longest: int) -> list[float]:
    """Mean -ln p of the validation characters, in nats, under the 1-gram, the 2-gram, ... up to the `longest`.

    Both texts are ids (n,) below `vocabulary`. As with our models every character after the first is scored.
    """
    probability = np.full(len(validation) - 1, 1 / vocabulary)  # the "0-gram": any character, equally
    losses = []
    for n_before in range(longest):
        history = _histories(train, n_before, vocabulary)
        histories, history_counts = np.unique(history, return_counts=True)
        ngrams, ngram_counts = np.unique(history * vocabulary + train[n_before:], return_counts=True)
        kinds = np.unique(ngrams // vocabulary, return_counts=True)[1]  # in the order of `histories`

        first = max(n_before, 1)  # earlier characters have too few before them and keep the shorter n-gram's answer
        before = _histories(validation, n_before, vocabulary)[first - n_before :]
        seen = _look_up(before * vocabulary + validation[first:], ngrams, ngram_counts)
        total, kind = _look_up(before, histories, history_counts), _look_up(before, histories, kinds)
        shorter = probability[first - 1 :]
        probability[first - 1 :] = np.where(total > 0, (seen + kind * shorter) / np.maximum(total + kind, 1), shorter)
        losses.append(float(-np.log(probability).mean()))
    return losses


def _histories(ids: np.ndarray, n_before: int, vocabulary: int) -> np.ndarray:
    """For each position with `n_before` ids before it, those ids as one number."""
    if vocabulary ** (n_before + 1) >= 2**63:
        raise ValueError(f"{n_before + 1}-grams of {vocabulary} characters do not fit 64 bits: ask for shorter ones")
    number = np.zeros(len(ids) - n_before, dtype=np.int64)
    for k in range(n_before):
        number = number * vocabulary + ids[k : len(ids) - n_before + k]
    return number


def _look_up(keys: np.ndarray, known: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The count of each key, 0 where it is unknown. `known` is sorted."""
    place = np.searchsorted(known, keys).clip(max=len(known) - 1)
    return np.where(known[place] == keys, counts[place], 0)
