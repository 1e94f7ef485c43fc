"""What is searched for, and what is not: words and pictures that a photo should match, and some that it should not.

A vector of a text hardly knows "not": "a beach without people" lies nearest to beaches with people. So what stands
behind "without", "no", "minus" or " - " is taken out of the text and subtracted instead, and the search says so.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from shared.errors import UserError

NOT = re.compile(
    r"\s*(?:[,;，；(（[]\s*)?(?:\b(?:and|but)\s+)?"
    r"(?:\b(?:minus|without(?:\s+any)?|except(?:\s+for)?|excluding|with\s+no|not|no(?![.-]|\s+\w+\s+signs?\b))\b"
    r"|\s[-−–]\s*(?=\S)|没有|不要|不带|减去|除了|不含)\s*",
    re.IGNORECASE,
)
CHINESE_CLAUSE = re.compile(r"(?:没有|不要|不带|不含|除了)([^，,；;的]+?)(?:以外|之外)?的")
"""What is not wanted, before what is: 没有人的海滩 is the beach without people."""
OR = re.compile(r"\s*(?:[,，、;；]|\b(?:or|nor)\b)\s*")
ARTICLES = re.compile(r"^(?:an?|the|any)\s+", re.IGNORECASE)
AROUND = ' ,;，；、()（）[]"“”'
SUBTRACTED = 0.7
"""How much of what is not wanted is subtracted, where what is wanted counts 1."""


class Space(Protocol):
    """Where N pictures and N texts have vectors (N, D) of length 1."""

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray: ...
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray: ...


@dataclass(frozen=True)
class Query:
    """Texts and pictures that a photo should match, and those that it should not."""

    texts: tuple[str, ...] = ()
    not_texts: tuple[str, ...] = ()
    pictures: tuple[Image.Image, ...] = ()
    not_pictures: tuple[Image.Image, ...] = ()

    @property
    def is_latin(self) -> bool:
        """Whether all of its words are in Latin letters, which is what the English spaces read."""
        return all(is_latin(text) for text in (*self.texts, *self.not_texts))

    def vector(self, space: Space) -> np.ndarray:
        """The query's place in the space (width,), of length 1: the sum of what is wanted, less what is not.

        Raises UserError where nothing is wanted, since everything in the world is no beach.
        """
        if not self.texts and not self.pictures:
            raise UserError("nothing to search for: give a text or a picture, not only what to leave out")
        wanted = _mean(space, self.texts, self.pictures)
        if self.not_texts or self.not_pictures:
            unwanted = _mean(space, self.not_texts, self.not_pictures)
            # Only what both do not share goes: less the whole, "a dog, minus a cat" would lose the animal.
            wanted = wanted - SUBTRACTED * (unwanted - (unwanted @ wanted) * wanted)
        return wanted / max(float(np.linalg.norm(wanted)), 1e-9)


def parse(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A typed query as what is wanted and what is not. Raises UserError where only the latter is left.

    >>> parse("a beach, minus people")
    (('a beach',), ('people',))
    >>> parse("a dog without a leash and no snow")
    (('a dog',), ('leash', 'snow'))
    >>> parse("a black-and-white dog")
    (('a black-and-white dog',), ())
    """
    before = CHINESE_CLAUSE.findall(text)
    first, *rest = NOT.split(f" {CHINESE_CLAUSE.sub('', text)} ")
    wanted = first.strip(AROUND)
    parts = [*before, *(part for behind in rest for part in OR.split(behind))]
    unwanted = tuple(ARTICLES.sub("", part.strip(AROUND)) for part in parts if part.strip(AROUND))
    if not wanted:
        remedy = f'say what it should show, as in "a street, minus {unwanted[0]}"' if unwanted else "type some words"
        raise UserError(f"{text!r}: names nothing to search for: {remedy}")
    return (wanted,), unwanted


def is_latin(text: str) -> bool:
    """Whether all letters are Latin ones, which is what MiniLM reads.

    >>> is_latin("crème brûlée"), is_latin("猫")
    (True, False)
    """
    return all("LATIN" in unicodedata.name(letter, "") for letter in text if letter.isalpha())


def _mean(space: Space, texts: Sequence[str], pictures: Sequence[Image.Image]) -> np.ndarray:
    vectors = [space.encode_texts(list(texts))] if texts else []
    vectors += [space.encode_images(list(pictures))] if pictures else []
    mean = np.concatenate(vectors).mean(0)
    return mean / max(float(np.linalg.norm(mean)), 1e-9)
