"""From the lines of all pages to one text, in which every line has its place.

Lines of a sentence are joined by a space, Chinese ones by nothing; rows by a line break, paragraphs by an empty line. A
hyphen at the end of a line goes, unless the word is written with it elsewhere in the document, unless both halves are
words that the document has on their own, and unless what follows is no small letter ("BM25-based", "MUC-6").
"""

import re
import statistics
from collections.abc import Iterable, Sequence

from qa_system.document_processor.documents import Box, Span
from qa_system.document_processor.floats import Placed, move_floats
from qa_system.document_processor.page_lines import SENTENCE_END, Line, goes_on
from qa_system.document_processor.pdf_reader import LINE_END_HYPHEN, ReadPage

BULLETS = "•▪●◦‣∙■□◆–—*-"
WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
HALF_WORD = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)*)[-\x02]$")
HAN_OR_KANA = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
NUMBERED = re.compile(r"(\d+(\.\d+)*\.?|[A-Z]\.|第[一二三四五六七八九十\d]+[章节条])\s*\S")
LARGER = 1.12  # than the document's letters: a heading
LONGEST_HEADING = 160  # characters
LONGEST_SENTENCE_HEADING = 60  # of one that ends as a sentence does
LEVELS = 4


def assemble(pages: Sequence[ReadPage]) -> tuple[str, tuple[Span, ...]]:
    """The text of the document and its spans, one for each line."""
    _find_headings(pages)
    words = _whole_words(pages)
    for above, page in zip(pages, pages[1:], strict=False):
        if above.lines and page.lines and page.lines[0].joint == "paragraph" and not page.lines[0].heading:
            if goes_on(above.lines[-1], page.lines[0]):
                page.lines[0].joint = "flow"  # from one page to the next
    parts: list[str] = []
    spans: list[Span] = []
    length = 0
    for number, line in move_floats([Placed(page.number, line) for page in pages for line in page.lines]):
        text = line.text.rstrip(LINE_END_HYPHEN) + "-" if line.text.endswith(LINE_END_HYPHEN) else line.text
        text = text.replace(LINE_END_HYPHEN, "")
        if parts:
            between = {"paragraph": "\n\n", "row": "\n"}.get(line.joint)
            if between is None:
                between = _between(parts[-1], text)
                if between == "" and HALF_WORD.search(parts[-1]) and not _keeps_hyphen(parts[-1], text, words):
                    parts[-1] = parts[-1][:-1]
                    spans[-1] = Span(spans[-1].start, spans[-1].end - 1, spans[-1].box, spans[-1].heading)
                    length -= 1
            parts.append(between)
            length += len(between)
        box = Box(number, *(round(edge, 1) for edge in line.box)) if line.box else None
        spans.append(Span(length, length + len(text), box, line.heading))
        parts.append(text)
        length += len(text)
    return "".join(parts), tuple(spans)


def _whole_words(pages: Iterable[ReadPage]) -> set[str]:
    """The words of the document, without the halves of those that the end of a line parts."""
    words: set[str] = set()
    parted = False
    for line in (line for page in pages for line in page.lines):
        found = [word.lower() for word in WORD.findall(line.text)]
        begins_parted, parted = parted, HALF_WORD.search(line.text) is not None
        words.update(found[begins_parted : len(found) - parted])
    return words


def _between(above: str, below: str) -> str:
    if HALF_WORD.search(above) and below[:1].isalnum():
        return ""
    return "" if HAN_OR_KANA.match(above[-1:]) and HAN_OR_KANA.match(below[:1]) else " "


def _keeps_hyphen(above: str, below: str, words: set[str]) -> bool:
    """Whether the hyphen between the end of a line and the beginning of the next belongs to the word."""
    half, rest = HALF_WORD.search(above), WORD.match(below)
    if half is None or rest is None or not rest[0][0].islower():
        return True
    left, right = half[1].lower(), rest[0].lower()
    if left + right in words:
        return False
    if f"{left}-{right}" in words:
        return True
    last, first = left.rpartition("-")[2], right.partition("-")[0]
    return "-" in left or (len(last) > 2 and len(first) > 2 and last in words and first in words)


def _find_headings(pages: Iterable[ReadPage]) -> None:
    """Set the level of headings by the size of their letters; kinds without pages have said it themselves."""
    lines = [line for page in pages if page.status == "text" for line in page.lines if line.box is not None]
    if not lines:
        return
    body = statistics.median_low([line.size for line in lines for _ in range(max(len(line.text) // 8, 1))])
    found = [paragraph for paragraph in _paragraphs(lines) if _is_heading(paragraph, body)]
    sizes = sorted({_step(paragraph[0].size) for paragraph in found}, reverse=True)
    for paragraph in found:
        for line in paragraph:
            line.heading = min(sizes.index(_step(paragraph[0].size)) + 1, LEVELS)


def _paragraphs(lines: list[Line]) -> list[list[Line]]:
    paragraphs: list[list[Line]] = []
    for line in lines:
        if line.joint == "paragraph" or not paragraphs:
            paragraphs.append([])
        paragraphs[-1].append(line)
    return paragraphs


def _is_heading(paragraph: list[Line], body: float) -> bool:
    text = " ".join(line.text for line in paragraph)
    if len(text) > LONGEST_HEADING or "\t" in text or sum(letter.isalpha() for letter in text) < 2:
        return False
    if any(line.joint == "row" for line in paragraph) or text[0].islower() or text[0] in BULLETS:
        return False
    if text.endswith("。") or (SENTENCE_END.search(text) and len(text) > LONGEST_SENTENCE_HEADING):
        return False
    if all(line.size > LARGER * body for line in paragraph):
        return True
    bold = all(line.bold and line.size > 0.97 * body for line in paragraph)
    return bold and len(text) < LONGEST_HEADING / 2 and (not SENTENCE_END.search(text) or bool(NUMBERED.match(text)))


def _step(size: float) -> float:
    return round(2 * size) / 2
