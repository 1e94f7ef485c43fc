"""Documents and passages as a store writes them down: text and JSON, read back equal to what they were."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from qa_system.document_processor.documents import Box, Chunk, Document, Page, Span
from qa_system.retrieval.text_analysis import analyse


@dataclass(frozen=True)
class StoredDocument:
    """A line of the list of a store's documents."""

    source: str
    id: str
    kind: str
    pages: int
    pages_without_text: int
    """Empty and failed ones: nothing of them can be found."""
    split: str
    """How it was cut, in the words of who added it."""
    chunks: int
    added: str
    """When, as ISO 8601 in UTC."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What the user wants kept with it."""


def describe(document: Document, split: str, chunks: int, metadata: Mapping[str, Any]) -> StoredDocument:
    """The line for a document that is added now."""
    without_text = sum(page.status in ("empty", "failed") for page in document.pages)
    added = datetime.now(UTC).isoformat(timespec="seconds")
    return StoredDocument(
        source=document.source,
        id=document.id,
        kind=document.kind,
        pages=len(document.pages),
        pages_without_text=without_text,
        split=split,
        chunks=chunks,
        added=added,
        metadata=dict(metadata),
    )


def searched_text(chunk: Chunk) -> str:
    """What is encoded of a passage: its headings too, since a passage often does not repeat what it is about."""
    return " ".join([*chunk.headings, chunk.text])


def searched_terms(chunk: Chunk) -> list[str]:
    """What BM25 sees of a passage. Words of the headings count twice."""
    return 2 * analyse(" ".join(chunk.headings)) + analyse(chunk.text)


def place_of(chunk: Chunk) -> str:
    """Everything of a passage but its text and names, as JSON."""
    boxes = [[box.page, box.left, box.top, box.right, box.bottom] for box in chunk.boxes]
    place = {"start": chunk.start, "end": chunk.end, "headings": chunk.headings, "boxes": boxes}
    return json.dumps(place, ensure_ascii=False)


def chunk_from(identity: str, document_id: str, source: str, text: str, place: str) -> Chunk:
    read = json.loads(place)
    boxes = tuple(Box(*box) for box in read["boxes"])
    return Chunk(identity, document_id, source, text, read["start"], read["end"], tuple(read["headings"]), boxes)


def as_json(value: Document | StoredDocument) -> str:
    return json.dumps(asdict(value), ensure_ascii=False)


def document_from(written: str) -> Document:
    read = json.loads(written)
    spans = tuple(Span(**{**span, "box": Box(**span["box"]) if span["box"] else None}) for span in read["spans"])
    return Document(**{**read, "spans": spans, "pages": tuple(Page(**page) for page in read["pages"])})
