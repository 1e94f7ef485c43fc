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
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from qa_system.generation.citation_handler import CitedSentence, cite_sentences, cite_span, split_sentences
from qa_system.generation.extraction import Extract, extract_sentence, extract_with_reader
from qa_system.generation.prompts import messages, reason
from qa_system.retrieval.hybrid_retrieval import Hit, HybridRetriever
from qa_system.retrieval.text_analysis import is_han
from shared.config import check

LEAST_BY_WORDS = 0.2
"""The confidence below which there is no answer where no reader was trained: chosen on CMRC 2018."""
SENTENCE_ENDS = tuple(".!?\"'”’)]。！？；…」』）")
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
    threshold: float | None = None
    """The confidence, 0 to 1, below which there is no answer; by default what was best in our trials."""
    unsupported: Literal["drop", "mark"] = "drop"
    """What becomes of a sentence that no passage supports."""
    model: str = "default"
    """The model's name on a server."""
    reader: str | None = None
    """Folder of a reader that you trained; by default the packaged one."""

    def __post_init__(self) -> None:
        check(self.k >= 1, "k", self.k, "give at least 1")
        check(self.context_tokens >= 64, "context_tokens", self.context_tokens, "give at least 64")
        check(self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "give at least 1")
        inside = self.threshold is None or 0 <= self.threshold <= 1
        check(inside, "threshold", self.threshold, "give 0 to 1")


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
    """Answers from a store, or from a `HybridRetriever` of one. May be shared between threads."""

    def __init__(self, store_or_retriever: Any, settings: AnswerSettings | None = None) -> None:
        searches = hasattr(store_or_retriever, "search")
        self.retriever = store_or_retriever if searches else HybridRetriever(store_or_retriever)
        self.store = self.retriever.store
        self.settings = settings or AnswerSettings()

    def answer(self, question: str, sources: Sequence[str] | None = None, stop: Stop | None = None) -> Answer:
        """The answer from all documents, or from these sources alone. Raises UserError where a model fails."""
        *_, last = self.stream(question, sources, stop)
        assert last.answer is not None
        return last.answer

    def stream(self, question: str, sources: Sequence[str] | None = None, stop: Stop | None = None) -> Iterator[Event]:
        """The same step by step. The last event's answer is what counts: it may differ from the tokens shown."""
        question = " ".join(question.split())
        hits = tuple(self.retriever.search(question, self.settings.k, sources)) if question else ()
        yield Event("passages", hits=hits)
        found = self.extract(question, hits)
        why = self._why_not(question, hits, found)
        if why:
            sure = found.confidence if found else 0.0
            yield _last(Answer(question, "", (), hits, True, reason(why, question), sure, "extractive"))
            return
        assert found is not None  # else there is a reason
        note = ""
        if self.settings.generator == "smollm2" and is_han(question):
            note = reason("English only", question, generator="smollm2")
        elif self.settings.generator != "extractive":
            written = yield from self._write(question, hits, found, stop or (lambda: False))
            if not written.abstained:
                yield _last(written)
                return
            note = written.reason
        yield from self._give(question, hits, found, note)

    def extract(self, question: str, hits: Sequence[Hit]) -> Extract | None:
        """The extractive answer's place, however unsure."""
        reader = None if is_han(question) or not question else load_reader(self.settings.reader)
        if reader is None:
            return extract_sentence(question, hits, self.store.embedder)
        return extract_with_reader(question, hits, reader)

    def _why_not(self, question: str, hits: Sequence[Hit], found: Extract | None) -> str:
        """The name of the reason why there is no answer; empty where there is one."""
        if not question:
            return "no question"
        if not hits or found is None:
            return "nothing found" if len(self.store) else "empty"
        return "not answered" if found.confidence < self.least_confidence(question) else ""

    def least_confidence(self, question: str) -> float:
        """The confidence below which this question is not answered."""
        if self.settings.threshold is not None:
            return self.settings.threshold
        reader = None if is_han(question) else load_reader(self.settings.reader)
        return LEAST_BY_WORDS if reader is None else reader.confidence.threshold

    def _give(self, question: str, hits: tuple[Hit, ...], found: Extract, note: str) -> Iterator[Event]:
        """The extractive answer; its sentence is what is cited."""
        text = hits[found.place].chunk.text[found.start : found.end]
        citation = cite_span(hits[found.place], *found.sentence, self.store.document)
        yield Event("token", text=text)
        sentence = CitedSentence(text, citation, True)
        yield _last(Answer(question, text, (sentence,), hits, False, note, found.confidence, "extractive"))

    def _write(
        self, question: str, hits: tuple[Hit, ...], found: Extract, stop: Stop
    ) -> Generator[Event, None, Answer]:
        """What the model writes, checked against the passages; an abstaining answer where they do not support it."""
        from qa_system.generation.writers import load_writer

        generator = self.settings.generator
        writer = load_writer(generator, self.settings.model)
        prompt = messages(question, hits, self.settings.context_tokens, writer.count)
        text = ""
        for piece in writer.write(prompt, self.settings.max_new_tokens, stop):
            text += piece
            yield Event("token", text=piece)
        said = split_sentences(text)
        if said and not stop() and text.rstrip()[-1:] not in SENTENCE_ENDS and len(said) > 1:
            said = said[:-1]  # the limit cut it
        cited = cite_sentences(said, hits, self.store.document, question=question)
        kept = [each for each in cited if each.supported or self.settings.unsupported == "mark"]
        if not any(each.supported for each in cited):
            note = reason("unsupported", question, generator=generator)
            return Answer(question, "", (), hits, True, note, found.confidence, generator)
        joined = ("" if is_han(question) else " ").join(each.text for each in kept)
        note = reason("stopped", question) if stop() else ""
        return Answer(question, joined, tuple(kept), hits, False, note, found.confidence, generator)


_loading = threading.Lock()


def load_reader(folder: str | None) -> Any:
    """The reader in this folder, or the packaged one, loaded once; None where none is packaged."""
    with _loading:
        return _load_reader(folder)


@lru_cache(maxsize=2)
def _load_reader(folder: str | None) -> Any:
    from qa_system.generation.reader import SHIPPED, Reader

    if folder is None and not SHIPPED.exists():
        return None
    return Reader(Path(folder) if folder else SHIPPED)


def _last(answer: Answer) -> Event:
    return Event("answer", hits=answer.hits, text=answer.text, answer=answer)


def rag_pipeline(question: str, documents: Any, settings: AnswerSettings | None = None) -> tuple[str, list[Hit]]:
    """The answer's text ("" where there is none) and the passages it was made from.

    `documents` is a store, or a list of texts and `Path`s of files, which are read into a store that is forgotten
    afterwards.
    """
    if isinstance(documents, str | Path):
        documents = [documents]
    if not isinstance(documents, Sequence):
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
