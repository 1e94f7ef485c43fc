"""Figures and tables that stand at the head of a column, in the middle of a sentence: they go behind its paragraph.

A paragraph that does not end as a sentence does, then a few short pieces with a caption among them, then a paragraph of
the same letters that begins with a small one: these are the two halves of one. Chinese has no small letters, there
nothing is moved.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from qa_system.document_processor.page_lines import SAME_SIZE, Line, goes_on

CAPTION = re.compile(r"(Figure|Fig\.|Table|Algorithm|Listing)\s*\d", re.IGNORECASE)
MOST_BETWEEN = 25  # paragraphs; each label of a figure may be one
MOST_LINES = 3  # of a paragraph between that is no caption: longer ones are text, the sentence ended otherwise
LEAST_LETTERS = 20  # in the last and first line of the halves: less is a label


class Placed(NamedTuple):
    """A line and its page."""

    page: int
    line: Line


def move_floats(lines: Sequence[Placed]) -> list[Placed]:
    """The same lines, sentences whole. The first line of a second half then flows."""
    paragraphs: list[list[Placed]] = []
    for placed in lines:
        if placed.line.joint == "paragraph" or not paragraphs:
            paragraphs.append([])
        paragraphs[-1].append(placed)
    number = 0
    while number < len(paragraphs):
        half = _second_half(paragraphs, number)
        if half is None:
            number += 1
            continue
        paragraphs[half][0].line.joint = "flow"
        paragraphs[number] += paragraphs.pop(half)  # and look again: it may be parted more than once
    return [placed for paragraph in paragraphs for placed in paragraph]


def _second_half(paragraphs: list[list[Placed]], number: int) -> int | None:
    """The number of the paragraph that goes on with this one's last sentence, behind figures."""
    end = paragraphs[number][-1]
    if not _is_text(end.line):
        return None
    caption = False
    for other in range(number + 1, min(number + 2 + MOST_BETWEEN, len(paragraphs))):
        begin = paragraphs[other][0]
        same = abs(begin.line.size - end.line.size) <= SAME_SIZE * end.line.size
        if begin.page > end.page + 1 or begin.line.heading:
            return None
        if _is_text(begin.line) and goes_on(end.line, begin.line):
            return other if caption else None
        is_caption = CAPTION.match(begin.line.text) is not None
        if same and len(paragraphs[other]) > MOST_LINES and not is_caption and _is_text(begin.line):
            return None
        caption = caption or is_caption
    return None


def _is_text(line: Line) -> bool:
    return not line.heading and line.box is not None and "\t" not in line.text and len(line.text) >= LEAST_LETTERS
