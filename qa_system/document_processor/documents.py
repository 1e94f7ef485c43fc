"""A document as the rest of the project sees it: its text, where each line of it stands, and the chunks it is cut into.

Everything points into `Document.text` by character: `document.text[span.start:span.end]` is a line as it was printed,
`document.text[chunk.start:chunk.end]` is a chunk. So a citation can say page and place without searching for its words.
"""

from dataclasses import dataclass
from typing import Literal

PageStatus = Literal["text", "ocr", "empty", "failed"]
"""Where a page's text came from: its text layer, optical character recognition, or why there is none."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page as the page is shown: points (1/72 inch) from its upper left corner."""

    page: int
    """From 1."""
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Span:
    """A line of the document: `text[start:end]`, and where it is printed (None in kinds that have no pages)."""

    start: int
    end: int
    box: Box | None = None
    heading: int = 0
    """The level of a heading, from 1; 0 for everything else."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page, its size in points as it is shown, and what became of it."""

    number: int
    """From 1."""
    width: float
    height: float
    status: PageStatus
    reason: str = ""
    """Why a page is empty or failed, or why its text was recognised from the picture."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read. Paragraphs of `text` are parted by an empty line."""

    id: str
    """SHA-256 of the file's bytes, 64 hex digits: the same file has the same id wherever it lies."""
    source: str
    """Path or name, as the user gave it."""
    kind: str
    """pdf, text, markdown, html or docx."""
    text: str
    spans: tuple[Span, ...]
    """In reading order, without overlap; what lies between two of them is white space."""
    pages: tuple[Page, ...] = ()
    """All of them, the empty and failed ones too; none in kinds that have no pages."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document: what is indexed, found and cited."""

    id: str
    """32 hex digits, from the document's id, the place and the text: the same passage has the same id at each run."""
    document_id: str
    source: str
    text: str
    start: int
    end: int
    headings: tuple[str, ...] = ()
    """The headings it stands under, outermost first."""
    boxes: tuple[Box, ...] = ()
    """Where its lines are printed."""

    @property
    def pages(self) -> tuple[int, ...]:
        """The pages it is printed on; empty for kinds that have no pages."""
        return tuple(sorted({box.page for box in self.boxes}))
