"""One score of words and meaning: worked out by hand, and what each rule of it is for."""

import numpy as np
import pytest

from qa_system.document_processor.vector_store import VectorStore
from qa_system.retrieval.any_questions import ANY_QUESTIONS
from qa_system.retrieval.dense_retrieval import Embedder
from qa_system.retrieval.hybrid_retrieval import Fusion, HybridRetriever, with_neighbours
from shared.config import build
from shared.errors import UserError


class Given:
    """Vectors given by hand; what is not given is far from everything."""

    width = 2

    def __init__(self, vectors):
        self.vectors, self.asked = vectors, []

    def encode(self, texts, role="query", on_progress=lambda done: None):
        self.asked += texts
        return np.array([self.vectors.get(text, (0.0, 1.0)) for text in texts], dtype=np.float32)


@pytest.fixture
def fill(tmp_path, make_document):
    """`fill({"a.txt": ["text"]}, vectors)`: a store of these documents."""
    opened = []

    def make(documents, vectors=None, reads_chinese=False, common=(0.0, 0.0)):
        embedder = Embedder("given", Given(vectors or {}), 2, "v1", reads_chinese, 256)
        if common is not None:
            embedder._common.update(en=np.array(common, dtype=np.float32), zh=np.array(common, dtype=np.float32))
        store = VectorStore(tmp_path / str(len(opened)), embedder)
        opened.append(store)
        for source, texts in documents.items():
            store.add(*make_document(source, texts))
        return store

    yield make
    for store in opened:
        store.close()


def texts(hits):
    return [hit.chunk.text for hit in hits]


def test_the_score_by_hand(fill):
    # Two passages of 2 terms each. "cat": df 1, idf = ln(1 + 1.5 / 1.5) = ln 2; BM25 of the first = ln 2 / 2.2.
    # "bird" is in no passage: idf = ln(1 + 2.5 / 0.5) = ln 6. Possible: ln 2 + ln 6 = ln 12.
    vectors = {"cat sat": (0.6, 0.8), "dog sat": (0.8, 0.6), "cat bird": (1.0, 0.0)}
    store = fill({"a": ["cat sat"], "b": ["dog sat"]}, vectors)
    first, second = HybridRetriever(store, Fusion(dense_weight=0.25)).search("cat bird")
    share = np.log(2) / 2.2 / np.log(12)  # 0.127
    assert (first.chunk.text, first.bm25) == ("cat sat", pytest.approx(share))
    assert (first.score, first.cosine) == (pytest.approx(0.75 * share + 0.25 * 0.6), pytest.approx(0.6))
    assert (second.chunk.text, second.bm25, second.score) == ("dog sat", 0, pytest.approx(0.25 * 0.8))


@pytest.mark.parametrize(
    ("method", "order"),
    [("bm25", ["wing wing", "wing flow"]), ("dense", ["heat", "wing flow", "wing wing"])],
)
def test_one_leg_alone(fill, method, order):
    vectors = {"wing": (1, 0), "heat": (1, 0), "wing flow": (0.8, 0.6), "wing wing": (0.6, 0.8)}
    store = fill({"a": ["wing wing", "wing flow", "heat"]}, vectors)
    assert texts(HybridRetriever(store, Fusion(method=method)).search("wing")) == order


def test_words_alone_are_scored_as_in_the_whole_score_and_cut_at_k(fill):
    # "cat": df 2 of 2, idf = ln(1 + 0.5 / 2.5); "bird" in none, ln 6. Both passages have 2 terms.
    store = fill({"a": ["cat sat"], "b": ["cat ran"]})
    retriever = HybridRetriever(store, Fusion(method="bm25"))
    share = np.log(1.2) / 2.2 / (np.log(1.2) + np.log(6))
    hits = retriever.search("cat bird")
    assert [(hit.bm25, hit.score) for hit in hits] == [(pytest.approx(share), pytest.approx(share))] * 2
    with store.view() as view:
        ranked = retriever.rank(view, ["cat", "bird"], None, 1)
    assert [len(each) for each in ranked] == [1, 1, 1, 1]


def test_reciprocal_ranks_by_hand(fill):
    # By words: "wing wing", "wing flow". By meaning: "heat", "wing flow", "wing wing". With equal weights
    # "wing flow" has 1/62 + 1/62, "wing wing" 1/61 + 1/63 (a little more), "heat" 1/61.
    vectors = {"wing": (1, 0), "heat": (1, 0), "wing flow": (0.8, 0.6), "wing wing": (0.6, 0.8)}
    store = fill({"a": ["wing wing", "wing flow", "heat"]}, vectors)
    hits = HybridRetriever(store, Fusion(method="ranks", dense_weight=0.5)).search("wing")
    assert texts(hits) == ["wing wing", "wing flow", "heat"]
    assert [hit.score for hit in hits] == pytest.approx([(1 / 61 + 1 / 63) / 2, 1 / 62, 1 / 61 / 2])


def test_a_chinese_question_does_not_ask_an_encoder_that_cannot_read_it(fill):
    vectors = {"机翼的热流": (1, 0), "无关": (1, 0)}
    documents = {"a": ["机翼的热流分析", "无关"]}
    blind = fill(documents, vectors, reads_chinese=False)
    before = list(blind.embedder.encoder.asked)
    assert texts(HybridRetriever(blind).search("机翼的热流")) == ["机翼的热流分析"]
    assert blind.embedder.encoder.asked == before
    reading = fill(documents, vectors, reads_chinese=True)
    assert len(HybridRetriever(reading).search("机翼的热流")) == 2
    told = HybridRetriever(blind, Fusion(chinese_dense_weight=0.5))
    assert len(told.search("机翼的热流")) == 2


def test_cosines_of_every_encoder_come_on_one_scale():
    """Of E5, 0.95 is as much above unrelated texts as 1 is of MiniLM."""
    e5 = Embedder("e5", None, 2, "v1", True, 512, floor=0.75, spread=0.02)
    assert e5.comparable(np.array([0.75, 0.85, 0.95])) == pytest.approx([0, 0.5, 1])
    minilm = Embedder("minilm", None, 2, "v1", False, 256)
    assert minilm.comparable(np.array([0.3])) == pytest.approx([0.3])


def test_across_languages_meaning_alone_decides(fill):
    """An English question over Chinese passages: one shares a number with it, another is what it means."""
    vectors = {"how hot was the wing in 1999": (1.0, 0.0), "1999年的天气": (0.5, 0.866), "机翼温度很高": (0.9, 0.436)}
    store = fill({"a": ["1999年的天气", "机翼温度很高"]}, vectors, reads_chinese=True)
    first, second = HybridRetriever(store, Fusion()).search("how hot was the wing in 1999")
    assert (first.chunk.text, first.score) == ("机翼温度很高", pytest.approx(0.9))
    assert second.bm25 > 0 and second.score == pytest.approx(0.5)


def test_an_encoder_that_reads_no_chinese_has_no_say_on_chinese_passages(fill):
    """Among English passages it has: the Chinese one is found by its words only."""
    vectors = {"boeing wing": (1.0, 0.0), "波音 boeing 的机翼用了很多材料": (1.0, 0.0), "the plane": (0.9, 0.436)}
    store = fill({"a": ["波音 boeing 的机翼用了很多材料", "the plane"]}, vectors)
    hits = HybridRetriever(store, Fusion()).search("boeing wing")
    scores = {hit.chunk.text: hit.score for hit in hits}
    assert scores["the plane"] == pytest.approx(0.45 * 0.9)
    assert scores["波音 boeing 的机翼用了很多材料"] == pytest.approx(hits[-1].bm25) and hits[-1].cosine == 1
    assert texts(HybridRetriever(store, Fusion()).search("the weather")) == ["the plane"]
    only_chinese = fill({"a": ["无关的文字"]}, vectors)
    assert HybridRetriever(only_chinese).search("boeing wing") == []


def test_sources_restrict_both_legs(fill):
    store = fill({"a": ["wing one", "other"], "b": ["wing two"], "c": ["wing three"]})
    hits = HybridRetriever(store).search("wing", sources=["b", "c"])
    assert {hit.chunk.source for hit in hits} == {"b", "c"}
    assert HybridRetriever(store).search("wing", sources=["nowhere"]) == []


def test_one_file_under_two_names_is_found_once(fill):
    store = fill({"a": ["wing"], "copy of a": ["wing"], "b": ["heat wing"]})
    hits = HybridRetriever(store).search("wing", k=2)
    assert [hit.chunk.source for hit in hits] == ["a", "b"]


def test_many_copies_of_a_file_do_not_crowd_out_another(fill):
    store = fill({**{f"copy {n}": ["wing"] for n in range(9)}, "other": ["heat wing"]})
    assert texts(HybridRetriever(store).search("wing", k=2)) == ["wing", "heat wing"]


def test_a_reranker_orders_the_first_hits_anew(fill):
    store = fill({"a": ["wing wing wing", "wing heat flow", "wing flow of heat"]})
    asked = []

    def by_length(question, hits):
        asked.append((question, len(hits)))
        return [len(hit.chunk.text) for hit in hits]

    found = HybridRetriever(store, reranker=by_length).search("wing", k=1, rerank=3)
    assert texts(found) == ["wing flow of heat"] and found[0].score == len("wing flow of heat")
    assert asked == [("wing", 3)]


def test_an_empty_question_and_an_empty_store_find_nothing(fill):
    assert HybridRetriever(fill({})).search("wing") == []
    assert HybridRetriever(fill({"a": ["wing"]})).search("  ") == []


@pytest.mark.parametrize("change", [{"dense_weight": 1.5}, {"chinese_dense_weight": -0.1}, {"pool": 0}])
def test_bad_settings_are_one_clear_line(change):
    with pytest.raises(UserError, match=f"--{next(iter(change))}"):
        build(Fusion, change)


def test_neighbours_by_hand():
    # The first two are alike (cosine 1), the third is at a right angle to both: nobody speaks for it.
    likeness = np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert with_neighbours(np.array([0.9, 0.1, 0.5]), likeness, 0.5) == pytest.approx(
        [(0.9 + 0.5 * 0.1) / 1.5, (0.1 + 0.5 * 0.9) / 1.5, 0.5 / 1.5]
    )


def test_a_passage_that_is_like_a_good_one_passes_one_that_is_like_a_bad_one(fill):
    degrees = {"question": 0, "best": 10, "like best": 45, "like bad": -44, "bad": -85}
    vectors = {text: (np.cos(np.radians(angle)), np.sin(np.radians(angle))) for text, angle in degrees.items()}
    store = fill({"a": ["best", "like best", "like bad", "bad"]}, vectors)
    alone = HybridRetriever(store).search("question")
    assert texts(alone) == ["best", "like bad", "like best", "bad"]
    spoken = HybridRetriever(store, Fusion(neighbours=0.15)).search("question")
    assert texts(spoken) == ["best", "like best", "like bad", "bad"]


def test_a_passage_that_is_like_any_question_is_held_back(fill):
    # Question and all questions at 0 and 30 degrees; "like any" is nearer, but so it is to every question.
    degrees = {"question": 0, "like any": 20, "another": -24}
    vectors = {text: (np.cos(np.radians(angle)), np.sin(np.radians(angle))) for text, angle in degrees.items()}
    any_question = (np.cos(np.radians(30)), np.sin(np.radians(30)))
    store = fill({"a": ["like any", "another"]}, vectors, common=any_question)
    plain = HybridRetriever(store, Fusion(common=0, dense_weight=1)).search("question")
    assert texts(plain) == ["like any", "another"]
    first, second = HybridRetriever(store, Fusion(common=0.5, dense_weight=1)).search("question")
    assert (first.chunk.text, second.chunk.text) == ("another", "like any")
    by_hand = np.cos(np.radians(24)) - 0.5 * np.cos(np.radians(54))
    assert first.score == pytest.approx(by_hand) and first.cosine == pytest.approx(by_hand)


def test_what_questions_have_in_common_is_the_mean_of_their_language(fill):
    store = fill({}, {question: (1.0, 0.0) for question in ANY_QUESTIONS["zh"][:6]}, common=None)
    assert store.embedder.common(chinese=True) == pytest.approx([0.25, 0.75])  # 6 of 24; the others are (0, 1)
    assert store.embedder.common(chinese=False) == pytest.approx([0, 1])
