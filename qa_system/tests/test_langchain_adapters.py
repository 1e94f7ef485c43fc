"""LangChain's own interface over our store: its retriever, its documents, its runnables."""

import pytest

pytest.importorskip("langchain_core")

from langchain_core.documents import Document  # noqa: E402
from langchain_core.embeddings import DeterministicFakeEmbedding  # noqa: E402
from langchain_core.runnables import RunnableLambda  # noqa: E402

from qa_system.langchain_adapters import StoreEmbeddings, StoreVectors  # noqa: E402


@pytest.fixture
def vectors(tmp_path, hashed_words):
    texts = ["red wing", "blue engine", "heat of the wing"]
    made = StoreVectors.from_texts(
        texts,
        StoreEmbeddings(hashed_words),
        [{"shelf": n} for n in range(3)],
        ids=["a", "b", "c"],
        where=str(tmp_path),
    )
    yield made
    made.store.close()


def test_a_retriever_in_a_chain_finds_texts_with_their_metadata(vectors):
    chain = vectors.as_retriever(search_kwargs={"k": 1}) | RunnableLambda(lambda found: found[0])
    best = chain.invoke("a red wing")
    assert best.page_content == "red wing"
    assert (best.metadata["source"], best.metadata["shelf"]) == ("a", 0)


def test_texts_are_replaced_by_id_and_deleted(vectors):
    vectors.add_texts(["green flow"], ids=["a"])
    assert [document.page_content for document in vectors.similarity_search("red green", k=1)] == ["green flow"]
    assert vectors.delete(["a", "b"]) is True
    assert vectors.delete(["a"]) is False
    assert [document.metadata["source"] for document in vectors.similarity_search("wing")] == ["c"]
    vectors.delete()
    assert vectors.similarity_search("wing") == []


def test_documents_come_back_with_the_ids_that_they_were_given(vectors):
    assert vectors.add_documents([Document(id="d", page_content="green flow", metadata={"source": "book"})]) == ["d"]
    [found] = vectors.similarity_search("green", k=1)
    assert (found.id, found.metadata["source"]) == ("d", "book")
    assert vectors.delete([found.id]) is True


def test_a_text_gets_other_metadata(vectors):
    vectors.add_texts(["red wing"], [{"shelf": 9}], ids=["a"])
    assert vectors.similarity_search("red", k=1)[0].metadata["shelf"] == 9
    assert len(vectors.store) == 3


@pytest.mark.parametrize("given", [{"metadatas": [{}]}, {"ids": ["x"]}])
def test_of_texts_without_a_partner_none_is_added(vectors, given):
    with pytest.raises(ValueError, match="1 for 2 texts"):
        vectors.add_texts(["new flow", "newer flow"], **given)
    assert len(vectors.store) == 3


def test_a_text_without_an_id_is_there_once(vectors):
    first, second = vectors.add_texts(["same text"]), vectors.add_texts(["same text"])
    assert first == second and len(vectors.store) == 4


def test_a_search_can_be_kept_to_sources_and_scores_are_shares(vectors):
    found = vectors.similarity_search_with_score("wing", sources=["c"])
    assert [document.metadata["source"] for document, _ in found] == ["c"]
    assert all(0 <= score <= 1 for _, score in vectors.similarity_search_with_relevance_scores("wing"))


def test_embeddings_are_the_encoders(vectors, hashed_words):
    embeddings = vectors.embeddings
    assert embeddings.embed_query("wing") == hashed_words.encode(["wing"])[0].tolist()
    assert len(embeddings.embed_documents(["a", "b"])) == 2


def test_foreign_embeddings_are_refused(tmp_path):
    with pytest.raises(TypeError, match="StoreEmbeddings"):
        StoreVectors.from_texts(["a"], DeterministicFakeEmbedding(size=4), where=str(tmp_path))
