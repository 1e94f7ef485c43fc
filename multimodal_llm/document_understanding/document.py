"""What is known of a document once it is read: pages, blocks, lines and words, each with its place and confidence.

Boxes are left, top, right, bottom in pixels of the page as it stands upright, whose size the page carries; a reader of
the JSON can draw them without knowing how the page lay before. `to_dict` and `from_dict` are each other's inverse.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from shared.reading_order import Rectangle

BlockKind = Literal[
    "text", "title", "figure", "figure_caption", "table", "table_caption", "header", "footer", "reference", "equation"
]
"""The classes of the layout model (CDLA); text that it puts in no block is "text"."""

BLOCK_KINDS: tuple[str, ...] = get_args(BlockKind)
RUNNING: frozenset[str] = frozenset({"header", "footer"})
"""What repeats from page to page and is no part of the text."""

PageStatus = Literal["text", "ocr", "empty", "failed"]
"""Where a page's words come from: its own text layer or character recognition; or that there are none, and why."""


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    box: Rectangle
    score: float
    """How sure the recognition is, 0 to 1; 1 for a PDF's own text."""


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    """The words with the white between them; Chinese has none."""
    box: Rectangle
    score: float
    words: tuple[Word, ...]
    """Runs of letters without white between them; of Chinese, each character."""

    def spans(self) -> list[tuple[int, int]]:
        """Where each word begins and ends in the text."""
        places, end = [], 0
        for word in self.words:
            start = self.text.index(word.text, end)
            end = start + len(word.text)
            places.append((start, end))
        return places

    def part(self, first: int, last: int) -> str:
        """The text from one word to another, numbers from 0, both included."""
        places = self.spans()
        return self.text[places[first][0] : places[last][1]]


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell: its first row and column, how many it spans, its text."""

    row: int
    column: int
    text: str
    box: Rectangle
    row_span: int = 1
    column_span: int = 1


@dataclass(frozen=True, slots=True)
class Table:
    rows: int
    columns: int
    cells: tuple[Cell, ...]
    """By rows, each from left to right; where nothing stands there is no cell."""
    header_rows: int = 1


@dataclass(frozen=True, slots=True)
class Block:
    kind: BlockKind
    box: Rectangle
    score: float
    """The layout model's confidence, 0 to 1; 0 for lines that it left out and we put together."""
    lines: tuple[Line, ...]
    table: Table | None = None

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True, slots=True)
class Page:
    number: int
    """From 1."""
    width: float
    height: float
    status: PageStatus
    reason: str = ""
    """Why a page is empty or failed, in a sentence."""
    turns: int = 0
    """Quarter turns counter-clockwise that made the picture upright."""
    skew: float = 0.0
    """Degrees counter-clockwise that it was turned by after that, to make its lines level."""
    blocks: tuple[Block, ...] = ()
    """In the order of reading."""

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(line for block in self.blocks for line in block.lines)

    @property
    def text(self) -> str:
        """What a reader reads: without running headers and footers."""
        return "\n\n".join(block.text for block in self.blocks if block.kind not in RUNNING and block.lines)


@dataclass(frozen=True, slots=True)
class Document:
    source: str
    pages: tuple[Page, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Document":
        return cls(values["source"], tuple(_page(page) for page in values["pages"]))


def _page(values: dict[str, Any]) -> Page:
    return Page(**{**values, "blocks": tuple(_block(block) for block in values["blocks"])})


def _block(values: dict[str, Any]) -> Block:
    table = values["table"]
    if table is not None:
        cells = tuple(Cell(**{**cell, "box": tuple(cell["box"])}) for cell in table["cells"])
        table = Table(table["rows"], table["columns"], cells, table.get("header_rows", 1))
    lines = tuple(_line(line) for line in values["lines"])
    return Block(values["kind"], tuple(values["box"]), values["score"], lines, table)


def _line(values: dict[str, Any]) -> Line:
    words = tuple(Word(word["text"], tuple(word["box"]), word["score"]) for word in values["words"])
    return Line(values["text"], tuple(values["box"]), values["score"], words)
