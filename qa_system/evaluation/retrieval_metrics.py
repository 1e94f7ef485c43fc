"""How well a ranking finds the documents that answer a question: recall@k, MRR, MAP and nDCG@k, matched by id.

The definitions are trec_eval's, so that numbers can stand beside published ones; nDCG has linear gains (Jarvelin and
Kekalainen 2002, as trec_eval takes them). Of equal scores the smaller id comes first (as text: "10" before "9"), so
that the result does not depend on the order in which an index happens to give them.

A question without a relevant document has no score: it is named in the result, and left out of the means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log2

Ranking = Mapping[str, float]  # a document's id -> its score
Judgements = Mapping[str, int]  # a document's id -> its grade; 0 is "looked at, not relevant"


@dataclass(frozen=True)
class RetrievalScores:
    """Means over the questions that have a relevant document, and each question's own values."""

    mean: dict[str, float]
    """`ndcg_10`, `map`, `mrr`, `recall_100` and so on; empty where no question has a relevant document."""
    per_query: dict[str, dict[str, float]]
    """The same names, by question."""
    without_gold: list[str] = field(default_factory=list)
    """Questions asked for which no document is judged relevant."""


def evaluate_rankings(
    rankings: Mapping[str, Ranking],
    judgements: Mapping[str, Judgements],
    ndcg_at: Sequence[int] = (10,),
    recall_at: Sequence[int] = (10, 100),
) -> RetrievalScores:
    """Score the rankings of all questions, each by the question's id.

    Every question of either argument is counted: one that is judged but was not ranked scores 0. Raises ValueError
    where the two have no question in common, since then one of them is of another collection.
    """
    if not set(rankings) & set(judgements):
        raise ValueError("no question is both ranked and judged: give rankings and judgements of one collection")
    per_query, without_gold = {}, []
    for query in dict.fromkeys([*rankings, *judgements]):
        grades = {document: grade for document, grade in judgements.get(query, {}).items() if grade > 0}
        if not grades:
            without_gold.append(query)
            continue
        ranked = rank(rankings.get(query, {}))
        per_query[query] = {
            "map": average_precision(ranked, grades),
            "mrr": reciprocal_rank(ranked, grades),
            **{f"ndcg_{k}": ndcg(ranked, grades, k) for k in ndcg_at},
            **{f"recall_{k}": recall(ranked, grades, k) for k in recall_at},
        }
    names = next(iter(per_query.values()), {})
    mean = {name: sum(scores[name] for scores in per_query.values()) / len(per_query) for name in names}
    return RetrievalScores(mean, per_query, without_gold)


def rank(scores: Ranking) -> list[str]:
    """The ids, best score first, and of equal scores the smaller id first.

    >>> rank({"b": 1.0, "c": 2.0, "a": 1.0})
    ['c', 'a', 'b']
    """
    return sorted(scores, key=lambda document: (-scores[document], document))


def recall(ranked: Sequence[str], grades: Judgements, k: int) -> float:
    """The share of the relevant documents that stand among the first k."""
    return sum(document in grades for document in ranked[:k]) / len(grades)


def reciprocal_rank(ranked: Sequence[str], grades: Judgements) -> float:
    """1 / the place of the first relevant document, 0 without one."""
    return next((1 / place for place, document in enumerate(ranked, 1) if document in grades), 0.0)


def average_precision(ranked: Sequence[str], grades: Judgements) -> float:
    """The mean, over the relevant documents, of the precision at each one's place; 0 for one that was not found."""
    found, total = 0, 0.0
    for place, document in enumerate(ranked, 1):
        if document in grades:
            found += 1
            total += found / place
    return total / len(grades)


def ndcg(ranked: Sequence[str], grades: Judgements, k: int) -> float:
    """Gains of the first k, each divided by log2(place + 1), over those of the best possible order."""
    gained = sum(grades.get(document, 0) / log2(place + 1) for place, document in enumerate(ranked[:k], 1))
    best = sorted(grades.values(), reverse=True)[:k]
    return gained / sum(grade / log2(place + 1) for place, grade in enumerate(best, 1))
