"""Counts that tell whether a set can be trusted: repeats, contradictions, odd rows, texts that another set has too."""

import statistics
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from shared.cleaning import letters, normalise
from shared.datasets import Example

SHORT = 5  # letters or digits
# As Unicode's character names begin. No spaces stand between the words of these.
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


class TextSet:
    """Examples with their keys, computed once."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = list(examples)
        self.keys = [normalise(example.text) for example in self.examples]
        self._labels: dict[str, set[int]] = {}
        for key, example in zip(self.keys, self.examples, strict=True):
            if example.label is not None:
                self._labels.setdefault(key, set()).add(example.label)

    @property
    def contradicted(self) -> set[str]:
        """The keys whose rows have different labels."""
        return {key for key, labels in self._labels.items() if len(labels) > 1}

    @property
    def labels(self) -> dict[str, int]:
        """The label of every key that has exactly one."""
        return {key: next(iter(labels)) for key, labels in self._labels.items() if len(labels) == 1}

    def distinct_places(self) -> list[int]:
        """The first labelled row of every text that has exactly one label."""
        first: dict[str, int] = {}
        for place, (key, example) in enumerate(zip(self.keys, self.examples, strict=True)):
            if example.label is not None:
                first.setdefault(key, place)
        return [first[key] for key in self.labels]


@dataclass(frozen=True)
class Overlap:
    """The rows of one set whose text another has too, and how the labels agree where both give one."""

    rows: int
    compared: int
    same_label: int

    @property
    def agreement(self) -> float | None:
        return self.same_label / self.compared if self.compared else None


def describe_texts(texts: TextSet) -> dict[str, Any]:
    """Counts of rows, distinct texts, contradictions and odd rows; lengths in characters."""
    scripts = [main_script(example.text) for example in texts.examples]
    usual = usual_script(scripts)
    lengths = [len(example.text) for example in texts.examples]
    contradicted = texts.contradicted
    n_letters = [len(letters(key)) for key in texts.keys]
    return {
        "rows": len(texts.keys),
        "distinct_exact": len({example.text for example in texts.examples}),
        "distinct_normalised": len(set(texts.keys)),
        "texts_with_two_labels": len(contradicted),
        "rows_with_two_labels": sum(key in contradicted for key in texts.keys),
        "unlabelled": sum(example.label is None for example in texts.examples),
        "blank": texts.keys.count(""),
        "without_letters": sum(n == 0 and key != "" for n, key in zip(n_letters, texts.keys, strict=True)),
        "short": sum(0 < n < SHORT for n in n_letters),
        "script": usual,
        "other_script": sum(script not in (usual, "") for script in scripts),
        "median_length": round(statistics.median(lengths)),
        "longest": max(lengths),
    }


def main_script(text: str) -> str:
    """The script of most letters, as Unicode's names begin (LATIN, CJK, ...); "" for a text without letters."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if character.isalpha():
            counts[_script(character)] += count
    return max(counts, key=counts.__getitem__, default="")


def usual_script(scripts: Sequence[str]) -> str:
    """The script that most texts have; "" where none has letters."""
    counts = Counter(script for script in scripts if script)
    return max(counts, key=counts.__getitem__, default="")


@lru_cache(maxsize=100_000)
def _script(character: str) -> str:
    return unicodedata.name(character, "UNNAMED").replace("-", " ").split()[0]


def overlap(texts: TextSet, other: TextSet) -> Overlap:
    """How many rows of `texts` the other set has too, and how their labels agree."""
    keys, ours, theirs = set(other.keys), texts.labels, other.labels
    rows = [key for key in texts.keys if key in keys]
    compared = [key for key in rows if key in ours and key in theirs]
    return Overlap(len(rows), len(compared), sum(ours[key] == theirs[key] for key in compared))
