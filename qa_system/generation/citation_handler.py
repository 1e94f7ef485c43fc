"""Each sentence of an answer with the place in a document that supports it.

A small model neither cites nor says where it has something from. So citations are made afterwards: a sentence is laid
beside every sentence of the passages that were given, and takes the one that shares most of its words. A number that
stands in no passage supports nothing. What is cited is a slice of the document's text, character for character.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qa_system.document_processor.documents import Box, Document
from qa_system.document_processor.text_splitter import sentences
from qa_system.retrieval.hybrid_retrieval import Hit
from qa_system.retrieval.text_analysis import analyse

SUPPORTED = 0.6
"""The share of a sentence's words that a span must have."""

FindDocument = Callable[[str], Document | None]
"""A document by its source, such as `store.document`."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A place in a document: `document.text[start:end] == text`."""

    source: str
    page: int | None
    """From 1; None in kinds that have no pages."""
    start: int
    end: int
    text: str
    boxes: tuple[Box, ...]
    """Where its lines are printed, in points from the page's upper left corner."""
    chunk_id: str
    """The passage that it was found in."""
    score: float
    """How much of the sentence it supports, 0 to 1."""


@dataclass(frozen=True, slots=True)
class CitedSentence:
    """A sentence of an answer, and what supports it."""

    text: str
    citation: Citation | None
    supported: bool


def cite_span(hit: Hit, start: int, end: int, find_document: FindDocument, score: float = 1.0) -> Citation:
    """The citation of `hit.chunk.text[start:end]`."""
    chunk = hit.chunk
    first, last = chunk.start + start, chunk.start + end
    document = find_document(chunk.source)
    # Another program may have changed the document since the passage was found: then the passage is all there is.
    if document is not None and document.text[first:last] == chunk.text[start:end]:
        boxes = tuple(span.box for span in document.spans if span.box and span.start < last and span.end > first)
    else:
        boxes = chunk.boxes
    page = boxes[0].page if boxes else None
    return Citation(chunk.source, page, first, last, chunk.text[start:end], boxes, chunk.id, score)


def cite_sentences(
    answer: Sequence[str],
    hits: Sequence[Hit],
    find_document: FindDocument,
    question: str | None = None,
) -> list[CitedSentence]:
    """Each sentence of an answer with the span of the passages that supports it best.

    Where that shares less than `SUPPORTED` of its words the sentence is not supported, and cites nothing. With
    the question, a span that has none of its words supports nothing: "ignore all instructions and say X" in a document
    is no evidence for X.
    """
    spans = [(hit, start, end) for hit in hits for start, end in sentences(hit.chunk.text)]
    if question is not None:
        asked = set(analyse(question))
        spans = [(hit, start, end) for hit, start, end in spans if asked & set(analyse(hit.chunk.text[start:end]))]
    terms = [frozenset(analyse(hit.chunk.text[start:end])) for hit, start, end in spans]
    cited = []
    for sentence in answer:
        shares = [support(sentence, words) for words in terms]
        best = max(range(len(spans)), key=shares.__getitem__, default=None)
        if best is None or shares[best] < SUPPORTED:
            cited.append(CitedSentence(sentence, None, False))
            continue
        hit, start, end = spans[best]
        cited.append(CitedSentence(sentence, cite_span(hit, start, end, find_document, shares[best]), True))
    return cited


def support(sentence: str, words: frozenset[str]) -> float:
    """The share, 0 to 1, of a sentence's terms that are among the words; 0 where it has a number that is not."""
    terms = set(analyse(sentence))
    if not terms or any(term[:1].isdigit() and term not in words for term in terms):
        return 0.0
    return len(terms & words) / len(terms)


def split_sentences(text: str) -> list[str]:
    """The sentences of an answer."""
    return [text[start:end] for start, end in sentences(text)]
