"""The rows and columns of a table, by where its words stand; Markdown and HTML of them.

Words close to each other are a piece; a column is what pieces over and under each other share. A piece that stands over
two pieces of another row is a heading over several columns and says nothing of where columns are. The model for tables
that rapid-table would load is not in its package, and text alone goes far: see `benchmark tables`.
"""

import html
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from multimodal_llm.document_understanding.document import Cell, Line, Table
from multimodal_llm.document_understanding.ruled_tables import find_ruled_table
from shared.reading_order import Rectangle, rows_of

PIECE_GAP = 0.9  # white between pieces, in lines' heights: words of a sentence stand closer
TIGHT_GAP = 0.45  # white between two columns that pieces of other rows prove to be two
TOUCHING = 0.25  # white within a piece that recognition took for two lines
SHARED = 0.25  # of the narrower piece's width that must be over the other's to be of its column
CONTINUED = 0.85  # of the usual distance of rows: closer ones are lines of one row
LONGEST_RULE = 0.5  # of the table's width that a drawn line must have to be one across the table


@dataclass(frozen=True, slots=True)
class _Piece:
    row: int
    box: Rectangle
    text: str
    line: Line
    """What it is a part of: of the lines in a row several may be as high as each other."""


def read_table(lines: Sequence[Line], picture: np.ndarray, box: Rectangle) -> Table | None:
    """The table in a box of a picture, (height, width, 3) bytes: by its drawn cells, else by where its words stand."""
    return find_ruled_table(lines, picture, box) or find_table(lines, horizontal_rules(picture, box))


def find_table(lines: Sequence[Line], rules: Sequence[float] = ()) -> Table | None:
    """The table that these lines are, or None where they are not at least two rows and two columns.

    `rules` are the heights of drawn lines across it, see `horizontal_rules`.
    """
    boxes = [line.box for line in lines]
    rows = rows_of(boxes)
    pieces = [piece for number, row in enumerate(rows) for line in row for piece in _pieces(lines[line], number)]
    columns = _columns(pieces)
    pieces = [part for piece in pieces for part in _cut(piece, columns)]
    columns = _columns(pieces)
    if len(columns) < 2 or len(rows) < 2:
        return None
    tops = [min(boxes[number][1] for number in row) for row in rows]
    bottoms = [max(boxes[number][3] for number in row) for row in rows]
    filled = [{_first(piece, columns) for piece in pieces if piece.row == row} for row in range(len(rows))]
    starts = _row_starts(tops, bottoms, filled, rules)
    cells = _cells(pieces, columns, starts)
    header = _header_rows(cells, [(tops[start] + bottoms[start]) / 2 for start in starts], rules)
    return Table(len(starts), len(columns), _with_sections(cells, header, len(columns)), header)


def _pieces(line: Line, row: int, gap: float = PIECE_GAP) -> list[_Piece]:
    """The parts of a line between wide white."""
    height = line.box[3] - line.box[1]
    groups: list[list[int]] = []
    for number, word in enumerate(line.words):
        if groups and word.box[0] - line.words[groups[-1][-1]].box[2] <= gap * height:
            groups[-1].append(number)
        else:
            groups.append([number])
    if not groups:
        return [_Piece(row, line.box, line.text, line)]
    return [_Piece(row, _around(line, group), line.part(group[0], group[-1]), line) for group in groups]


def _around(line: Line, numbers: Sequence[int]) -> Rectangle:
    first, last = line.words[numbers[0]].box, line.words[numbers[-1]].box
    return first[0], line.box[1], last[2], line.box[3]


def _columns(pieces: Sequence[_Piece]) -> list[tuple[float, float]]:
    """Left and right of each column: what pieces that stand over each other cover together."""
    plain = [piece for piece in pieces if not _spans(piece, pieces)]
    columns: list[tuple[float, float]] = []
    for piece in sorted(plain, key=lambda piece: piece.box[0]):
        left, _, right, _ = piece.box
        if columns:
            before_left, before_right = columns[-1]
            both = min(right, before_right) - left
            if both > SHARED * min(right - left, before_right - before_left):
                columns[-1] = (before_left, max(right, before_right))
                continue
        columns.append((left, right))
    return _merged(columns, plain)


def _merged(columns: list[tuple[float, float]], pieces: Sequence[_Piece]) -> list[tuple[float, float]]:
    """Neighbours of which no row fills both are one column, closest first: a heading beside its numbers, an indent."""
    rows = [{piece.row for piece in pieces if _beside(piece.box, column)} for column in columns]
    while True:
        gaps = [
            (columns[number + 1][0] - columns[number][1], number)
            for number in range(len(columns) - 1)
            if not rows[number] & rows[number + 1]
        ]
        if not gaps:
            return columns
        _, number = min(gaps)
        left, right = columns[number], columns[number + 1]
        columns[number : number + 2] = [(left[0], max(left[1], right[1]))]
        rows[number : number + 2] = [rows[number] | rows[number + 1]]


def _spans(piece: _Piece, pieces: Sequence[_Piece]) -> bool:
    """Whether it stands over two pieces of one other row; pieces that touch are one, as "≤" and "60 s" may be."""
    under: dict[int, list[_Piece]] = {}
    for other in sorted(pieces, key=lambda each: each.box[0]):
        if other.row == piece.row or _over(piece.box, other.box) <= SHARED:
            continue
        row = under.setdefault(other.row, [])
        if row and other.box[0] - row[-1].box[2] < TOUCHING * (other.box[3] - other.box[1]):
            row.pop()
        row.append(other)
    return any(len(row) > 1 for row in under.values())


def _over(box: Rectangle, other: Rectangle) -> float:
    """The share of the narrower one's width that both have."""
    both = min(box[2], other[2]) - max(box[0], other[0])
    return both / max(min(box[2] - box[0], other[2] - other[0]), 1e-6)


def _cut(piece: _Piece, columns: Sequence[tuple[float, float]]) -> list[_Piece]:
    """A piece over several columns cut where one ends, if its words leave some white there."""
    parts = [part for part in _pieces(piece.line, piece.row, TIGHT_GAP) if _within(part.box, piece.box)]
    cut: list[tuple[int, _Piece]] = []  # each with its column
    for part in parts:
        places = [number for number, column in enumerate(columns) if _beside(part.box, column)]
        if len(places) != 1:
            return [piece]
        if cut and cut[-1][0] == places[0]:
            cut[-1] = (places[0], _together(cut[-1][1], part))
        else:
            cut.append((places[0], part))
    return [part for _, part in cut] or [piece]


def _together(piece: _Piece, other: _Piece) -> _Piece:
    box = (piece.box[0], piece.box[1], other.box[2], piece.box[3])
    return replace(piece, box=box, text=f"{piece.text} {other.text}")


def _within(box: Rectangle, other: Rectangle) -> bool:
    return other[0] - 1e-6 <= box[0] and box[2] <= other[2] + 1e-6


def _beside(box: Rectangle, column: tuple[float, float]) -> bool:
    return _over(box, (column[0], box[1], column[1], box[3])) > SHARED


def _first(piece: _Piece, columns: Sequence[tuple[float, float]]) -> int:
    return _place(piece, columns)[0]


def _place(piece: _Piece, columns: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """The first and last column that a piece is in: those it stands in, else the nearest."""
    inside = [number for number, column in enumerate(columns) if _beside(piece.box, column)]
    if inside:
        return inside[0], inside[-1]
    middle = (piece.box[0] + piece.box[2]) / 2
    nearest = min(range(len(columns)), key=lambda number: abs(sum(columns[number]) / 2 - middle))
    return nearest, nearest


def _row_starts(
    tops: Sequence[float], bottoms: Sequence[float], filled: Sequence[set[int]], rules: Sequence[float]
) -> list[int]:
    """The lines of text with which rows begin; the others go on in the cells of the line above."""
    middles = [(top + bottom) / 2 for top, bottom in zip(tops, bottoms, strict=True)]
    bands = [sum(rule < middle for rule in rules) for middle in middles]
    sizes = [bands.count(band) for band in sorted(set(bands))]
    if len(sizes) >= 4 and statistics.mean(sizes) <= 2:  # a drawn line under each row
        return [row for row in range(len(tops)) if row == 0 or bands[row] != bands[row - 1]]
    distances = np.diff(middles)
    usual = float(np.median(distances)) if len(distances) else 0.0
    starts = [0]
    for row in range(1, len(tops)):
        above = set().union(*filled[starts[-1] : row])
        goes_on = filled[row] <= above and distances[row - 1] < CONTINUED * usual and bands[row] == bands[row - 1]
        if not goes_on:
            starts.append(row)
    return starts


def _cells(pieces: Sequence[_Piece], columns: Sequence[tuple[float, float]], starts: Sequence[int]) -> tuple[Cell, ...]:
    """A cell where a piece stands; pieces that share a place are one cell."""
    cells: dict[tuple[int, int], Cell] = {}
    for piece in sorted(pieces, key=lambda piece: (piece.row, piece.box[0])):
        row = sum(start <= piece.row for start in starts) - 1
        first, last = _place(piece, columns)
        cell = Cell(row, first, piece.text, piece.box, column_span=last - first + 1)
        while clash := next((other for other in cells.values() if _share_place(cell, other)), None):
            del cells[clash.row, clash.column]
            cell = _joined(clash, cell)
        cells[row, cell.column] = cell
    return tuple(cells[place] for place in sorted(cells))


def _share_place(cell: Cell, other: Cell) -> bool:
    ends = min(cell.column + cell.column_span, other.column + other.column_span)
    return cell.row == other.row and ends > max(cell.column, other.column)


def _joined(cell: Cell, other: Cell) -> Cell:
    first = min(cell.column, other.column)
    end = max(cell.column + cell.column_span, other.column + other.column_span)
    lefts, tops, rights, bottoms = zip(cell.box, other.box, strict=True)
    box = (min(lefts), min(tops), max(rights), max(bottoms))
    return replace(cell, column=first, text=f"{cell.text} {other.text}", box=box, column_span=end - first)


def _with_sections(cells: Sequence[Cell], header: int, columns: int) -> tuple[Cell, ...]:
    """A cell alone in its row, at the left, is the heading of the rows below it and spans them all."""
    alone = [cell.row for cell in cells]
    return tuple(
        replace(cell, column_span=columns)
        if cell.row >= header and cell.column == 0 and alone.count(cell.row) == 1
        else cell
        for cell in cells
    )


def _header_rows(cells: Sequence[Cell], middles: Sequence[float], rules: Sequence[float]) -> int:
    """Rows above the first drawn line under text; without one, the rows with spanning cells at the top and one more."""
    for rule in rules:
        above = sum(middle < rule for middle in middles)
        if 0 < above < len(middles):
            return above if above <= max(1, len(middles) // 2) else 1
    spanning = {cell.row for cell in cells if 1 < cell.column_span}
    rows = 1
    while rows - 1 in spanning and rows < len(middles) - 1:
        rows += 1
    return rows


def horizontal_rules(picture: np.ndarray, box: Rectangle) -> list[float]:
    """Heights of the lines drawn across a box of a picture, (height, width, 3) bytes, from top to bottom.

    What stays of the ink after an opening with a long flat kernel (Serra 1982) are lines.
    """
    import cv2

    left, top, right, bottom = (max(0, round(edge)) for edge in box)
    part = picture[top:bottom, left:right]
    if part.shape[0] < 3 or part.shape[1] < 3:
        return []
    grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    ink = (grey < np.median(grey) - 40).astype(np.uint8)
    kernel = np.ones((1, max(3, part.shape[1] // 8)), dtype=np.uint8)
    rows = cv2.morphologyEx(ink, cv2.MORPH_OPEN, kernel).sum(axis=1) > LONGEST_RULE * part.shape[1]  # (height,)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], rows.view(np.int8), [0]])))
    return [top + (start + end) / 2 for start, end in edges.reshape(-1, 2).tolist()]


def to_grid(table: Table) -> list[list[str]]:
    """The texts by rows and columns; a cell over several stands in the first."""
    grid = [[""] * table.columns for _ in range(table.rows)]
    for cell in table.cells:
        grid[cell.row][cell.column] = cell.text
    return grid


def to_markdown(table: Table) -> str:
    """A pipe table. Markdown has one header row and no spans: more header rows become one, with a space between."""
    grid = [[text.replace("|", "\\|").replace("\n", " ") for text in row] for row in to_grid(table)]
    head = [" ".join(filter(None, column)) for column in zip(*grid[: table.header_rows], strict=True)]
    rows = [head, ["---"] * table.columns, *grid[table.header_rows :]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def to_html(table: Table) -> str:
    """A `<table>` with head, body and spans."""
    cells = {(cell.row, cell.column): cell for cell in table.cells}
    covered = {
        (row, column)
        for cell in table.cells
        for row in range(cell.row, cell.row + cell.row_span)
        for column in range(cell.column, cell.column + cell.column_span)
    } - set(cells)
    rows = []
    for row in range(table.rows):
        parts = []
        for column in range(table.columns):
            if (row, column) in covered:
                continue
            cell = cells.get((row, column), Cell(row, column, "", (0, 0, 0, 0)))
            spans = f' colspan="{cell.column_span}"' * (cell.column_span > 1)
            spans += f' rowspan="{cell.row_span}"' * (cell.row_span > 1)
            parts.append(f"<td{spans}>{html.escape(cell.text)}</td>")
        rows.append(f"<tr>{''.join(parts)}</tr>")
    head, body = "".join(rows[: table.header_rows]), "".join(rows[table.header_rows :])
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
