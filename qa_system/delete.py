"""Delete documents from a store.

python -m qa_system.delete report.pdf --store runs/qa_system/store
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from shared.config import parse_config, split_texts
from shared.errors import UserError, run_program
from shared.logging import print_result, setup_logging


@dataclass(frozen=True, kw_only=True)
class DeleteConfig:
    """Delete documents by their source, as `list_documents` shows it."""

    store: str
    """Folder of the store, or address of a Milvus server."""


def delete(config: DeleteConfig, sources: Sequence[str]) -> dict[str, int]:
    """Delete them; the number of passages that each had. Raises UserError, and deletes none, where one is unknown."""
    from qa_system.store import open_store

    if not sources:
        raise UserError("no sources: name the documents to delete")
    store = open_store(config.store)
    known = {line.source for line in store.documents()}
    unknown = [source for source in sources if source not in known]
    if unknown:
        raise UserError(
            f"{unknown[0]}: not in the store: see python -m qa_system.list_documents --store {config.store}"
        )
    deleted = {source: store.delete(source) for source in dict.fromkeys(sources)}
    store.close()
    return deleted


def main(argv: Sequence[str] | None = None) -> None:
    options, sources = split_texts(sys.argv[1:] if argv is None else argv)
    config = parse_config(DeleteConfig, options, prog="python -m qa_system.delete SOURCE...")
    setup_logging()
    print_result({"deleted": delete(config, sources)})


if __name__ == "__main__":
    run_program(main)
