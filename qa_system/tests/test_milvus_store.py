"""The Milvus store over milvus-lite: what goes in is found, updated, deleted, with the scores of our own BM25."""

import pytest

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")

from qa_system.document_processor.milvus_store import MilvusStore  # noqa: E402
from qa_system.document_processor.vector_store import VectorStore  # noqa: E402
from qa_system.retrieval.hybrid_retrieval import Fusion, HybridRetriever  # noqa: E402
from shared.errors import UserError  # noqa: E402

DOCUMENTS = {
    "a.txt": ["red wing of an engine", "the engine's heat flow"],
    "纸.txt": ["机翼的热流分析 wing", "don't stop the flow"],
}


@pytest.fixture
def store(tmp_path, hashed_words):
    opened = MilvusStore(str(tmp_path / "milvus.db"), hashed_words)
    yield opened
    opened.close()


@pytest.mark.slow
def test_it_does_what_the_store_in_a_folder_does(store, tmp_path, hashed_words, make_document):
    local = VectorStore(tmp_path / "local", hashed_words)
    for opened in (store, local):
        for source, texts in DOCUMENTS.items():
            assert opened.add(*make_document(source, texts), split="s") == "added"
        assert opened.add(*make_document("a.txt", DOCUMENTS["a.txt"]), split="s") == "unchanged"
    # Nearly the same scores, by words, meaning and both, in English and Chinese: milvus-lite's k1
    # is 1.5, which changes these by 1 or 2 %.
    for method, tolerance in (("bm25", 0.05), ("dense", 1e-5), ("hybrid", 0.05)):
        for question in ("red engine flow", "机翼热流", "don't wing"):
            far, near = (HybridRetriever(opened, Fusion(method=method)).search(question) for opened in (store, local))
            right = {hit.chunk: hit.score for hit in near}
            assert {hit.chunk: hit.score for hit in far} == pytest.approx(right, rel=tolerance)
            right = {hit.chunk: hit.cosine for hit in near}
            assert {hit.chunk: hit.cosine for hit in far} == pytest.approx(right, abs=1e-5)
    only = HybridRetriever(store).search("wing flow", sources=["纸.txt"])
    assert {hit.chunk.source for hit in only} == {"纸.txt"}
    assert HybridRetriever(store).search("wing flow", sources=["nowhere"]) == []
    document, chunks = make_document("纸.txt", DOCUMENTS["纸.txt"])
    assert store.document("纸.txt") == document
    assert {hit.chunk for hit in only} == set(chunks)
    listed = [(line.source, line.chunks, line.split) for line in store.documents()]
    assert listed == [("a.txt", 2, "s"), ("纸.txt", 2, "s")]
    assert store.document("nowhere") is None
    # An update and a deletion.
    assert store.add(*make_document("a.txt", ["green wing"])) == "updated"
    assert HybridRetriever(store, Fusion(method="bm25")).search("red engine") == []
    assert len(store) == 3
    assert store.delete("纸.txt") == 2 and store.delete("纸.txt") == 0
    assert [line.source for line in store.documents()] == ["a.txt"] and len(store) == 1
    local.close()
    # Opened again, by itself and by another model.
    again = MilvusStore(store.folder, create=False)
    assert again.embedding == "hashed" and len(again) == 1
    again.close()
    with pytest.raises(UserError, match="its embedding is hashed, not minilm"):
        MilvusStore(store.folder, "minilm")


@pytest.mark.slow
def test_a_long_document_comes_back_whole(store, make_document):
    document, chunks = make_document("long.txt", [f"passage {n} {'长' * 30}" for n in range(1500)])
    store.add(document, chunks)
    assert store.document("long.txt") == document
    assert len(store.rows_of(["long.txt"])) == len(store) == 1500


def test_no_server_is_one_clear_line():
    with pytest.raises(UserError, match="no Milvus answers there"):
        MilvusStore("http://127.0.0.1:9", "hashed")
