"""Find the passages that speak of a question.

python -m qa_system.search "what happens above the critical temperature?" --store runs/qa_system/store
python -m qa_system.search "临界温度是多少？" --store library --sources paper.pdf,handbook.md --k 3
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shared.config import check, parse_config, split_texts
from shared.errors import UserError, run_program
from shared.logging import print_result, print_table, setup_logging

SHOWN_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Find passages in a store, by words and by meaning."""

    store: str
    """Folder of the store, or address of a Milvus server."""
    k: int = 5
    """Passages to show."""
    sources: str | None = None
    """Only in these documents, with commas between."""
    method: Literal["hybrid", "ranks", "bm25", "dense"] = "hybrid"
    """Both scores, both ranks, or one leg alone."""
    dense_weight: float | None = None
    """The share of the meaning in the score, 0 to 1; by default what was best in our trials."""

    def __post_init__(self) -> None:
        check(self.k >= 1, "k", self.k, "give at least 1")
        inside = self.dense_weight is None or 0 <= self.dense_weight <= 1
        check(inside, "dense_weight", self.dense_weight, "give a share from 0 to 1")


def search(config: SearchConfig, question: str) -> list[dict[str, Any]]:
    """What was found, best first: where it stands, its text, and its scores."""
    from qa_system.retrieval.hybrid_retrieval import Fusion, HybridRetriever
    from qa_system.store import open_store

    weights: dict[str, Any] = {} if config.dense_weight is None else {"dense_weight": config.dense_weight}
    store = open_store(config.store)
    sources = None if config.sources is None else [source.strip() for source in config.sources.split(",")]
    unknown = set(sources or ()) - {line.source for line in store.documents()}
    if unknown:
        raise UserError(f"--sources {', '.join(sorted(unknown))}: not in the store: see qa_system.list_documents")
    hits = HybridRetriever(store, Fusion(method=config.method, **weights)).search(question, config.k, sources)
    store.close()
    return [
        {
            "source": hit.chunk.source,
            "pages": list(hit.chunk.pages),
            "headings": list(hit.chunk.headings),
            "start": hit.chunk.start,
            "end": hit.chunk.end,
            "score": round(hit.score, 4),
            "bm25": round(hit.bm25, 4),
            "cosine": round(hit.cosine, 4),
            "text": hit.chunk.text,
        }
        for hit in hits
    ]


def main(argv: Sequence[str] | None = None) -> None:
    options, words = split_texts(sys.argv[1:] if argv is None else argv)
    config = parse_config(SearchConfig, options, prog="python -m qa_system.search QUESTION")
    setup_logging()
    question = " ".join(words).strip()
    if not question:
        raise UserError("no question: write it behind the command, in quotes")
    hits = search(config, question)
    rows = [
        {
            "source": hit["source"],
            "page": ", ".join(map(str, hit["pages"])),
            "score": hit["score"],
            "text": " ".join(hit["text"].split())[:SHOWN_CHARACTERS],
        }
        for hit in hits
    ]
    if rows:
        print_table(question, rows)
    print_result({"question": question, "hits": hits})


if __name__ == "__main__":
    run_program(main)
