"""The store and its encoder for programs written with LangChain (extra `langchain`).

    from qa_system.langchain_adapters import StoreVectors
    store = StoreVectors.open("runs/qa_system/store")
    retriever = store.as_retriever(search_kwargs={"k": 5})

The roadmap's `langchain.vectorstores` and `langchain.embeddings` are now modules of langchain_core. Each text that
comes in this way is a document of one passage, whose source is its id. A search is this project's hybrid one.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Self

from langchain_core.documents import Document as LangChainDocument
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore as LangChainVectorStore

from qa_system.document_processor.documents import Chunk, Document, Span
from qa_system.document_processor.stored_form import StoredDocument
from qa_system.retrieval.dense_retrieval import Embedder, load_embedder
from qa_system.retrieval.hybrid_retrieval import Hit, HybridRetriever
from qa_system.store import Store, open_store


class StoreEmbeddings(Embeddings):
    """An encoder of ours: minilm, e5-multilingual, a folder or a hub name."""

    def __init__(self, embedder: Embedder | str = "minilm") -> None:
        self.embedder = load_embedder(embedder) if isinstance(embedder, str) else embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.embedder.encode(texts, "passage").tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embedder.encode([text], "query")[0].tolist()


class StoreVectors(LangChainVectorStore):
    """A store of ours. `ids` are sources; a source that is there is replaced."""

    def __init__(self, store: Store, retriever: HybridRetriever | None = None) -> None:
        self.store, self.retriever = store, retriever or HybridRetriever(store)

    @classmethod
    def open(cls, where: str, embedding: str | None = None) -> Self:
        """The store in this folder or on this Milvus server; made if it is not there."""
        return cls(open_store(where, embedding, create=True))

    @property
    def embeddings(self) -> Embeddings:
        return StoreEmbeddings(self.store.embedder)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts; the ids that they have, by default from their content, so that a text is there once.

        One that is there with other metadata gets these. Raises ValueError, before anything is added, where there are
        not as many metadatas or ids as texts, and TypeError for metadata that JSON does not know.
        """
        all_texts = list(texts)
        for name, given in (("metadatas", metadatas), ("ids", ids)):
            if given and len(given) != len(all_texts):
                raise ValueError(f"{name}: {len(given)} for {len(all_texts)} texts: give one for each")
        every_metadata = metadatas or [{}] * len(all_texts)
        written = [json.dumps(metadata, sort_keys=True) for metadata in every_metadata]
        sources = []
        for text, metadata, json_text, given_id in zip(
            all_texts, every_metadata, written, ids or [None] * len(all_texts), strict=True
        ):
            passage = _sha256(text)[:32]
            source = given_id or passage
            # The store leaves alone what has the same id: here the same text with the same metadata.
            identity = _sha256(f"{json_text}\n{text}")
            document = Document(identity, source, "text", text, (Span(0, len(text)),))
            chunk = Chunk(passage, identity, source, text, 0, len(text))
            self.store.add(document, [chunk], metadata=metadata)
            sources.append(source)
        return sources

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Delete by id; without ids, everything. True where each of them was there."""
        sources = [line.source for line in self.store.documents()] if ids is None else ids
        return all([self.store.delete(source) > 0 for source in sources])

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[LangChainDocument]:
        """The best k passages; `sources=[...]` restricts the search to these."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, sources: Sequence[str] | None = None, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        hits = self.retriever.search(query, k, sources)
        lines = {line.source: line for line in self.store.documents()} if hits else {}
        return [(_as_langchain(hit, lines.get(hit.chunk.source)), hit.score) for hit in hits]

    def _select_relevance_score_fn(self) -> Any:
        return lambda score: max(0.0, min(1.0, score))  # scores are shares already

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        where: str,
        **kwargs: Any,
    ) -> Self:
        """A store in folder `where` with these texts. `embedding` is a StoreEmbeddings, None for minilm.

        Raises TypeError for another's, and ValueError as `add_texts`.
        """
        if embedding is not None and not isinstance(embedding, StoreEmbeddings):
            raise TypeError("embedding: give a StoreEmbeddings, the store must know the encoder's name and version")
        vectors = cls(open_store(where, embedding.embedder if embedding else None, create=True))
        vectors.add_texts(texts, metadatas, ids=ids)
        return vectors


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _as_langchain(hit: Hit, line: StoredDocument | None) -> LangChainDocument:
    """The passage; what is one passage whole has its source as id, by which it can be replaced and deleted."""
    chunk = hit.chunk
    identity = chunk.source if line is not None and line.chunks == 1 else chunk.id
    metadata = {} if line is None else line.metadata
    place = {"pages": list(chunk.pages), "start": chunk.start, "end": chunk.end, "headings": list(chunk.headings)}
    return LangChainDocument(
        id=identity, page_content=chunk.text, metadata={"source": chunk.source, **place, **metadata}
    )
