"""What is asked of the server, and what it answers."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from qa_system.app.jobs import Job, State
from qa_system.document_processor.documents import Box
from qa_system.document_processor.stored_form import StoredDocument
from qa_system.generation.answer_generator import Answer, Event
from qa_system.generation.citation_handler import Citation
from qa_system.retrieval.hybrid_retrieval import Hit

MAX_QUESTION, MAX_SOURCES, MAX_BODY_BYTES = 2_000, 100, 262_144

Question = Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUESTION, pattern=r"\S")]
Source = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class AskRequest(BaseModel):
    """A question to all documents, or to some; with `stream` the answer comes step by step."""

    model_config = ConfigDict(extra="forbid")

    question: Question
    sources: Annotated[list[Source], Field(min_length=1, max_length=MAX_SOURCES)] | None = None
    stream: bool = False


class Place(BaseModel):
    """A rectangle on a page, in points (1/72 inch) from its upper left corner."""

    page: int
    left: float
    top: float
    right: float
    bottom: float


class Cited(BaseModel):
    """A place in a document, word for word."""

    source: str
    page: int | None
    start: int
    end: int
    text: str
    boxes: list[Place]
    chunk_id: str
    score: float


class Sentence(BaseModel):
    text: str
    supported: bool
    citation: Cited | None


class Passage(BaseModel):
    """A passage that was found, and why: its share of the possible BM25, and the cosine with the question."""

    source: str
    pages: list[int]
    headings: list[str]
    start: int
    end: int
    text: str
    chunk_id: str
    score: float
    bm25: float
    cosine: float


class AnswerResponse(BaseModel):
    """An answer, or why there is none."""

    question: str
    text: str
    abstained: bool
    reason: str
    confidence: float
    generator: str
    sentences: list[Sentence]
    passages: list[Passage]


class DocumentLine(BaseModel):
    """A document in the store."""

    source: str
    id: str
    kind: str
    pages: int
    pages_without_text: int
    passages: int
    added: str


class Documents(BaseModel):
    documents: list[DocumentLine]
    passages: int
    embedding: str


class Deleted(BaseModel):
    source: str
    passages: int


class JobLine(BaseModel):
    """What became of an upload; `done` of `total` are pages while it is read, then passages while they are encoded."""

    id: str
    source: str
    state: State
    done: int
    total: int
    change: Literal["", "added", "updated", "unchanged"]
    passages: int
    reason: str
    detail: str
    taken: str


class Jobs(BaseModel):
    jobs: list[JobLine]


def job_line(job: Job) -> JobLine:
    return JobLine(**{name: getattr(job, name) for name in JobLine.model_fields})


def document_line(line: StoredDocument) -> DocumentLine:
    named = {name: getattr(line, name) for name in DocumentLine.model_fields if name != "passages"}
    return DocumentLine(**named, passages=line.chunks)


def passage(hit: Hit) -> Passage:
    chunk = hit.chunk
    return Passage(
        source=chunk.source,
        pages=list(chunk.pages),
        headings=list(chunk.headings),
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        chunk_id=chunk.id,
        score=hit.score,
        bm25=hit.bm25,
        cosine=hit.cosine,
    )


def cited(citation: Citation | None) -> Cited | None:
    if citation is None:
        return None
    values = {name: getattr(citation, name) for name in Cited.model_fields if name != "boxes"}
    return Cited(**values, boxes=[_place(box) for box in citation.boxes])


def _place(box: Box) -> Place:
    return Place(page=box.page, left=box.left, top=box.top, right=box.right, bottom=box.bottom)


def answer_response(answer: Answer) -> AnswerResponse:
    return AnswerResponse(
        question=answer.question,
        text=answer.text,
        abstained=answer.abstained,
        reason=answer.reason,
        confidence=answer.confidence,
        generator=answer.generator,
        sentences=[
            Sentence(text=each.text, supported=each.supported, citation=cited(each.citation))
            for each in answer.sentences
        ],
        passages=[passage(hit) for hit in answer.hits],
    )


def server_sent(kind: str, value: Any) -> bytes:
    """One event of a stream: its data are one line of JSON, so that no text can end it early or begin another."""
    return f"event: {kind}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n".encode("utf-8", "replace")


def event_sent(event: Event) -> bytes:
    """`passages` (a list), `token` ({"text"}), or `answer` (an AnswerResponse)."""
    if event.kind == "passages":
        return server_sent("passages", [passage(hit).model_dump() for hit in event.hits])
    if event.answer is not None:
        return server_sent("answer", answer_response(event.answer).model_dump())
    return server_sent("token", {"text": event.text})
