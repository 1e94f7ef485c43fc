"""The store and its encoder for programs written with LangChain (extra `langchain`).

    from qa_system.langchain_adapters import StoreVectors
    store = StoreVectors.open("runs/qa_system/store")
    retriever = store.as_retriever(search_kwargs={"k": 5})

The roadmap's `langchain.vectorstores` and `langchain.embeddings` are now modules of langchain_core. Each text that
comes in this way is a document of one passage, whose source is its id. A search is this project's hybrid one.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Self

from langchain_core.documents import Document as LangChainDocument
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore as LangChainVectorStore

from qa_system.document_processor.documents import Chunk, Document, Span
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
        """Add texts; the ids that they have, by default from their content, so that a text is there once."""
        all_texts = list(texts)
        metadatas = metadatas or [{}] * len(all_texts)
        sources = []
        for text, metadata, given in zip(all_texts, metadatas, ids or [None] * len(all_texts), strict=True):
            identity = hashlib.sha256(text.encode("utf-8")).hexdigest()
            source = given or identity[:32]
            document = Document(identity, source, "text", text, (Span(0, len(text)),))
            chunk = Chunk(identity[:32], identity, source, text, 0, len(text))
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
        metadata = {line.source: line.metadata for line in self.store.documents()} if hits else {}
        return [(_as_langchain(hit, metadata.get(hit.chunk.source, {})), hit.score) for hit in hits]

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
        """A store in folder `where` with these texts. `embedding` is a StoreEmbeddings, None for minilm."""
        if embedding is not None and not isinstance(embedding, StoreEmbeddings):
            raise TypeError("embedding: give a StoreEmbeddings, the store must know the encoder's name and version")
        vectors = cls(open_store(where, embedding.embedder if embedding else None, create=True))
        vectors.add_texts(texts, metadatas, ids=ids)
        return vectors


def _as_langchain(hit: Hit, metadata: dict[str, Any]) -> LangChainDocument:
    chunk = hit.chunk
    place = {"pages": list(chunk.pages), "start": chunk.start, "end": chunk.end, "headings": list(chunk.headings)}
    return LangChainDocument(
        id=chunk.id, page_content=chunk.text, metadata={"source": chunk.source, **place, **metadata}
    )
