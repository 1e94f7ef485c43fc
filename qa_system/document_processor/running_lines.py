"""Headers, footers and page numbers: lines that come again at the edge of page after page, and are no part of the text.

A line is dropped if at least three pages close to each other have it in the same margin; the first of them keeps it,
since it may be a chapter's only title. A number in it may be the same each time, as a year is, or grow with the pages,
as a page number does; then the first goes too. Where it changes in any other way the lines are a table's, and stay.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from qa_system.document_processor.page_lines import Line, goes_on
from qa_system.document_processor.pdf_reader import ReadPage

MARGIN = 0.12  # of the page's height, above and below
OUTERMOST = 0.2  # the same for the first and last line of a page, where margins are wide
MOST_LINES = 3  # in a margin
FEWEST_PAGES = 3
NEAR = 8  # pages: chapters change their headers
MOST_CELLS = 3  # a row with more is a table's heading that comes again on each page, and stays
HAS_LETTERS = re.compile(r"[^\W\d_]{2}")
NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")
ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


def drop_running_lines(pages: Sequence[ReadPage]) -> list[ReadPage]:
    """The pages without their headers and footers."""
    seen: dict[tuple[str, str], set[int]] = defaultdict(set)
    for page in pages:
        for margin, line in in_margins(page):
            for form in _forms(line.text, page.number):
                seen[margin, form].add(page.number)
    kept = []
    for page in pages:
        running = {id(line) for margin, line in in_margins(page) if _is_running(seen, margin, line, page.number)}
        kept.append(page._replace(lines=_without(page.lines, running)))
    return kept


def _is_running(seen: dict[tuple[str, str], set[int]], margin: str, line: Line, page: int) -> bool:
    for form in _forms(line.text, page):
        near = [other for other in seen[margin, form] if abs(other - page) <= NEAR]
        # Words that are the same each time are kept where they come first: they may be a chapter's only title.
        if len(near) >= FEWEST_PAGES and (min(near) < page or "<" in form or not HAS_LETTERS.search(form)):
            return True
    return False


def _without(lines: list[Line], running: set[int]) -> list[Line]:
    """The other lines. One that followed a running line follows now the line before that."""
    left: list[Line] = []
    after_running = False
    for line in lines:
        if id(line) in running:
            after_running = True
            continue
        if after_running:
            goes = bool(left) and goes_on(left[-1], line)
            line = replace(line, joint="flow" if goes else "paragraph")
        left.append(line)
        after_running = False
    return left


def in_margins(page: ReadPage) -> Iterator[tuple[str, Line]]:
    """Lines in the upper and in the lower margin, with its name."""
    placed = [(line.box, line) for line in page.lines if line.box is not None and line.text.count("\t") < MOST_CELLS]
    placed.sort(key=lambda each: each[0][1])
    for place, (box, line) in enumerate(placed[:MOST_LINES]):
        if box[3] < (MARGIN if place else OUTERMOST) * page.height:
            yield "above", line
    for place, (box, line) in enumerate(placed[: -MOST_LINES - 1 : -1]):
        if box[1] > (1 - (MARGIN if place else OUTERMOST)) * page.height:
            yield "below", line


def _forms(text: str, page: int) -> list[str]:
    """The line with each of its numbers as it is, or as its distance from the page's number."""
    text = " ".join(text.lower().split())
    numbers = list(NUMBER.finditer(text))[:4]
    forms = []
    for follows in itertools.product((False, True), repeat=len(numbers)):
        form, end = "", 0
        for number, grows in zip(numbers, follows, strict=True):
            written = f"<{_value(number[0]) - page:+d}>" if grows else number[0]
            form, end = form + text[end : number.start()] + written, number.end()
        forms.append(form + text[end:])
    return forms


def _value(number: str) -> int:
    if number.isdigit():
        return int(number)
    digits = [ROMAN[letter] for letter in number]
    return sum(-a if a < b else a for a, b in zip(digits, [*digits[1:], 0], strict=True))
