"""Words and meaning together: BM25 and cosine become one score, by which passages are ranked.

score = (1 - w) * bm25 / possible + w * cosine

`possible` is the sum of the idf of all the question's terms, which no passage's BM25 can reach. Other than with
min-max, nothing here depends on what else was found: the best of a bad lot gets no 1. So a leg that has nothing to say
weighs little. And one score means the same for every question, so that a threshold can be set on it. Cosines are
brought to one scale (`Embedder.comparable`).

Which leg can speak depends on the languages of question and passage. An encoder that does not read Chinese has w = 0
where either is Chinese. Words say nothing across languages, where they would find but names and numbers: there an
encoder that reads both has w = 1.

Some passages are near to every question, and most so across languages, where questions of one language point one way
(Libovicky et al. 2020, arXiv 2004.05160). So a share of the mean vector of questions about anything comes off a
question's vector.

With `neighbours`, the first 50 then speak for each other (score regularisation, Diaz 2007): to each one's score comes a
share of the mean score of the passages that it is most like, by their own vectors. On SciFact's training claims that
gains nothing, so it is off.

`ranks` instead adds up 1 / (60 + rank) (Cormack, Clarke and Buettcher 2009), which needs no scores at all. It is worse,
as Bruch, Gai and Ingber (arXiv 2210.11934) found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from qa_system.document_processor.documents import Chunk
from qa_system.retrieval.text_analysis import analyse, is_han
from shared.config import check

Method = Literal["hybrid", "ranks", "bm25", "dense"]
RANK_CONSTANT = 60
SPEAKING = 50  # passages, from the top
LIKENESS_POWER = 24  # of the cosine: only passages that are much alike count


@dataclass(frozen=True)
class Hit:
    """A passage that was found, and why."""

    chunk: Chunk
    score: float
    bm25: float
    """The share of the possible BM25, 0 to 1."""
    cosine: float
    """Of question and passage, -1 to 1; 0 where it has no say."""


class Ranked(NamedTuple):
    """Rows of a store, best first, and what each one's score is made of: all (N,)."""

    rows: np.ndarray
    scores: np.ndarray
    bm25: np.ndarray
    cosines: np.ndarray


Reranker = Callable[[str, Sequence[Hit]], Sequence[float]]
"""Gives the question's hits new scores, in their order."""


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """How passages are ranked.

    `dense_weight` is the middle of what is equally good on SciFact's training claims (the benchmark `fusion`). They do
    not tell what `common` should be, with `minilm` it makes no difference: the half was chosen in view of XQuAD's
    English questions over Chinese passages with `e5-multilingual`.
    """

    method: Method = "hybrid"
    """Both scores, both ranks, or one leg alone."""
    dense_weight: float = 0.45
    """The share of the cosine in the score; the rest is BM25's."""
    chinese_dense_weight: float | None = None
    """The same where question and passage are Chinese; by default 0 for an encoder that does not read it, else the
    same."""
    pool: int = 200
    """Passages that each leg proposes; all of them are scored by both."""
    neighbours: float = 0.0
    """The share that the scores of similar passages have beside a passage's own."""
    common: float = 0.5
    """The share of what questions have in common that is taken off a question's vector."""

    def __post_init__(self) -> None:
        for name in ("dense_weight", "chinese_dense_weight", "common"):
            weight = getattr(self, name)
            check(weight is None or 0 <= weight <= 1, name, weight, "give a share from 0 to 1")
        check(self.pool >= 1, "pool", self.pool, "give at least 1")
        check(self.neighbours >= 0, "neighbours", self.neighbours, "give 0 or more")


class HybridRetriever:
    """Searches a store: a `VectorStore`, or a `MilvusStore`."""

    def __init__(self, store: Any, fusion: Fusion | None = None, reranker: Reranker | None = None) -> None:
        self.store, self.fusion, self.reranker = store, fusion or Fusion(), reranker

    def search(self, question: str, k: int = 10, sources: Sequence[str] | None = None, rerank: int = 50) -> list[Hit]:
        """The best k passages, of these sources if they are given; a passage that several sources have comes once.

        With a reranker, the first `rerank` of them are put into its order.
        """
        terms, vector = analyse(question), self.encode(question)
        wanted = max(k, rerank) if self.reranker else k
        hits: dict[str, Hit] = {}
        with self.store.view() as view:
            among = None if sources is None else view.rows_of(sources)
            depth = 2 * wanted
            while True:
                found = self.rank(view, terms, vector, depth, among, is_han(question))
                for chunk, *values in zip(
                    view.chunks(found.rows), found.scores, found.bm25, found.cosines, strict=True
                ):
                    if chunk is not None:
                        hits.setdefault(chunk.id, Hit(chunk, *map(float, values)))
                if len(hits) >= wanted or len(found.rows) < depth:
                    break
                depth *= 4  # many sources have the same passages
        best = list(hits.values())[:wanted]
        if self.reranker:
            scores = self.reranker(question, best[:rerank])
            best = [replace(hit, score=float(score)) for hit, score in zip(best[:rerank], scores, strict=True)]
            best.sort(key=lambda hit: -hit.score)
        return best[:k]

    def encode(self, question: str) -> np.ndarray | None:
        """The question's vector (width,); None where the cosine has no say in its score, so that no model is loaded."""
        if not question.strip() or self._dense_weight(is_han(question)) == 0:
            return None
        return self.store.embedder.encode([question], "query")[0]

    def rank(
        self,
        view: Any,
        terms: Sequence[str],
        vector: np.ndarray | None,
        k: int,
        among: np.ndarray | None = None,
        chinese: bool = False,
    ) -> Ranked:
        """The best k rows of one state of the store for a question that is `chinese` or not; equal scores by row.

        `vector` (width,) is what `encode` makes of it; `among` (rows,) are the only ones to take, if given.
        """
        weight: Any = self._dense_weight(chinese)  # later one for each row
        pool = max(self.fusion.pool, k)
        nothing = np.empty(0, dtype=np.int64), np.empty(0)
        shift = 0.0
        if vector is not None and self.fusion.method == "hybrid" and self.fusion.common and weight > 0:
            embedder = self.store.embedder
            vector = vector - self.fusion.common * embedder.common(chinese)
            shift = self.fusion.common * embedder.floor  # what that takes from a passage that is like no question
        by_words = view.sparse.search(terms, pool, among) if terms and weight < 1 else nothing
        has_vectors = vector is not None and view.dense is not None and weight > 0
        if not has_vectors and self.fusion.method != "ranks":  # words alone, whose index has put them in order
            rows, bm25 = by_words[0][:k], by_words[1][:k]
            bm25 = bm25 / view.sparse.possible(terms) if len(rows) else bm25
            return Ranked(rows, (1 - weight) * bm25, bm25, np.zeros(len(rows)))
        by_meaning = view.dense.search(vector, pool, among) if has_vectors else nothing
        rows = np.union1d(by_words[0], by_meaning[0])  # ascending
        if not len(rows):
            return Ranked(rows, *np.zeros((3, 0)))
        bm25 = view.sparse.scores_of(terms, rows) / view.sparse.possible(terms) if terms else np.zeros(len(rows))
        cosines = np.zeros(len(rows))
        if has_vectors:
            cosines = view.dense.scores_of(vector, rows).astype(np.float64) + shift
        if self.fusion.method == "hybrid" and has_vectors:
            # A row's own weight, by its language.
            weight = self._dense_weights(chinese, view.are_chinese(rows))
            # What the cosine found without having a say was not found.
            kept = (bm25 > 0) | (weight > 0)
            rows, bm25, cosines, weight = rows[kept], bm25[kept], cosines[kept], weight[kept]
            if not len(rows):
                return Ranked(rows, *np.zeros((3, 0)))
        if self.fusion.method == "ranks":
            scores = (1 - weight) * _by_rank(rows, by_words[0]) + weight * _by_rank(rows, by_meaning[0])
        else:
            scores = (1 - weight) * bm25
            if has_vectors:
                scores += weight * self.store.embedder.comparable(cosines)
        order = np.argsort(-scores, kind="stable")
        if self.fusion.method == "hybrid" and has_vectors and self.fusion.neighbours:
            first, rest = order[:SPEAKING], order[SPEAKING:]
            vectors = view.dense.vectors(rows[first])
            likeness = self.store.embedder.comparable(vectors @ vectors.T)
            scores[first] = with_neighbours(scores[first], likeness, self.fusion.neighbours)
            scores[rest] = np.minimum(scores[rest], scores[first].min())  # they stay behind
            order = np.concatenate([first[np.argsort(-scores[first], kind="stable")], rest])
        order = order[:k]
        return Ranked(rows[order], scores[order], bm25[order], cosines[order])

    def parts(self, question: str, hit: Hit) -> tuple[float, float]:
        """What words and what meaning give to a hit's score, before similar passages speak for it."""
        passage = np.array([is_han(hit.chunk.text)])
        weight = float(self._dense_weights(is_han(question), passage)[0])
        return (1 - weight) * hit.bm25, weight * hit.cosine

    def _dense_weights(self, chinese: bool, rows_are_chinese: np.ndarray) -> np.ndarray:
        """The weight of each row's cosine (N,), by the languages of question and row."""
        weights = np.full(len(rows_are_chinese), self._dense_weight(chinese))
        across = rows_are_chinese != chinese
        weights[across] = 1.0 if self.store.embedder.reads_chinese else 0.0
        return weights

    def _dense_weight(self, chinese: bool) -> float:
        """The weight of the cosine where the passage is in the question's language."""
        alone = {"bm25": 0.0, "dense": 1.0}
        if self.fusion.method in alone:
            return alone[self.fusion.method]
        if not chinese:
            return self.fusion.dense_weight
        if self.fusion.chinese_dense_weight is not None:
            return self.fusion.chinese_dense_weight
        return self.fusion.dense_weight if self.store.embedder.reads_chinese else 0.0


def with_neighbours(scores: np.ndarray, likeness: np.ndarray, share: float) -> np.ndarray:
    """Scores (N,), each mixed with `share` parts of the others' mean, weighted by their likeness (N, N) to it."""
    weights = np.clip(likeness, 0, 1) ** LIKENESS_POWER
    np.fill_diagonal(weights, 0)
    means = weights @ scores / np.maximum(weights.sum(1), 1e-30)
    return (scores + share * means) / (1 + share)


def _by_rank(rows: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    """1 / (60 + rank) of each of the rows (ascending) in a ranking of some of them, 0 for the others."""
    scores = np.zeros(len(rows))
    scores[np.searchsorted(rows, ranked)] = 1 / (RANK_CONSTANT + 1 + np.arange(len(ranked)))
    return scores
