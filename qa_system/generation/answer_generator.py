"""Answers to questions from a store's passages, each sentence with its citation, or a reason why there is none.

    answer = AnswerGenerator(store).answer("When was the tower opened?")
    answer.text, answer.confidence, answer.sentences[0].citation.page
    rag_pipeline("When was it opened?", ["The tower was opened in 1889."])     # (answer, the passages it was read from)

extractive    the words of a passage that answer: nothing can be made up. The default, and always for Chinese
smollm2       a small language model writes; also any model by hub name or path, or `http://...`, an OpenAI-compatible
              server. What it writes is laid beside the passages, and where they do not support it the extractive answer
              is given instead
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qa_system.generation.citation_handler import CitedSentence, cite_span
from qa_system.retrieval.hybrid_retrieval import Hit, HybridRetriever
from qa_system.retrieval.text_analysis import is_han
from shared.config import check

Stop = Callable[[], bool]
"""Asked now and then: True ends the writing."""


@dataclass(frozen=True, kw_only=True)
class AnswerSettings:
    """How questions are answered."""

    generator: str = "extractive"
    """extractive, smollm2, another model by hub name or path, or the http:// address of a server."""
    k: int = 5
    """Passages that an answer is made from."""
    context_tokens: int = 1024
    """Most tokens of the passages that a model is given."""
    max_new_tokens: int = 128
    """Most tokens that a model writes."""
    threshold: float = 0.1
    """The confidence, 0 to 1, below which there is no answer."""
    unsupported: Literal["drop", "mark"] = "drop"
    """What becomes of a sentence that no passage supports."""
    model: str = "default"
    """The model's name on a server."""

    def __post_init__(self) -> None:
        check(self.k >= 1, "k", self.k, "give at least 1")
        check(self.context_tokens >= 64, "context_tokens", self.context_tokens, "give at least 64")
        check(self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "give at least 1")
        check(0 <= self.threshold <= 1, "threshold", self.threshold, "give 0 to 1")


@dataclass(frozen=True)
class Answer:
    """An answer, or why there is none."""

    question: str
    text: str
    """Empty where it abstains."""
    sentences: tuple[CitedSentence, ...]
    hits: tuple[Hit, ...]
    """The passages that it was made from, best first."""
    abstained: bool
    reason: str
    """Why it abstains, or why another generator answered than was asked for; one line in the question's language."""
    confidence: float
    """That the passages answer the question, 0 to 1."""
    generator: str
    """Which one wrote the text."""


@dataclass(frozen=True)
class Event:
    """Something to show while an answer is made: `passages` first, then each `token`, at last the `answer`."""

    kind: Literal["passages", "token", "answer"]
    hits: tuple[Hit, ...] = ()
    text: str = ""
    answer: Answer | None = None


class AnswerGenerator:
    """Answers from a store (or a `HybridRetriever` of one). May be shared between threads."""

    def __init__(self, store_or_retriever: Any, settings: AnswerSettings | None = None) -> None:
        found = isinstance(store_or_retriever, HybridRetriever)
        self.retriever = store_or_retriever if found else HybridRetriever(store_or_retriever)
        self.store = self.retriever.store
        self.settings = settings or AnswerSettings()

    def answer(self, question: str, sources: Sequence[str] | None = None, stop: Stop | None = None) -> Answer:
        """The answer from all documents, or from these sources alone."""
        *_, last = self.stream(question, sources, stop)
        assert last.answer is not None
        return last.answer

    def stream(self, question: str, sources: Sequence[str] | None = None, stop: Stop | None = None) -> Iterator[Event]:
        """The same step by step. The text of the last event is what counts: it may differ from the tokens shown."""
        hits = tuple(self.retriever.search(question, self.settings.k, sources)) if question.strip() else ()
        yield Event("passages", hits=hits)
        answer = self._extract(question, hits)
        if answer.text:
            yield Event("token", text=answer.text)
        yield Event("answer", hits=hits, text=answer.text, answer=answer)

    def _extract(self, question: str, hits: tuple[Hit, ...]) -> Answer:
        from qa_system.generation.best_sentence import best_sentence

        chinese = is_han(question)
        found = best_sentence(question, hits, self.store.embedder)
        if found is None:
            reason = "没有找到与问题有关的段落。" if chinese else "No passage speaks of the question."
            return Answer(question, "", (), hits, True, reason, 0.0, "extractive")
        place, start, end, confidence = found
        if confidence < self.settings.threshold:
            reason = "找到的段落没有回答这个问题。" if chinese else "The passages found do not answer the question."
            return Answer(question, "", (), hits, True, reason, confidence, "extractive")
        citation = cite_span(hits[place], start, end, self.store.document, 1.0)
        sentence = CitedSentence(citation.text, citation, True)
        return Answer(question, citation.text, (sentence,), hits, False, "", confidence, "extractive")


def rag_pipeline(question: str, documents: Any, settings: AnswerSettings | None = None) -> tuple[str, list[Hit]]:
    """The answer's text ("" where there is none) and the passages it was made from.

    `documents` is a store, or a list of texts and `Path`s of files, which are read into a store that is forgotten
    afterwards.
    """
    if not isinstance(documents, Sequence) or isinstance(documents, str):
        if isinstance(documents, str | Path):
            documents = [documents]
        else:
            answer = AnswerGenerator(documents, settings).answer(question)
            return answer.text, list(answer.hits)
    from tempfile import TemporaryDirectory

    from qa_system.document_processor.vector_store import VectorStore

    with TemporaryDirectory() as folder:
        store = VectorStore(folder)
        _fill(store, documents)
        answer = AnswerGenerator(store, settings).answer(question)
        store.close()
    return answer.text, list(answer.hits)


def _fill(store: Any, documents: Sequence[str | Path]) -> None:
    from qa_system.document_processor.documents import Document, Span
    from qa_system.document_processor.reader import DocumentReader
    from qa_system.document_processor.text_splitter import split_document, token_counter
    from shared.assets import asset_path

    count_tokens = token_counter(asset_path("minilm") / "tokenizer.json")
    with DocumentReader() as reader:
        for number, given in enumerate(documents, 1):
            if isinstance(given, Path):
                document = reader.read(given)
            else:
                identity = hashlib.sha256(given.encode("utf-8", "replace")).hexdigest()
                spans = (Span(0, len(given)),) if given.strip() else ()
                document = Document(identity, f"document {number}", "text", given, spans)
            if document.text.strip():
                store.add(document, split_document(document, count_tokens))
