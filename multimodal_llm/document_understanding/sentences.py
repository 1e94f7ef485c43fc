"""The sentences of a page's running text, each with the box around the lines that it stands on."""

import re
from collections.abc import Iterator, Sequence

from multimodal_llm.document_understanding.document import RUNNING, Line, Page
from multimodal_llm.document_understanding.rows import Piece, join
from shared.reading_order import around

FEWEST_WORDS, MOST_WORDS = 5, 80  # of a sentence; a Chinese one has twice as many characters
MOST_NUMBERS = 0.25  # of a sentence's words; rows of a receipt that were run together have more, and many colons
SAME_PRINT = 1.35  # ratio of two lines' heights
LINE_GAP = 1.0  # in heights of the line: with more white between them two lines are not one text
END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])|(?<=[。！？])")


def sentences_of(page: Page) -> Iterator[Piece]:
    """The sentences of blocks that are no table and no running header, in the order of reading.

    Neighbouring blocks of one line each are read as one text, since recognition without a layout gives such.
    """
    lines: list[Line] = []
    for block in page.blocks:
        if block.kind in RUNNING or block.table is not None:
            continue
        if len(block.lines) == 1 and block.kind == "text":
            if lines and not _goes_on(lines[-1], block.lines[0]):
                yield from _cut(lines, page.number)
                lines = []
            lines += block.lines
            continue
        yield from _cut(lines, page.number)
        lines = []
        yield from _cut(list(block.lines), page.number)
    yield from _cut(lines, page.number)


def _goes_on(above: Line, line: Line) -> bool:
    """Whether a line is the next one of the same text: right below it, begun where it began, of the same print."""
    height = above.box[3] - above.box[1]
    low, high = sorted((height, line.box[3] - line.box[1]))
    below = -0.5 * height < line.box[1] - above.box[3] < LINE_GAP * height
    return below and high < SAME_PRINT * low and abs(line.box[0] - above.box[0]) < 2 * height


def _cut(lines: Sequence[Line], page: int) -> Iterator[Piece]:
    if not lines:
        return
    text, starts = "", []
    for line in lines:
        broken = text.endswith("-") and line.text[:1].islower()
        joined = text[:-1] + line.text if broken else join([text, line.text]) if text else line.text
        starts.append(len(joined) - len(line.text))
        text = joined
    begin = 0
    for end in [*(match.start() for match in END.finditer(text)), len(text)]:
        sentence = text[begin:end].strip()
        words = len(re.findall(r"[\u3400-\u9fff]", sentence)) / 2 + len(re.findall(r"[A-Za-z]{2,}", sentence))
        tokens = sentence.split()
        numbers = sum(bool(re.search(r"\d", token)) for token in tokens) / max(len(tokens), 1)
        if FEWEST_WORDS <= words <= MOST_WORDS and numbers <= MOST_NUMBERS and len(re.findall(r"[:：]", sentence)) < 3:
            first = max(n for n, start in enumerate(starts) if start <= begin + 1)
            last = max(n for n, start in enumerate(starts) if start < end)
            under = lines[first : last + 1]
            score = min(line.score for line in under)
            yield Piece(sentence, around(line.box for line in under), score, page)
        begin = end
