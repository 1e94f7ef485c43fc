"""Measures of rankings: numbers worked out by hand, then trec_eval on random rankings with ties."""

import random
from math import log2

import pytest

from qa_system.evaluation.retrieval_metrics import evaluate_rankings, rank


def test_one_question_by_hand():
    # Ranked a b c d; relevant b (grade 1), d (grade 2) and z, which was not found (grade 1).
    found = evaluate_rankings(
        {"q": {"a": 4, "b": 3, "c": 2, "d": 1}},
        {"q": {"b": 1, "d": 2, "z": 1, "a": 0}},
        ndcg_at=(2, 10),
        recall_at=(3,),
    ).mean
    assert found["recall_3"] == pytest.approx(1 / 3)
    assert found["mrr"] == pytest.approx(1 / 2)
    assert found["map"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert found["ndcg_2"] == pytest.approx((1 / log2(3)) / (2 + 1 / log2(3)))
    assert found["ndcg_10"] == pytest.approx((1 / log2(3) + 2 / log2(5)) / (2 + 1 / log2(3) + 1 / log2(4)))


def test_equal_scores_are_ranked_by_id_whatever_their_order():
    assert rank({"b": 1.0, "a": 1.0, "c": 2.0}) == rank({"c": 2.0, "a": 1.0, "b": 1.0}) == ["c", "a", "b"]


def test_a_question_without_a_relevant_document_is_named_and_leaves_the_means_alone():
    rankings = {"q": {"a": 1.0}, "no gold": {"a": 1.0}, "only zeros": {"a": 1.0}}
    found = evaluate_rankings(rankings, {"q": {"a": 1}, "only zeros": {"a": 0}})
    assert found.without_gold == ["no gold", "only zeros"]
    assert found.mean["map"] == 1 and list(found.per_query) == ["q"]


def test_a_question_for_which_nothing_was_found_counts_as_zero():
    found = evaluate_rankings({"q": {"a": 1.0}}, {"q": {"a": 1}, "never ranked": {"b": 1}})
    assert found.per_query["never ranked"]["mrr"] == 0
    assert found.mean["mrr"] == 0.5


def test_rankings_of_another_collection_are_refused():
    with pytest.raises(ValueError, match="one collection"):
        evaluate_rankings({"q": {"a": 1.0}}, {"other": {"a": 1}})


@pytest.mark.parametrize("seed", range(5))
def test_every_measure_equals_trec_evals(seed):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    draw = random.Random(seed)
    documents = [f"d{n}" for n in range(150)]
    judgements = {
        f"q{n}": {document: draw.choice([0, 1, 1, 2, 3]) for document in draw.sample(documents, draw.randint(1, 30))}
        for n in range(40)
    }
    # Few distinct scores, so that there are many ties.
    rankings = {
        query: {document: draw.randint(0, 20) / 4 for document in draw.sample(documents, draw.randint(1, 150))}
        for query in judgements
    }
    ours = evaluate_rankings(rankings, judgements, ndcg_at=(5, 10), recall_at=(10, 100))
    # trec_eval puts the larger id first among equals: give it our order as scores without ties.
    untied = {
        query: {document: float(-place) for place, document in enumerate(rank(scores))}
        for query, scores in rankings.items()
    }
    theirs = pytrec_eval.RelevanceEvaluator(
        judgements, {"map", "recip_rank", "ndcg_cut.5,10", "recall.10,100"}
    ).evaluate(untied)
    names = {"map": "map", "recip_rank": "mrr", "ndcg_cut_5": "ndcg_5", "ndcg_cut_10": "ndcg_10"}
    names |= {"recall_10": "recall_10", "recall_100": "recall_100"}
    for query, scores in ours.per_query.items():
        assert {ours: theirs[query][name] for name, ours in names.items()} == pytest.approx(scores, abs=1e-6)
    assert set(ours.per_query) | set(ours.without_gold) == set(judgements)
