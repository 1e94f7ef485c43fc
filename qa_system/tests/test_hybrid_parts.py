"""Why a passage was found: its words' and its meaning's part of the score, by the languages of question and passage."""

from dataclasses import replace

import pytest

from qa_system.document_processor.documents import Chunk
from qa_system.document_processor.vector_store import VectorStore
from qa_system.retrieval.hybrid_retrieval import Fusion, Hit, HybridRetriever

ENGLISH, CHINESE = "the heat of the wing", "机翼的热"


@pytest.fixture
def parts(tmp_path, hashed_words):
    """`parts(question, passage, reads_chinese)` of a hit with bm25 0.5 and cosine 0.8."""

    def of(question, passage, reads_chinese=True, **fusion):
        store = VectorStore(tmp_path / "store", replace(hashed_words, reads_chinese=reads_chinese))
        hit = Hit(Chunk("0", "0", "a", passage, 0, len(passage)), 0.9, 0.5, 0.8)
        found = HybridRetriever(store, Fusion(**fusion)).parts(question, hit)
        store.close()
        return found

    return of


def test_within_a_language_both_have_their_weight(parts):
    assert parts(ENGLISH, ENGLISH, dense_weight=0.4) == pytest.approx((0.3, 0.32))


def test_an_encoder_that_reads_no_chinese_gives_nothing_to_chinese(parts):
    assert parts(CHINESE, CHINESE, reads_chinese=False) == pytest.approx((0.5, 0.0))


def test_across_languages_words_give_nothing_where_meaning_can_speak(parts):
    assert parts(ENGLISH, CHINESE) == parts(CHINESE, ENGLISH) == pytest.approx((0.0, 0.8))


def test_one_leg_alone_gives_all(parts):
    assert parts(ENGLISH, ENGLISH, method="bm25") == pytest.approx((0.5, 0.0))
    assert parts(ENGLISH, ENGLISH, method="dense") == pytest.approx((0.0, 0.8))
