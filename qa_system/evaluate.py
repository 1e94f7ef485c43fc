"""How well a store finds what your own questions are about.

python -m qa_system.evaluate --questions questions.jsonl --store runs/qa_system/store

A line of the file: {"question": "When was it founded?", "sources": ["report.pdf"]}. A document stands where its best
passage stands. Questions whose sources are not in the store are counted and left out of the means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.files import parse_json
from shared.logging import print_result, print_table, progress_bar, setup_logging

METHODS = ("bm25", "dense", "hybrid")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Measure how well a store finds the documents that answer given questions."""

    store: str
    """Folder of the store, or address of a Milvus server."""
    questions: str
    """JSON lines with `question` and `sources`, a list of the documents that answer it."""
    k: int = 100
    """Passages to look at for each question."""

    def __post_init__(self) -> None:
        check(self.k >= 1, "k", self.k, "give at least 1")


def read_questions(file: Path) -> list[tuple[str, list[str]]]:
    """Questions and their sources. Raises UserError naming the line that is none."""
    try:
        lines = file.read_text(encoding="utf-8").split("\n")  # a text may hold other line breaks
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--questions {file}: cannot read it ({error}): give a UTF-8 file of JSON lines") from error
    questions = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            read = parse_json(line)
            question, sources = read["question"], read["sources"]
            if not isinstance(question, str) or not isinstance(sources, list):
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f'--questions {file}: line {number} is not {{"question": "...", "sources": ["..."]}}: mend it'
            ) from error
        questions.append((question, list(map(str, sources))))
    if not questions:
        raise UserError(f"--questions {file}: holds no questions: write one a line")
    return questions


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """The measures by method, over the questions whose sources are in the store."""
    from qa_system.evaluation.retrieval_metrics import evaluate_rankings
    from qa_system.retrieval.hybrid_retrieval import Fusion, HybridRetriever
    from qa_system.store import open_store

    questions = read_questions(Path(config.questions))
    store = open_store(config.store)
    here = {line.source for line in store.documents()}
    judgements = {str(n): {s: 1 for s in sources if s in here} for n, (_, sources) in enumerate(questions)}
    result: dict[str, Any] = {"n": len(questions)}
    with progress_bar("asking", len(questions) * len(METHODS)) as update:
        for turn, method in enumerate(METHODS):
            retriever = HybridRetriever(store, Fusion(method=method))  # type: ignore[arg-type]
            rankings: dict[str, dict[str, float]] = {}
            for n, (question, _) in enumerate(questions):
                best: dict[str, float] = {}
                for hit in retriever.search(question, config.k):
                    best[hit.chunk.source] = max(hit.score, best.get(hit.chunk.source, float("-inf")))
                rankings[str(n)] = best
                update(done=turn * len(questions) + n + 1)
            scores = evaluate_rankings(rankings, judgements)
            result[method] = scores.mean
    store.close()
    return {**result, "without_source": len(scores.without_gold)}


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(EvaluateConfig, argv, prog="python -m qa_system.evaluate")
    setup_logging()
    result = evaluate(config)
    print_table("by document", [{"method": method, **result[method]} for method in METHODS])
    print_result(result)


if __name__ == "__main__":
    run_program(main)
