"""Lines and blocks put together: every line in one block, blocks in the order of reading.

The detector says what a block is, the lines say what stands in it; each is wrong at times. A line belongs to the block
that covers most of it; lines that no block covers become blocks of text, so that nothing that was read is lost.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from multimodal_llm.document_understanding.block_detector import FoundBlock
from multimodal_llm.document_understanding.document import RUNNING, Block, Line
from multimodal_llm.document_understanding.tables import find_table, read_table
from shared.reading_order import Rectangle, around, reading_order, rows_of

WITHIN = 0.5  # share of a line that a block must cover to hold it
INSIDE = 0.8  # share of a block in a surer one from which on it is a part of it, not a block
PARAGRAPH_GAP = 0.9  # white between lines of one paragraph at most, in lines' heights
WHOLE = frozenset({"figure", "table", "equation"})  # kinds whose lines have no place of their own in the order
SURE_TABLE = 0.9  # with less, a table that is the whole page is a receipt or a form
SPARSE = frozenset({"figure", "equation"})  # kinds that mostly are not text


def put_together(
    lines: Sequence[Line], found: Sequence[FoundBlock], picture: np.ndarray | None = None
) -> tuple[Block, ...]:
    """The page's blocks in the order of reading. In its picture, (height, width, 3), tables' drawn lines are seen."""
    blocks = [Block(block.kind, block.box, block.score, ()) for block in _without_parts(found, lines)]
    held: list[list[Line]] = [[] for _ in blocks]
    loose = []
    for line in lines:
        shares = [covered(line.box, block.box) for block in blocks]
        best = max(range(len(blocks)), key=lambda number: shares[number], default=None)
        if best is None or shares[best] < WITHIN:
            loose.append(line)
        else:
            held[best].append(line)
    whole = []
    for block, inside in zip(blocks, held, strict=True):
        if inside or block.kind in WHOLE:
            box = around([line.box for line in inside] + [block.box])
            table = None
            if block.kind == "table":
                table = find_table(inside) if picture is None else read_table(inside, picture, box)
            whole.append(Block(block.kind, box, block.score, in_rows(inside), table))
    whole += _loose(loose, [block for block in whole if block.kind in RUNNING])
    places = {"header": -1, "footer": 1}  # whatever column they stand over or under
    ordered = [whole[number] for number in _order(whole)]
    return tuple(sorted(ordered, key=lambda block: places.get(block.kind, 0)))


def _without_parts(found: Sequence[FoundBlock], lines: Sequence[Line]) -> list[FoundBlock]:
    """Blocks that lie in no surer one, without the figures and tables that receipts and forms are taken for."""
    kept: list[FoundBlock] = []
    for block in sorted(found, key=lambda block: -block.score):
        if block.kind in SPARSE and _is_text(block, lines):
            continue
        if block.kind == "table" and block.score < SURE_TABLE and _is_page(block, lines):
            continue
        around_it = [other for other in kept if covered(block.box, other.box) >= INSIDE]
        parts = [other for other in kept if other.kind == block.kind and covered(other.box, block.box) >= INSIDE]
        if around_it:
            continue
        if parts:  # a part was found first: the whole takes its place
            kept = [other for other in kept if other not in parts]
            block = replace(block, box=around([block.box, *(part.box for part in parts)]), score=parts[0].score)
        kept.append(block)
    return kept


def _is_page(block: FoundBlock, lines: Sequence[Line]) -> bool:
    """Whether a block holds all that is on a page that is more than a few lines, as a table alone seldom does."""
    inside = sum(covered(line.box, block.box) >= WITHIN for line in lines)
    return len(lines) > 10 and inside > 0.9 * len(lines)


def _is_text(block: FoundBlock, lines: Sequence[Line]) -> bool:
    """Whether lines of text fill a block as they fill a page, which labels in a drawing do not."""
    inside = [line for line in lines if covered(line.box, block.box) >= WITHIN]
    if len(inside) < 8:
        return False
    left, top, right, bottom = block.box
    rows = rows_of([line.box for line in inside])
    filled = sum(max(inside[number].box[3] - inside[number].box[1] for number in row) for row in rows)
    letters = sum(len(line.text) for line in inside) / len(rows)
    return filled > 0.35 * (bottom - top) and letters >= 8


def paragraphs(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines of one column or one set of rows that follow each other without a gap."""
    boxes = [line.box for line in lines]
    found: list[list[Line]] = []
    for region in reading_order(boxes):
        floor = None
        for row in region:
            top, bottom = min(boxes[number][1] for number in row), max(boxes[number][3] for number in row)
            if floor is None or top - floor > PARAGRAPH_GAP * (bottom - top):
                found.append([])
            found[-1] += [lines[number] for number in row]
            floor = bottom
    return found


def _loose(lines: Sequence[Line], running: Sequence[Block]) -> list[Block]:
    """Blocks of lines that the detector left out. What stands in a row with a page's header is of it."""
    blocks = []
    for part in paragraphs(lines):
        box = around([line.box for line in part])
        kinds = {block.kind for block in running if _in_row(box, block.box)}
        blocks.append(Block(kinds.pop() if kinds else "text", box, 0.0, in_rows(part)))
    return blocks


def _in_row(box: Rectangle, other: Rectangle) -> bool:
    both = min(box[3], other[3]) - max(box[1], other[1])
    return both > 0.5 * max(box[3] - box[1], other[3] - other[1])


def in_rows(lines: Sequence[Line]) -> tuple[Line, ...]:
    """From top to bottom and, in a row, from left to right."""
    return tuple(lines[number] for row in rows_of([line.box for line in lines]) for number in row)


def _order(blocks: Sequence[Block]) -> list[int]:
    """Blocks' numbers in the order of reading, which is that of their first lines; tables and figures count as one."""
    boxes: list[Rectangle] = []
    owners: list[int] = []
    for number, block in enumerate(blocks):
        parts = [block.box] if block.kind in WHOLE or not block.lines else [line.box for line in block.lines]
        boxes += parts
        owners += [number] * len(parts)
    heights = [line.box[3] - line.box[1] for block in blocks for line in block.lines]
    regions = reading_order(boxes, statistics.median(heights) if heights else None)
    ranked = [owners[number] for region in regions for row in region for number in row]
    return list(dict.fromkeys(ranked))


def covered(box: Rectangle, by: Rectangle) -> float:
    """The share of a box that another covers."""
    width, height = min(box[2], by[2]) - max(box[0], by[0]), min(box[3], by[3]) - max(box[1], by[1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    return max(width, 0) * max(height, 0) / area if area > 0 else 0.0
