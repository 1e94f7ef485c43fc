"""BM25 equals its plain formula, bm25s's Lucene scores, and itself built anew after any additions and deletions."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa_system.retrieval.sparse_retrieval import SparseIndex
from qa_system.retrieval.text_analysis import STOP_WORDS, analyse, is_han

WORDS = [f"w{n}" for n in range(12)]
DOCUMENT = st.lists(st.sampled_from(WORDS), max_size=20)


def index_of(documents, **settings):
    index = SparseIndex(**settings)
    index.add(documents.items())
    return index


def plain_bm25(query, documents, k1, b):
    """The formula, term by term and document by document."""
    n, mean = len(documents), sum(map(len, documents.values())) / len(documents)
    scores = {}
    for identity, terms in documents.items():
        score = 0.0
        for term in query:
            df, tf = sum(term in other for other in documents.values()), terms.count(term)
            idf = math.log(1 + (n - df + 0.5) / (df + 0.5))
            score += idf * tf / (tf + k1 * (1 - b + b * len(terms) / mean)) if tf else 0.0
        scores[identity] = score
    return scores


def test_two_documents_by_hand():
    # N = 2, mean length 2. Of "cat": df = 1, idf = ln(1 + 1.5 / 1.5) = ln 2.
    # Document 1 has it once in 2 terms: 1 / (1 + 1.2) = 0.4545.
    index = index_of({1: ["cat", "sat"], 2: ["dog", "sat"]})
    ids, scores = index.search(["cat"], 5)
    assert ids.tolist() == [1]
    assert scores[0] == pytest.approx(math.log(2) / 2.2)


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0)])
def test_scores_equal_the_plain_formula(k1, b):
    draw = random.Random(0)
    documents = {n * 7: draw.choices(WORDS, k=draw.randint(1, 30)) for n in range(50)}
    index = index_of(documents, k1=k1, b=b)
    for _ in range(20):
        query = draw.choices([*WORDS, "unknown"], k=draw.randint(1, 6))  # repeated terms too
        right = plain_bm25(query, documents, k1, b)
        ids, scores = index.search(query, len(documents))
        assert dict(zip(ids.tolist(), scores, strict=True)) == pytest.approx({d: s for d, s in right.items() if s > 0})
        assert index.scores_of(query, list(documents)) == pytest.approx(list(right.values()))


def test_scores_equal_those_of_bm25s():
    bm25s = pytest.importorskip("bm25s")
    draw = random.Random(1)
    corpus = [draw.choices(WORDS, k=draw.randint(1, 30)) for _ in range(80)]
    theirs = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    theirs.index(corpus, show_progress=False)
    ours = index_of(dict(enumerate(corpus)))
    for _ in range(10):
        query = draw.sample(WORDS, 4)
        assert ours.scores_of(query, range(80)) == pytest.approx(theirs.get_scores(query), rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), DOCUMENT), max_size=40), DOCUMENT)
def test_after_any_additions_and_deletions_scores_are_those_of_an_index_built_anew(changes, query):
    index, documents = SparseIndex(), {}
    for adding, identity, terms in changes:
        if identity in documents:
            index.remove([identity])
            del documents[identity]
        if adding:
            index.add([(identity, terms)])
            documents[identity] = terms
    ids, scores = index.search(query, 5)
    fresh_ids, fresh_scores = index_of(documents).search(query, 5)
    assert ids.tolist() == fresh_ids.tolist()
    assert scores.tolist() == fresh_scores.tolist()  # to the last bit
    assert len(index) == len(documents)


def test_equal_scores_come_by_smaller_id_also_where_the_list_is_cut():
    index = index_of({identity: ["same"] for identity in (9, 4, 7, 1)})
    assert index.search(["same"], 3)[0].tolist() == [1, 4, 7]


def test_a_search_can_be_kept_to_some_documents():
    index = index_of({1: ["a", "a"], 2: ["a", "b"], 3: ["b", "c"]})
    assert index.search(["a", "b"], 5, among=np.array([2, 3, 99]))[0].tolist() == [2, 3]


def test_an_empty_index_finds_nothing_before_and_after():
    index = SparseIndex()
    assert index.search(["a"], 3)[0].tolist() == []
    index.add([(1, ["a"])])
    index.remove([1])
    assert index.search(["a"], 3)[0].tolist() == []


def test_an_id_is_added_once_and_removed_once():
    index = index_of({1: ["a"]})
    with pytest.raises(ValueError, match="remove it first"):
        index.add([(1, ["b"])])
    index.remove([1])
    with pytest.raises(KeyError):
        index.remove([1])


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The engines' speeds, and Newton\u2019s laws", ["engin", "speed", "newton", "law"]),
        ("don't", ["don't"]),
        ("IL-2 and 1.5 mg", ["il", "2", "1", "5", "mg"]),
        ("\uff27\uff30\uff35\u3000\uff11\uff12", ["gpu", "12"]),  # full-width letters and digits
        ("用GPU训练模型。", ["用", "gpu", "训练", "练模", "模型"]),
        ("9 ft/s, 5's", ["9", "ft", "5"]),  # of a lone s the stemmer leaves nothing
        ("每秒308分", ["每秒", "308", "分"]),
        ("the", []),
        ("", []),
        ("…!?", []),
    ],
)
def test_terms_of_english_chinese_and_mixed_texts(text, terms):
    assert analyse(text) == terms


def test_stop_words_never_become_terms():
    assert analyse(" ".join(STOP_WORDS)) == []


@pytest.mark.parametrize(
    ("text", "han"),
    [("谁发明了电话?", True), ("用GPU训练模型要多久", True), ("Who invented the telephone?", False), ("1234", False)],
)
def test_the_language_is_told_by_its_letters(text, han):
    assert is_han(text) is han
