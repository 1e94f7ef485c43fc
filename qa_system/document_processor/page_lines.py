"""From the pieces of text on a page to its lines, in reading order, each with how it follows the line before.

A `Piece` is some text with its place: part of a line of a PDF, a line that character recognition found. Pieces of a row
become a line. Whether a line goes on the sentence before it, or begins a paragraph or the row of a table, is told from
its place alone: distance, indent, size, how full the line before it was.
"""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from shared.reading_order import Rectangle, reading_order

Joint = Literal["flow", "row", "paragraph"]
"""How a line follows the one before: the sentence goes on, a new row (of a table, an address), a new paragraph."""

CELL_GAP = 1.3  # white between two cells of a table, in letter sizes
STRETCHED_GAP = 3.0  # that a line may have between words when it is stretched to the column's width
FARTHEST_LINE = 3.0  # letter sizes from one line of a paragraph to the next: more than double spacing
SAME_SIZE = 0.06  # share by which the letters of one sentence may differ
WORD_GAP = 0.15  # white that parts two words
BULLET = re.compile(r"[•▪●◦‣∙■□◆–—*-]\s|\(?(\d{1,2}|[a-z]|[ivx]+)[.)]\s|[（(]?[一二三四五六七八九十]{1,3}[）)、.]")
SENTENCE_END = re.compile(r"[.!?。！？:：;；…][\"'”’)\]）」』]*$")
ARABIC_OR_HEBREW = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")


class Piece(NamedTuple):
    """Text and its place; `size` is the height of its letters, by which headings are known."""

    text: str
    box: Rectangle
    size: float
    bold: bool = False


@dataclass(slots=True)
class Line:
    """A line in reading order. Kinds of documents without pages have no box, and say their headings themselves."""

    text: str
    joint: Joint
    box: Rectangle | None = None
    size: float = 0.0
    bold: bool = False
    heading: int = 0


def lines_in_order(pieces: Sequence[Piece]) -> list[Line]:
    """The lines of a page, boxes in the pieces' coordinates."""
    pieces = [piece for piece in pieces if piece.text.strip()]
    lines: list[Line] = []
    for region in reading_order([piece.box for piece in pieces]):
        rows = [_Row([pieces[number] for number in row]) for row in region]
        _join(rows)
        if lines and rows[0].joint == "paragraph" and goes_on(lines[-1], rows[0]):
            rows[0].joint = "flow"  # from one column into the next
        lines += [Line(row.text, row.joint, row.box, row.size, row.bold) for row in rows]
    return lines


class _HasText(Protocol):
    text: str
    size: float


def goes_on(above: _HasText, below: _HasText) -> bool:
    """Whether a sentence seems to go on from one line to another, as from the end of a column to the next."""
    same = abs(above.size - below.size) <= SAME_SIZE * above.size and "\t" not in above.text + below.text
    return same and not SENTENCE_END.search(above.text) and below.text[:1].islower()


class _Row:
    """The pieces of one line, from left to right."""

    def __init__(self, pieces: list[Piece]) -> None:
        if sum(map(_is_right_to_left, pieces)) * 2 > len(pieces):
            pieces = pieces[::-1]
        boxes = [piece.box for piece in pieces]
        self.box: Rectangle = (
            min(box[0] for box in boxes),
            min(box[1] for box in boxes),
            max(box[2] for box in boxes),
            max(box[3] for box in boxes),
        )
        letters = [(piece.size, piece.bold) for piece in pieces for _ in range(len(piece.text))]
        self.size = statistics.median_low([size for size, _ in letters])
        self.bold = sum(bold for _, bold in letters) * 2 > len(letters)
        self.cells = 1
        self.widest_gap = 0.0
        self.joint: Joint = "paragraph"
        text = pieces[0].text
        for before, piece in zip(pieces, pieces[1:], strict=False):
            gap = max(piece.box[0] - before.box[2], before.box[0] - piece.box[2]) / max(self.size, 1e-6)
            self.cells += gap > CELL_GAP
            self.widest_gap = max(self.widest_gap, gap)
            text += "\t" if gap > CELL_GAP else " " if gap > WORD_GAP else ""
            text += piece.text
        self.text = re.sub(r"[^\S\t]+", " ", re.sub(r"\s*\t\s*", "\t", text)).strip()

    @property
    def middle(self) -> float:
        return (self.box[1] + self.box[3]) / 2


def _is_right_to_left(piece: Piece) -> bool:
    if not ARABIC_OR_HEBREW.search(piece.text):
        return False
    letters = [letter for letter in piece.text if letter.isalpha()]
    return 2 * sum(bool(ARABIC_OR_HEBREW.match(letter)) for letter in letters) > len(letters)


def _join(rows: list[_Row]) -> None:
    """Set `joint` of each row of a region; the first stays a paragraph's beginning."""
    if len(rows) < 2:
        return
    left = statistics.quantiles([row.box[0] for row in rows], n=10)[0]
    right = max(row.box[2] for row in rows)
    pitches = [below.middle - above.middle for above, below in zip(rows, rows[1:], strict=False)]
    pitch = statistics.median_low(pitches)
    for above, row, below in zip([None, *rows], rows, [*rows[1:], None], strict=False):
        alone = all(other is None or other.cells == 1 for other in (above, below))
        fills = row.box[2] - row.box[0] > 0.96 * (right - left)
        if row.cells > 1 and alone and fills and row.widest_gap < STRETCHED_GAP:
            row.cells, row.text = 1, row.text.replace("\t", " ")
    for above, row in zip(rows, rows[1:], strict=False):
        row.joint = _joint(above, row, left, right, pitch)


def _joint(above: _Row, row: _Row, left: float, right: float, pitch: float) -> Joint:
    size = max(row.size, 1e-6)
    distance = row.middle - above.middle
    if not 0.88 < row.size / max(above.size, 1e-6) < 1.14 or (row.bold != above.bold and row.cells == above.cells == 1):
        return "paragraph"  # other letters, such as those of a heading
    if distance > min(max(1.35 * pitch, 1.5 * size), FARTHEST_LINE * size):
        return "paragraph"
    if row.cells > 1 or above.cells > 1:
        return "row"
    room = right - above.box[2]  # that the line above leaves at its end
    ended = bool(SENTENCE_END.search(above.text))
    indent = row.box[0] - above.box[0]
    if BULLET.match(row.text) and (ended or room > 2 * size or abs(indent) > 0.5 * size):
        return "row"
    if indent > 0.8 * size and (ended or room > 2 * size) and above.box[0] - left < 4 * size:
        return "paragraph"
    if indent < -0.8 * size and room > 2 * size and ended:
        return "paragraph"
    if room > 0.15 * (right - left) and ended and not row.text[:1].islower():
        return "paragraph"
    if room > 0.4 * (right - left) and not row.text[:1].islower():
        return "row"
    return "flow"
