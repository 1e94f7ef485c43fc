"""Texts to train on, to choose by and to report, none of them on two sides.

The packaged sets are split as in `shared/splits.py`; what the subject was trained on is never tested on.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.cleaning import clean, normalise
from shared.datasets import Example, load_examples
from shared.errors import UserError
from shared.leaks import exclude
from shared.splits import NAMES, load_packaged, split_by_hash

SENTENCES = "rotten_tomatoes"
_SENTENCE_END = re.compile(r"(?<=[.!?])[\s\"')]+|\n+")


@dataclass(frozen=True)
class Texts:
    """Cleaned texts with labels. `n_excluded` test texts were left out, since the subject was trained on them."""

    name: str
    train: list[Example]
    validation: list[Example]
    test: list[Example]
    n_excluded: int = 0


def load_texts(dataset: str = SENTENCES, trained_on: frozenset[str] = frozenset(), n_classes: int = 2) -> Texts:
    """A packaged set, or a local file or hub set split by hash.

    Raises UserError where it has no labels, other classes than the classifier, or nothing left to test on.
    """
    splits = load_packaged(dataset) if dataset in NAMES else split_by_hash(dataset, _labelled(dataset))
    test, n_excluded = exclude(splits.test, trained_on)
    labels = {example.label or 0 for part in splits.parts.values() for example in part}
    if strange := labels - {*range(n_classes)}:
        raise UserError(
            f"{dataset}: has the label {max(strange)}, and the classifier {n_classes} classes, numbered from 0: "
            "give its own set"
        )
    train, validation, kept = (_cleaned(part) for part in (splits.train, splits.validation, test))
    return Texts(dataset, train, validation, kept, n_excluded)


def _labelled(dataset: str) -> list[Example]:
    examples = [example for example in load_examples(dataset) if example.label is not None]
    if not examples:
        raise UserError(f"{dataset}: has no labels: give a file with a column `label`")
    return examples


def _cleaned(examples: Sequence[Example]) -> list[Example]:
    return [Example(clean(example.text), example.label, example.rating) for example in examples]


def film_sentences(n: int, seed: int = 0) -> list[Example]:
    """So many sentences of the reviews in imdb's training part, without labels, to learn a teacher's answers on.

    A whole review is cut at the ends of its sentences; what is left has 4 to 60 words. None of them is held out in
    any set.
    """
    held_out = _held_out()
    found: dict[str, str] = {}
    for example in load_packaged("imdb").train:
        for sentence in _SENTENCE_END.split(clean(example.text)):
            if 4 <= len(sentence.split()) <= 60:
                found.setdefault(normalise(sentence), sentence)
    kept = sorted(key for key in found if key not in held_out)
    return [Example(found[key]) for key in random.Random(seed).sample(kept, min(n, len(kept)))]


def _held_out() -> set[str]:
    """The keys of all held-out texts of the packaged English sets."""
    parts = [load_packaged(name) for name in NAMES if name != "zh_reviews"]
    return {normalise(example.text) for splits in parts for example in [*splits.validation, *splits.test]}


def film_texts() -> list[str]:
    """All texts on films that may be learned from: whole reviews and single sentences."""
    return [clean(example.text) for name in ("imdb", SENTENCES) for example in load_packaged(name).train]
