"""The side a text belongs to, fixed by its own hash, and the tests that no text stands on two sides.

Everything here depends on a text's key alone (`cleaning.normalise`): not on a seed, on the order of rows, or on
the file that a text came from.
"""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Literal

from shared.cleaning import normalise
from shared.datasets import Example, read_text
from shared.errors import UserError
from shared.files import write_text

TRAIN_IDS = "train_ids.sha256"
ID_DIGITS = 16  # of a hash's 64: two of 100,000 texts have the same first 16 with a chance of one in three billion

Side = Literal["train", "validation", "test"]


def fraction_of(text: str) -> float:
    """A number in [0, 1) that is fixed by the text's key: the first 64 bits of its SHA-256."""
    return int(text_hash(text)[:16], 16) / 2**64


def side_of(text: str) -> Side:
    """Where a text belongs in every set that is split by hash: 80 % train, 10 % validation, 10 % test."""
    fraction = fraction_of(text)
    return "train" if fraction < 0.8 else "validation" if fraction < 0.9 else "test"


def halves(test: Iterable[Example]) -> tuple[list[Example], list[Example]]:
    """A test set in two by a fixed hash of the text: one half to tune on, the other to report."""
    parts: tuple[list[Example], list[Example]] = ([], [])
    for example in test:
        # Not the bits of `side_of`: the halves of a set that was itself split by those would be lopsided.
        parts[int(text_hash(example.text)[16:32], 16) % 2].append(example)
    return parts


def text_hash(text: str) -> str:
    """SHA-256 of the text's key, in hexadecimal."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()


def text_id(text: str) -> str:
    """The first digits of the hash."""
    return text_hash(text)[:ID_DIGITS]


def text_ids(texts: Iterable[str]) -> list[str]:
    """The ids of these texts, each once and sorted, as `train_ids.sha256` holds them, one a line."""
    return sorted({text_id(text) for text in texts})


def exclude(examples: Iterable[Example], ids: Iterable[str]) -> tuple[list[Example], int]:
    """The examples whose id is not among these, and how many were left out.

    A benchmark gives the ids of what the weights were trained on. Raises UserError where nothing is left.
    """
    trained_on = set(ids)
    examples = list(examples)
    kept = [example for example in examples if text_id(example.text) not in trained_on]
    if not kept:
        raise UserError(
            f"nothing left to test on: the weights were trained on all {len(examples):,} test texts: "
            "test on another set, or train without these"
        )
    return kept, len(examples) - len(kept)


def shared_texts(first: Iterable[Example], second: Iterable[Example]) -> list[str]:
    """The texts of `first` that `second` has too. The leak test: between two parts of a set the answer must be []."""
    keys = {normalise(example.text) for example in second}
    return [example.text for example in first if normalise(example.text) in keys]


def refuse_leaks(name: str, parts: Mapping[str, Iterable[Example]]) -> None:
    """Raise UserError where a text stands in two parts of a set, before anything is trained or scored.

    `parts` maps a part's name to its examples, as `Splits.parts` does.
    """
    keyed = {part: {normalise(example.text): example.text for example in examples} for part, examples in parts.items()}
    for first, second in combinations(keyed, 2):
        if found := sorted(keyed[first].keys() & keyed[second].keys()):
            raise UserError(
                f"{name}: {len(found):,} texts are both in {first} and in {second}, such as "
                f"{keyed[first][found[0]]:.40}: take them out of one"
            )


def save_ids(folder: Path, texts: Iterable[str], earlier: Iterable[str] = ()) -> None:
    """Write `train_ids.sha256` beside weights: what they were trained on, and before that (the `earlier` ids)."""
    write_text(folder / TRAIN_IDS, "".join(f"{line}\n" for line in sorted({*text_ids(texts), *earlier})))


def load_ids(folder: Path) -> set[str]:
    """What the weights in this folder were trained on. Raises UserError where that is not written down."""
    file = folder / TRAIN_IDS
    if not file.is_file():
        raise UserError(f"{folder}: no {TRAIN_IDS} beside the weights, so no test is known to be unseen: train anew")
    return {line[:ID_DIGITS] for line in read_text(file).split()}
