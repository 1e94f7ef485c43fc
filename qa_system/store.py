"""Opens the store that `--store` names: a folder on this machine, or a Milvus server."""

from qa_system.document_processor.milvus_store import MilvusStore
from qa_system.document_processor.vector_store import VectorStore
from qa_system.retrieval.dense_retrieval import Embedder
from shared.errors import UserError

Store = VectorStore | MilvusStore


def open_store(where: str, embedding: str | Embedder | None = None, create: bool = False) -> Store:
    """`http://...` and `FILE.db` (milvus-lite) are Milvus, everything else a folder.

    With `create`, a store is made where there is none. Raises UserError where that fails, or there is none.
    """
    if where.startswith(("http://", "https://")) or where.endswith(".db"):
        return MilvusStore(where, embedding, create)
    return VectorStore(where, embedding, create)


def sources_in(store: Store, names: str | None) -> list[str] | None:
    """The sources of a list with commas between; None, for all, where there is none.

    Raises UserError for one that is not in the store.
    """
    if names is None:
        return None
    sources = [name.strip() for name in names.split(",")]
    if unknown := set(sources) - {line.source for line in store.documents()}:
        raise UserError(f"--sources {', '.join(sorted(unknown))}: not in the store: see qa_system.list_documents")
    return sources
