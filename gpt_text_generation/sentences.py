"""A stream of text as whole sentences, and a guard that lets through only those worth keeping.

A small model left alone copies the outline it was shown, announces what it will write, and says the same thing again.
The guard refuses such a sentence before anybody sees it; after several in a row the writing has gone round in circles
and is ended.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gpt_text_generation.evaluation.diversity_metrics import n_grams, words

# A sentence ends at its mark with the quotation marks behind it, where white space follows (Chinese needs none), or
# with its line. What follows must be known: an ellipsis or a closing mark may still come.
_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+[”’」』）]*(?=[^”’」』）。！？])|(?<=\S)(?=\n)")
_NUMBERED = re.compile(r"^\W*(?:(?:chapter|section|part)\s*)?\d*\s*[.:)]?\s*", re.IGNORECASE)
_HAN = re.compile(r"[\u3400-\u9fff]")

CIRCLES = 3  # refused sentences in a row
KNOWN_SHARE = 0.5  # a sentence of which more 4-grams stand in the text already says nothing new
N = 4


class Sentence(NamedTuple):
    text: str
    new_paragraph: bool


def sentences(pieces: Iterable[str]) -> Iterator[Sentence]:
    """Whole sentences as they are finished. What remains at the end without an end mark is left out."""
    buffer, new_paragraph = "", False
    for piece in pieces:
        buffer += piece
        while found := _END.search(buffer):
            text, buffer = buffer[: found.end()], buffer[found.end() :]
            new_paragraph |= "\n" in text[: len(text) - len(text.lstrip())]
            if text.strip():
                yield Sentence(" ".join(text.split()), new_paragraph)
            new_paragraph = False
    if re.search(r"[.!?…。！？][\"'”’)\]」』）]*\s*$", buffer):
        new_paragraph = "\n" in buffer[: len(buffer) - len(buffer.lstrip())]
        yield Sentence(" ".join(buffer.split()), new_paragraph)


def joined(before: str, sentence: Sentence) -> str:
    """The sentence with what goes between it and the text before: nothing, a space, or an empty line."""
    if not before:
        return sentence.text
    if sentence.new_paragraph:
        return f"\n\n{sentence.text}"
    return sentence.text if is_chinese(before[-1:]) or before[-1] in "。！？”’」』）" else f" {sentence.text}"


def is_chinese(text: str) -> bool:
    return bool(_HAN.search(text))


def count_words(text: str) -> int:
    """Words and Han characters, without signs."""
    return sum(word[0].isalnum() for word in words(text))


class Guard:
    """Says of each sentence whether it is worth keeping. Why not is counted in `refused`."""

    def __init__(self, headings: Sequence[str], text: str = "") -> None:
        """`headings` are those of the outline; `text` is what was kept before."""
        self.refused: dict[str, int] = {"heading": 0, "announcement": 0, "repetition": 0}
        self.in_a_row = 0
        self._headings = {_plain(heading) for heading in headings}
        self._known: set[tuple[str, ...]] = set()
        for sentence in sentences([text + "\n"]):
            self._learn(sentence.text)

    def keeps(self, sentence: str) -> bool:
        why = self._why_not(sentence)
        if why is None:
            self._learn(sentence)
            self.in_a_row = 0
            return True
        self.refused[why] += 1
        self.in_a_row += 1
        return False

    @property
    def goes_in_circles(self) -> bool:
        return self.in_a_row >= CIRCLES

    def _why_not(self, sentence: str) -> str | None:
        tokens = words(sentence)
        plain = _plain(sentence)
        if sentence.startswith(("#", "**")) or not plain or plain in self._headings:
            return "heading"
        if sentence.rstrip().endswith((":", "：")):
            return "announcement"
        grams = n_grams(tokens, N) or [tuple(tokens)]
        known = sum(gram in self._known for gram in grams) / len(grams)
        within = 1 - len(set(grams)) / len(grams)
        return "repetition" if max(known, within) > KNOWN_SHARE else None

    def _learn(self, sentence: str) -> None:
        tokens = words(sentence)
        self._known.update(n_grams(tokens, N) or [tuple(tokens)])


def _plain(heading: str) -> tuple[str, ...]:
    """A heading's words without its number and signs."""
    return tuple(word for word in words(_NUMBERED.sub("", heading)) if word[0].isalnum())
