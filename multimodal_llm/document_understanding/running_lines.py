"""Running heads and feet by repetition: what stands at the same edge of neighbouring pages, page numbers aside."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from multimodal_llm.document_understanding.document import RUNNING, Block, Page

REACH = 2  # pages before and after that are compared: left and right pages of a book have heads of their own
EDGE = 0.12  # of the page's height, at its top and bottom, in which running lines stand
SAME_PLACE = 0.01  # of the page's height by which they may move


def mark_running(pages: Iterable[Page]) -> Iterator[Page]:
    """The pages, those blocks at their edges that come back made headers and footers. Holds five pages at a time."""
    window: deque[Page] = deque(maxlen=2 * REACH + 1)
    waiting = 0  # pages at the window's end that were not given out yet
    for page in pages:
        window.append(page)
        waiting += 1
        if waiting > REACH:
            yield _marked(window[-waiting], window)
            waiting -= 1
    for number in range(waiting, 0, -1):
        yield _marked(window[-number], window)


def _marked(page: Page, around: Iterable[Page]) -> Page:
    others = [other for other in around if other is not page]
    blocks = tuple(_running(block, page, others) for block in page.blocks)
    first = [block for block in blocks if block.kind == "header"]
    last = [block for block in blocks if block.kind == "footer"]
    return replace(page, blocks=(*first, *(block for block in blocks if block.kind not in RUNNING), *last))


def _running(block: Block, page: Page, others: list[Page]) -> Block:
    kind = _edge(block, page)
    if block.kind in RUNNING or not kind or not block.lines or block.table:
        return block
    comes_back = any(
        _edge(other, beside) == kind and _alike(block, page, other, beside)
        for beside in others
        for other in beside.blocks
    )
    return replace(block, kind=kind) if comes_back else block  # type: ignore[arg-type]


def _edge(block: Block, page: Page) -> str:
    if block.box[3] < EDGE * page.height:
        return "header"
    return "footer" if block.box[1] > (1 - EDGE) * page.height else ""


def _alike(block: Block, page: Page, other: Block, beside: Page) -> bool:
    """Whether they say the same at the same height. A bare number counts too: page numbers."""
    heights = abs(block.box[1] / page.height - other.box[1] / beside.height)
    return heights < SAME_PLACE and _without_numbers(block.text) == _without_numbers(other.text)


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", " ".join(text.casefold().split()))
