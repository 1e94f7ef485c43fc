"""Opens the store that `--store` names: a folder on this machine, or a Milvus server."""

from qa_system.document_processor.milvus_store import MilvusStore
from qa_system.document_processor.vector_store import VectorStore
from qa_system.retrieval.dense_retrieval import Embedder

Store = VectorStore | MilvusStore


def open_store(where: str, embedding: str | Embedder | None = None, create: bool = False) -> Store:
    """`http://...` and `FILE.db` (milvus-lite) are Milvus, everything else a folder.

    With `create`, a store is made where there is none. Raises UserError where that fails, or there is none.
    """
    if where.startswith(("http://", "https://")) or where.endswith(".db"):
        return MilvusStore(where, embedding, create)
    return VectorStore(where, embedding, create)
