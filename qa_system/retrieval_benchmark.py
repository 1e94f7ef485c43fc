"""`retrieval`: BM25, dense and hybrid search on a collection in BEIR's layout, all by one default.

The folder holds corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv. Each document is one passage, its title the heading.
Speeds are one question at a time, with what each method needs from the question's text to the ranking. bm25s, which
computes every score ahead and cannot be added to, runs over the same terms; its time is without analysing the question,
as its own benchmark has it, and `bm25_only_queries_per_s` is ours without it.
"""

import csv
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qa_system.evaluation.published import PUBLISHED
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome
from shared.config import check
from shared.errors import UserError
from shared.files import atomic_path, parse_json
from shared.logging import get_logger, progress_bar
from shared.timing import Timer

log = get_logger(__name__)

DEPTH = 1000  # of the rankings that are scored
TIMED = 300  # questions
HERE = "here"  # the source of a row that this run measured


@dataclass(frozen=True, kw_only=True)
class RetrievalConfig(BenchmarkConfig):
    """Find the documents that answer the questions of a collection: by words, by meaning, and by both."""

    data: str
    """Folder in BEIR's layout."""
    questions: str | None = None
    """Another folder to take the questions from, such as the same ones in another language."""
    embedding: str = "minilm"
    """Encoder: minilm, e5-multilingual, a folder or a hub name."""
    split: str = "test"
    """Which of qrels/SPLIT.tsv judges."""
    vectors: str | None = None
    """Folder to keep the vectors in, since making them takes longest."""

    @property
    def variant(self) -> str:
        asked = f"-{Path(self.questions).name}" if self.questions else ""
        split = "" if self.split == type(self).split else f"-{self.split}"
        return f"-{Path(self.data).name}{asked}-{Path(self.embedding).name}{split}"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("data", "questions"):
            folder = getattr(self, name)
            whole = folder is None or (Path(folder) / "queries.jsonl").exists()
            check(whole, name, folder, "give a folder with corpus.jsonl, queries.jsonl and qrels/")


class Collection(NamedTuple):
    """A collection: passages as (id, title, text), questions and judgements by the question's id."""

    documents: list[tuple[str, str, str]]
    questions: dict[str, str]
    judgements: dict[str, dict[str, int]]


def read_collection(folder: Path, split: str = "test", questions: Path | None = None) -> Collection:
    """Read a folder in BEIR's layout. Raises UserError naming what is missing or broken."""
    try:
        corpus = _lines(folder / "corpus.jsonl")
        asked = _lines((questions or folder) / "queries.jsonl")
        with open(folder / "qrels" / f"{split}.tsv", encoding="utf-8", newline="") as file:
            judged = [
                (row["query-id"], row["corpus-id"], int(row["score"])) for row in csv.DictReader(file, delimiter="\t")
            ]
        documents = [(line["_id"], line.get("title", ""), line["text"]) for line in corpus]
        texts = {line["_id"]: line["text"] for line in asked}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"--data {folder}: not in BEIR's layout ({error!r}): see docs/data.md") from error
    if not judged or not documents:
        raise UserError(f"--data {folder}: holds no passages or no judgements of {split}: give another set or split")
    judgements: dict[str, dict[str, int]] = {}
    for question, document, grade in judged:
        judgements.setdefault(question, {})[document] = grade
    missing = [question for question in judgements if question not in texts]
    if missing:
        raise UserError(f"--data {folder}: question {missing[0]} is judged but not in queries.jsonl: mend the set")
    return Collection(documents, {question: texts[question] for question in judgements}, judgements)


class Opened(NamedTuple):
    """A collection in a store of its own, with the vectors of its questions (N, width) in their order."""

    collection: Collection
    passages: list[Any]
    store: Any
    asked: np.ndarray

    def rankings(self, view: Any, fusion: Any, depth: int = DEPTH) -> dict[str, dict[str, float]]:
        """Each question's ranking, for `evaluate_rankings`: places instead of scores, since equal ones are ordered."""
        from qa_system.retrieval.hybrid_retrieval import HybridRetriever
        from qa_system.retrieval.text_analysis import analyse, is_han

        retriever = HybridRetriever(self.store, fusion)
        rankings = {}
        for (question, text), vector in zip(self.collection.questions.items(), self.asked, strict=True):
            found = retriever.rank(view, analyse(text), vector, depth, chinese=is_han(text))
            # Rows are numbered from 1 in the order of the passages.
            rankings[question] = {self.passages[row - 1].id: -float(place) for place, row in enumerate(found.rows)}
        return rankings


@contextmanager
def open_collection(config: RetrievalConfig) -> Iterator[Opened]:
    """The collection as a store of one document, each of whose passages is one of the collection's."""
    from qa_system.document_processor.documents import Chunk, Document
    from qa_system.document_processor.stored_form import searched_text
    from qa_system.document_processor.vector_store import VectorStore
    from qa_system.retrieval.dense_retrieval import load_embedder

    collection = read_collection(Path(config.data), config.split, Path(config.questions) if config.questions else None)
    embedder = load_embedder(config.embedding)
    passages = [
        Chunk(identity, identity, "collection", text, 0, len(text), (title,) if title else ())
        for identity, title, text in collection.documents
    ]
    vectors = _kept(config, embedder, [searched_text(chunk) for chunk in passages], "passage")
    asked = _kept(config, embedder, list(collection.questions.values()), "query")
    with tempfile.TemporaryDirectory() as folder, closing(VectorStore(folder, embedder)) as store:
        store.add(Document("collection", "collection", "text", "", ()), passages, vectors=vectors)
        yield Opened(collection, passages, store, asked)


def measure_retrieval(config: RetrievalConfig) -> Outcome:
    from qa_system.evaluation.retrieval_metrics import evaluate_rankings
    from qa_system.retrieval.hybrid_retrieval import Fusion, HybridRetriever
    from qa_system.retrieval.text_analysis import analyse, is_han

    rows: list[dict[str, Any]] = []
    with open_collection(config) as opened, opened.store.view() as view:
        questions = list(opened.collection.questions.values())
        for method in ("bm25", "dense", "hybrid"):
            scores = evaluate_rankings(opened.rankings(view, Fusion(method=method)), opened.collection.judgements)
            retriever = HybridRetriever(opened.store, Fusion(method=method))

            def answer(text: str, retriever: HybridRetriever = retriever) -> None:
                retriever.rank(view, analyse(text), retriever.encode(text), 10, chinese=is_han(text))

            rows.append({"method": method, **scores.mean, "queries_per_s": _speed(answer, questions)})
        terms = [analyse(question) for question in questions]
        only_bm25 = _speed(lambda query: view.sparse.search(query, 100), terms)
        theirs = _bm25s_speed(opened.passages, terms)
    result: dict[str, Any] = {row["method"]: {name: row[name] for name in row if name != "method"} for row in rows}
    result |= {
        "data": Path(config.data).name,
        "split": config.split,
        "embedding": opened.store.embedder.name,
        "n": len(scores.per_query),
        "without_gold": len(scores.without_gold),
        "documents": len(opened.passages),
        "fusion": asdict(Fusion()),
        "bm25_only_queries_per_s": only_bm25,
        "bm25s_queries_per_s": theirs,
    }
    rows = [{**row, "source": HERE} for row in rows]
    rows.append({"method": "bm25, the terms given", "queries_per_s": only_bm25, "source": HERE})
    rows.append({"method": "bm25s, the terms given", "queries_per_s": theirs, "source": HERE})
    # Other questions, in another language or of another split, are another task than the published one.
    comparable = config.questions is None and config.split == "test"
    return Outcome(result, rows + (PUBLISHED.get(Path(config.data).name, []) if comparable else []))


def _speed(search: Callable[[Any], Any], queries: Sequence[Any]) -> float:
    """Queries a second, one at a time, after a warm-up."""
    timed = (list(queries) * (1 + TIMED // len(queries)))[:TIMED]
    for query in timed[:20]:
        search(query)
    with Timer() as timer:
        for query in timed:
            search(query)
    return timer.rate(len(timed))


def _bm25s_speed(passages: Sequence[Any], terms: Sequence[Sequence[str]]) -> float | None:
    try:
        import bm25s
    except ImportError:
        log.info("bm25s is not installed: its speed is left out (it is in the extra dev)")
        return None
    from qa_system.document_processor.stored_form import searched_terms

    theirs = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    theirs.index([searched_terms(chunk) for chunk in passages], show_progress=False)
    k = min(100, len(passages))
    return _speed(lambda query: theirs.retrieve([list(query)], k=k, show_progress=False, n_threads=1), terms)


def _kept(config: RetrievalConfig, embedder: Any, texts: Sequence[str], role: Any) -> np.ndarray:
    """The texts' vectors, from the folder that keeps them if there is one."""
    key = hashlib.sha256("\0".join([embedder.fingerprint, role, *texts]).encode()).hexdigest()[:16]
    file = Path(config.vectors) / f"{key}.npy" if config.vectors else None
    if file and file.exists():
        return np.load(file, allow_pickle=False)
    with progress_bar(f"encoding ({role})", len(texts)) as update:
        vectors = embedder.encode(texts, role, lambda done: update(done=done))
    if file:
        with atomic_path(file) as draft, draft.open("wb") as target:
            np.save(target, vectors, allow_pickle=False)
    return vectors


def _lines(file: Path) -> list[dict[str, Any]]:
    return [parse_json(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


BENCHMARKS = {"retrieval": Benchmark(RetrievalConfig, measure_retrieval, "retrieval/scifact")}
