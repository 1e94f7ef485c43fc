"""A page as its rows: what stands side by side, each piece with its place. Fields and questions are read from these.

A line of a PDF may hold a label and, far to the right, its value; a photo's two lines may be one sentence with a gap.
So lines are cut where the white is wide and the pieces put into rows anew, by their places alone.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from multimodal_llm.document_understanding.document import Line, Page, Word
from shared.reading_order import Rectangle, around, rows_of

WIDE_WHITE = 1.5  # in heights of the line: between two words there is a third of this
STRAY_ACCENTS = 0.01  # of a page's letters: fewer are dirt above a letter, not a language that has them
NARROW_TABLE = 0.6  # of the text's width
SAME_PHRASE = 1.0  # pieces of a row with less white between them are read together


@dataclass(frozen=True, slots=True)
class Piece:
    """Words that stand together: a label, a value, a heading."""

    text: str
    box: Rectangle
    score: float
    page: int

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]


Row = tuple[Piece, ...]
"""Pieces from left to right."""


def page_rows(page: Page) -> list[Row]:
    """The rows of a page from top to bottom across its columns, but those of a table in one column by themselves."""
    lines = without_stray_accents(page.lines)
    apart = _tables_in_a_column(page)
    groups: dict[int, list[Piece]] = {}
    place = 0
    for number, block in enumerate(page.blocks):
        own = lines[place : place + len(block.lines)]
        place += len(block.lines)
        group = groups.setdefault(number if number in apart else -1, [])
        group += [piece for line in own for piece in split(line, page.number)]
    rows = [
        tuple(pieces[n] for n in row) for pieces in groups.values() for row in rows_of([piece.box for piece in pieces])
    ]
    return sorted(rows, key=lambda row: row[0].box[1] + row[0].box[3])


def _tables_in_a_column(page: Page) -> set[int]:
    """The numbers of the table blocks that are narrow beside the text: what stands next to them is no row of theirs."""
    if not page.lines:
        return set()
    left, _, right, _ = around(line.box for line in page.lines)
    return {
        number
        for number, block in enumerate(page.blocks)
        if block.kind == "table"
        and len(block.lines) > 3
        and block.box[2] - block.box[0] < NARROW_TABLE * (right - left)
    }


def without_stray_accents(lines: Sequence[Line]) -> Sequence[Line]:
    """Lines without the accents (´ ` ^) that recognition, which knows many alphabets, sees in dirt and in creases.

    Where they are common they are the language's own; and an é at a word's end ("café") stays.
    """
    letters = [letter for line in lines for letter in line.text if letter.isalpha()]
    accented = sum(_plain(letter) != letter for letter in letters)
    if not accented or accented > STRAY_ACCENTS * len(letters):
        return lines
    return [
        replace(line, text=_plain(line.text), words=tuple(replace(word, text=_plain(word.text)) for word in line.words))
        for line in lines
    ]


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", re.sub(r"[éÉ](?!\w{2})", lambda e: {"é": "\0", "É": "\1"}[e[0]], text))
    bare = re.sub("[\u0300-\u0302]", "", decomposed)
    return unicodedata.normalize("NFC", bare).replace("\0", "é").replace("\1", "É")


def split(line: Line, page: int) -> list[Piece]:
    """A line's pieces: it is cut at wide white, and after a colon with some white behind it."""
    if len(line.words) < 2:
        return [Piece(line.text, line.box, line.score, page)]
    groups: list[list[Word]] = [[line.words[0]]]
    height = line.box[3] - line.box[1]
    for before, word in zip(line.words, line.words[1:], strict=False):
        if word.box[0] - before.box[2] > WIDE_WHITE * height:
            groups.append([])
        groups[-1].append(word)
    if len(groups) == 1:
        return [Piece(line.text, line.box, line.score, page)]
    return [
        Piece(join(word.text for word in g), around(word.box for word in g), min(word.score for word in g), page)
        for g in groups
    ]


def together(row: Sequence[Piece]) -> list[Piece]:
    """The row's phrases: pieces with little white between them become one."""
    phrases: list[Piece] = []
    for piece in row:
        if phrases and _continues(phrases[-1], piece):
            phrases[-1] = united([phrases[-1], piece])
        else:
            phrases.append(piece)
    return phrases


def _continues(left: Piece, right: Piece) -> bool:
    low, high = sorted((left.height, right.height))
    return right.box[0] - left.box[2] < SAME_PHRASE * low and high < 1.4 * low


def united(pieces: Sequence[Piece]) -> Piece:
    """Pieces as one, in the order given."""
    text = join(piece.text for piece in pieces)
    return Piece(text, around(p.box for p in pieces), min(p.score for p in pieces), pieces[0].page)


def part(piece: Piece, start: int, end: int) -> Piece:
    """The characters from `start` to `end` of a piece, taken as equally wide (Chinese ones as twice as wide)."""
    widths = [2 if is_chinese(sign) else 1 for sign in piece.text]
    total = sum(widths) or 1
    left, top, right, bottom = piece.box
    begin, stop = (left + (right - left) * sum(widths[:n]) / total for n in (start, end))
    return Piece(piece.text[start:end], (begin, top, stop, bottom), piece.score, piece.page)


def join(texts: Iterable[str]) -> str:
    """Texts with a space between them, but none between Chinese characters."""
    joined = ""
    for text in texts:
        if joined and not (is_chinese(joined[-1:]) and is_chinese(text[:1])):
            joined += " "
        joined += text
    return joined


def overlap(one: Rectangle, other: Rectangle) -> float:
    """How far two boxes stand above one another: what they share in x, of the narrower one's width."""
    width = min(one[2] - one[0], other[2] - other[0])
    return max(0.0, min(one[2], other[2]) - max(one[0], other[0])) / width if width > 0 else 0.0


def is_chinese(text: str) -> bool:
    return bool(re.search(r"[\u3400-\u9fff\uff00-\uff60]", text))


def compact(text: str) -> str:
    """Letters, digits and Chinese characters alone, in lower case: the recognition often loses the white."""
    return re.sub(r"[\W_]+", "", text.lower())
