"""Tables whose cells are drawn: what lines enclose is a cell, merged ones included, whatever stands in it."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from multimodal_llm.document_understanding.document import Cell, Line, Table
from shared.ocr_recognition import is_unspaced
from shared.reading_order import Rectangle, rows_of

LONGER = 1.6  # lines' heights that a drawn line is long at least: strokes of letters are shorter
RECTANGULAR = 0.8  # share of its box that a cell must fill
SAME_EDGE = 0.5  # lines' heights within which two cells begin at the same place
MARGIN = 6  # pixels beside the table that are looked at too, where its outer lines may be
FEWEST_CELLS = 4
MOST_OUTSIDE = 0.2  # of the words: beyond, the lines are no grid of this table


class _Drawn(NamedTuple):
    box: Rectangle
    row: int
    column: int
    row_span: int
    column_span: int


def find_ruled_table(lines: Sequence[Line], picture: np.ndarray, box: Rectangle) -> Table | None:
    """The table drawn in a box of a picture, (height, width, 3) bytes, with these lines of text; None if none is."""
    if not lines:
        return None
    height = statistics.median(line.box[3] - line.box[1] for line in lines)
    drawn = _in_grid(enclosed(picture, box, height), SAME_EDGE * height)
    if len(drawn) < FEWEST_CELLS:
        return None
    texts: list[list[Line]] = [[] for _ in drawn]
    outside = 0
    for line in lines:
        places = [_holder(word.box, drawn) for word in line.words]
        outside += places.count(None)
        for number in {place for place in places if place is not None}:
            words = [place for place, holder in enumerate(places) if holder == number]
            first, last = words[0], words[-1]
            left, right = line.words[first].box[0], line.words[last].box[2]
            part = Line(line.part(first, last), (left, line.box[1], right, line.box[3]), line.score, ())
            texts[number].append(part)
    if outside > MOST_OUTSIDE * sum(len(line.words) for line in lines):
        return None
    rows = max(cell.row + cell.row_span for cell in drawn)
    columns = max(cell.column + cell.column_span for cell in drawn)
    if rows < 2 or columns < 2:
        return None
    cells = [
        Cell(cell.row, cell.column, _text(part), cell.box, cell.row_span, cell.column_span)
        for cell, part in sorted(zip(drawn, texts, strict=True), key=lambda each: each[0][1:3])
        if part or cell.row_span > 1 or cell.column_span > 1
    ]
    header = max((cell.row_span for cell in drawn if cell.row == 0), default=1)
    return Table(rows, columns, tuple(cells), min(header, rows - 1))


def enclosed(picture: np.ndarray, box: Rectangle, line_height: float) -> list[Rectangle]:
    """The rectangles that drawn lines enclose within a box of a picture, (height, width, 3) bytes, in its pixels.

    Ink is what is darker than its surroundings, so that shaded cells are none; of it, an opening with a long thin
    kernel leaves the lines; what they part is found as connected components.
    """
    import cv2

    tall, wide = picture.shape[:2]
    left, top = max(0, round(box[0]) - MARGIN), max(0, round(box[1]) - MARGIN)
    right, bottom = min(wide, round(box[2]) + MARGIN), min(tall, round(box[3]) + MARGIN)
    if right - left < 8 or bottom - top < 8:
        return []
    grey = cv2.cvtColor(np.ascontiguousarray(picture[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    ink = cv2.adaptiveThreshold(grey, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 15, 12)
    length = max(8, round(LONGER * line_height))
    across = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
    down = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((length, 1), np.uint8))
    walls = cv2.dilate(across | down, np.ones((3, 3), np.uint8))
    walls = cv2.copyMakeBorder(walls, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)  # so that what is outside is one part
    _, _, found, _ = cv2.connectedComponentsWithStats(1 - walls, connectivity=4)
    boxes = []
    for x, y, width, height, area in found[1:].tolist():
        is_outside = x == 0 or y == 0 or x + width == walls.shape[1] or y + height == walls.shape[0]
        if not is_outside and area > RECTANGULAR * width * height and min(width, height) > 0.6 * line_height:
            boxes.append((left + x - 1, top + y - 1, left + x - 1 + width, top + y - 1 + height))
    return boxes


def _in_grid(boxes: Sequence[Rectangle], same: float) -> list[_Drawn]:
    """Boxes by the row and column they begin in, and how many they go through."""
    columns, rows = _starts([box[0] for box in boxes], same), _starts([box[1] for box in boxes], same)
    drawn = []
    for box in boxes:
        column, row = _number(box[0], columns), _number(box[1], rows)
        column_span = sum(box[0] - same <= start < box[2] - same for start in columns)
        row_span = sum(box[1] - same <= start < box[3] - same for start in rows)
        drawn.append(_Drawn(box, row, column, max(1, row_span), max(1, column_span)))
    return drawn


def _starts(places: Sequence[float], same: float) -> list[float]:
    found: list[float] = []
    for place in sorted(places):
        if not found or place - found[-1] > same:
            found.append(place)
    return found


def _number(place: float, starts: Sequence[float]) -> int:
    return sum(start <= place + 1e-6 for start in starts) - 1


def _holder(box: Rectangle, drawn: Sequence[_Drawn]) -> int | None:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    inside = (number for number, (cell, *_) in enumerate(drawn) if cell[0] <= x <= cell[2] and cell[1] <= y <= cell[3])
    return next(inside, None)


def _text(parts: Sequence[Line]) -> str:
    """A cell's lines as one, with white between unless both ends are Chinese."""
    text = ""
    for row in rows_of([part.box for part in parts]):
        for number in row:
            following = parts[number].text
            spaced = text and not (is_unspaced(text[-1]) and is_unspaced(following[0]))
            text += (" " if spaced else "") + following
    return text
