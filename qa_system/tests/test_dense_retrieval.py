"""A tiny checkpoint is read as its files say; the index finds exactly what comparing every vector finds."""

import json
import shutil

import numpy as np
import pytest

from qa_system.retrieval.dense_retrieval import UNRELATED, DenseIndex, load_embedder
from shared.errors import UserError


@pytest.fixture
def changed(tiny_checkpoint, tmp_path):
    """The tiny checkpoint with one of its JSON files changed."""

    def change(file, value):
        folder = tmp_path / "changed"
        shutil.copytree(tiny_checkpoint, folder, dirs_exist_ok=True)
        (folder / file).write_text(json.dumps(value), encoding="utf-8")
        return str(folder)

    return change


def by_hand(folder, text, pooling):
    """The vector of one text, straight from transformers."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    inputs = AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=12, return_tensors="pt")
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(folder)(**inputs).last_hidden_state[0]
    vector = pooling(hidden).numpy()
    return vector / np.linalg.norm(vector)


POOLINGS = {
    "mean_tokens": lambda hidden: hidden.mean(0),
    "cls_token": lambda hidden: hidden[0],
    "max_tokens": lambda hidden: hidden.amax(0),
    "lasttoken": lambda hidden: hidden[-1],
}


@pytest.mark.parametrize("kind", POOLINGS)
def test_a_checkpoint_pools_as_its_folder_says(changed, kind):
    folder = changed("1_Pooling/config.json", {f"pooling_mode_{kind}": True})
    embedder = load_embedder(folder)
    texts = ["wing", "engine heat flow of the wings", "the heat"]  # several lengths, so that there is padding
    vectors = embedder.encode(texts, "query")
    assert vectors.shape == (3, 8) == (3, embedder.width)
    for text, vector in zip(texts, vectors, strict=True):
        assert vector == pytest.approx(by_hand(folder, f"the {text}", POOLINGS[kind]), abs=2e-2)  # bf16 may compute


def test_questions_and_passages_get_the_words_they_were_trained_with(tiny_checkpoint):
    embedder = load_embedder(str(tiny_checkpoint))
    assert not np.allclose(embedder.encode(["wing"], "query"), embedder.encode(["wing"], "passage"))
    right = by_hand(tiny_checkpoint, "of wing", POOLINGS["mean_tokens"])
    assert embedder.encode(["wing"], "passage")[0] == pytest.approx(right, abs=2e-2)


def test_the_limits_come_from_the_folder_and_chinese_is_judged_by_the_tokenizer(tiny_checkpoint):
    embedder = load_embedder(str(tiny_checkpoint))
    assert embedder.max_tokens == 12
    assert not embedder.reads_chinese


def test_the_cosines_of_unrelated_texts_are_measured(tiny_checkpoint):
    """Random weights: all texts are much alike, and what they differ by is the measure."""
    embedder = load_embedder(str(tiny_checkpoint))
    cosines = embedder.encode(UNRELATED, "query") @ embedder.encode(UNRELATED, "passage").T
    others = cosines[~np.eye(len(UNRELATED), dtype=bool)]
    assert (embedder.floor, embedder.spread) == pytest.approx((others.mean(), others.std()), abs=1e-3)
    assert abs(embedder.comparable(others).mean()) < 0.05


def test_other_weights_have_another_fingerprint(tiny_checkpoint, changed):
    folder = changed("sentence_bert_config.json", {"max_seq_length": 12})
    assert load_embedder(folder).fingerprint == load_embedder(str(tiny_checkpoint)).fingerprint
    from safetensors.numpy import load_file, save_file

    weights = load_file(f"{folder}/model.safetensors")
    name = next(iter(weights))
    save_file({**weights, name: weights[name] + 1}, f"{folder}/model.safetensors", metadata={"format": "pt"})
    assert load_embedder(folder).fingerprint != load_embedder(str(tiny_checkpoint)).fingerprint


def test_parts_that_are_not_known_are_refused_by_name(changed):
    parts = [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]
    with pytest.raises(UserError, match="sentence_transformers.models.Dense"):
        load_embedder(changed("modules.json", parts))
    shutil.rmtree(changed("modules.json", []))
    with pytest.raises(UserError, match="pooling"):
        load_embedder(changed("1_Pooling/config.json", {"pooling_mode_weightedmean_tokens": True}))


def test_a_folder_without_a_model_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no sentence encoder"):
        load_embedder(str(tmp_path))


@pytest.fixture
def vectors():
    drawn = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_the_index_finds_what_comparing_every_vector_finds(vectors):
    index = DenseIndex(8)
    ids = np.arange(60) * 3 + 5
    index.add(ids[:40], vectors[:40])
    index.add(ids[40:], vectors[40:])
    index.remove(ids[10:20])
    left = np.r_[0:10, 20:60]
    for query in vectors[:5]:
        found, scores = index.search(query, 7)
        cosines = vectors[left] @ query
        right = np.argsort(-cosines)[:7]
        assert found.tolist() == ids[left][right].tolist()
        assert scores == pytest.approx(cosines[right], abs=1e-6)
        assert index.scores_of(query, ids[left]) == pytest.approx(cosines, abs=1e-6)


def test_a_search_can_be_kept_to_some_ids(vectors):
    index = DenseIndex(8)
    index.add(range(60), vectors)
    found, _ = index.search(vectors[0], 10, among=np.array([3, 7, 9, 1000]))
    assert sorted(found.tolist()) == [3, 7, 9]


def test_equal_vectors_come_by_smaller_id():
    index = DenseIndex(2)
    index.add([9, 2, 5], np.tile([1.0, 0.0], (3, 1)))
    assert index.search(np.array([1.0, 0.0]), 3)[0].tolist() == [2, 5, 9]


def test_an_unknown_id_is_not_removed_in_silence(vectors):
    index = DenseIndex(8)
    index.add([1, 2], vectors[:2])
    with pytest.raises(KeyError):
        index.remove([2, 3])
    assert len(DenseIndex(8)) == 0 and DenseIndex(8).search(vectors[0], 3)[0].tolist() == []
