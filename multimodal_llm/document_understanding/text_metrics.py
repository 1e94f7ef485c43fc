"""How much of a page's text was read: by words, in whatever order, and by letters, in order.

Both are needed: a parser may find nearly every word and put the columns one into the other, or the reverse.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np


def words(text: str) -> list[str]:
    """What stands between white space, punctuation included; wide and narrow letters and both cases are the same."""
    return unicodedata.normalize("NFKC", text).casefold().split()


def plain_words(text: str) -> list[str]:
    """Runs of letters and digits: "Tel:03-4021" and "TEL : 03 - 4021" are the same."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())


def f1(pairs: Iterable[tuple[list[str], list[str]]]) -> float:
    """Of the words read and those that are there, over all pages: harmonic mean of precision and recall.

    Each word counts as often as it is on both sides of a page.
    """
    both = found = wanted = 0
    for read, right in pairs:
        both += (Counter(read) & Counter(right)).total()
        found += len(read)
        wanted += len(right)
    return 2 * both / (found + wanted) if found + wanted else 1.0


def character_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Letters to change, insert and delete, over those that are there, all pages together; runs of white are one."""
    errors = letters = 0
    for read, right in pairs:
        read, right = " ".join(words(read)), " ".join(words(right))
        errors += edit_distance(read, right)
        letters += len(right)
    return errors / letters if letters else 0.0


def edit_distance(one: Sequence, other: Sequence) -> int:
    """Letters (or words) to insert, delete and change (Levenshtein), row by row over arrays.

    Along a row an insertion depends on the field to its left; a running minimum of "distance less place" gives all at
    once.
    """
    if not one or not other:
        return max(len(one), len(other))
    numbers = {symbol: number for number, symbol in enumerate({*one, *other})}
    across = np.array([numbers[symbol] for symbol in other])
    places = np.arange(len(other) + 1)
    row = places.copy()
    for count, symbol in enumerate(one, 1):
        changed = row[:-1] + (across != numbers[symbol])
        best = np.concatenate([[count], np.minimum(row[1:] + 1, changed)])
        row = np.minimum.accumulate(best - places) + places
    return int(row[-1])
