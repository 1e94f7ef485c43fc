"""List the documents of a store.

python -m qa_system.list_documents --store runs/qa_system/store
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from shared.config import parse_config
from shared.errors import run_program
from shared.logging import print_result, print_table, setup_logging


@dataclass(frozen=True, kw_only=True)
class ListConfig:
    """List the documents of a store."""

    store: str
    """Folder of the store, or address of a Milvus server."""


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(ListConfig, argv, prog="python -m qa_system.list_documents")
    setup_logging()
    from qa_system.store import open_store

    store = open_store(config.store)
    documents = [asdict(line) for line in store.documents()]
    shown = ("source", "kind", "pages", "pages_without_text", "chunks", "added")
    if documents:
        print_table(config.store, [{name: line[name] for name in shown} for line in documents])
    print_result({"embedding": store.embedding, "passages": len(store), "documents": documents})
    store.close()


if __name__ == "__main__":
    run_program(main)
