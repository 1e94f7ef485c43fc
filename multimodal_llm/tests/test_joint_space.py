"""The trained space: its shapes, its file, and that training brings photos to their captions."""

import json

import numpy as np
import pytest
import torch

from multimodal_llm.clip_applications import joint_space, train_joint_space
from multimodal_llm.clip_applications.joint_space import (
    SHIPPED,
    WEIGHTS,
    JointSpaceSettings,
    TextTower,
    Towers,
    load_towers,
)
from multimodal_llm.clip_applications.spaces import load_space
from multimodal_llm.clip_applications.train_joint_space import (
    JointTrainingConfig,
    Pairs,
    contrastive_loss,
    learn,
    recalls,
    scores_of,
)
from multimodal_llm.image_captioning.captioner import FREE_ONLY
from shared.errors import UserError

TINY = JointSpaceSettings(width=32, heads=4, hidden=16, dropout=0.1)


def pairs_of(n: int, seed: int = 0) -> Pairs:
    """Photos and captions that a linear map could bring together."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, 8, generator=generator)
    see, read = (torch.randn(8, width, generator=torch.Generator().manual_seed(width)) for width in (1280, 384))
    tokens = (hidden @ read)[:, None, None] + torch.randn(n, 5, 6, 384, generator=generator) * 0.1
    mask = torch.ones(n, 5, 6, dtype=torch.bool)
    mask[:, :, 4:] = False
    pooled = (hidden @ see)[None].repeat(2, 1, 1)
    return Pairs(pooled, torch.zeros(2, n, 384), tokens.half(), mask)


def test_what_lies_behind_the_text_does_not_count():
    tower = TextTower(TINY).eval()
    tokens, mask = torch.randn(2, 6, 384), torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]]).bool()
    changed = tokens.clone()
    changed[0, 3:] = 100
    assert torch.allclose(tower(tokens, mask), tower(changed, mask), atol=1e-5)
    assert torch.allclose(tower(tokens[:1, :3], mask[:1, :3]), tower(tokens, mask)[:1], atol=1e-5)


def test_both_towers_give_vectors_of_length_one():
    towers = Towers(TINY).eval()
    images = towers.image(torch.randn(3, 1280), torch.randn(3, 384))
    texts = towers.text(torch.randn(3, 5, 384), torch.ones(3, 5, dtype=torch.bool))
    for vectors in (images, texts):
        assert vectors.shape == (3, 32)
        assert torch.allclose(vectors.norm(dim=-1), torch.ones(3), atol=1e-5)


def test_a_saved_space_is_the_same_after_loading(tmp_path):
    towers = Towers(TINY).eval()
    towers.save(tmp_path)
    again = load_towers(tmp_path)
    photo = torch.randn(2, 1280), torch.randn(2, 384)
    assert torch.allclose(again.image(*photo), towers.image(*photo), atol=2e-2)
    assert again.settings == TINY
    (tmp_path / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(UserError, match="not the weights of a joint space"):
        load_towers(tmp_path)


def test_the_loss_is_that_of_guessing_where_nothing_is_told_apart():
    same = torch.ones(8, 4) / 2
    assert contrastive_loss(same, same, 20.0).item() == pytest.approx(2 * np.log(8), rel=1e-5)
    apart = torch.eye(8)
    assert contrastive_loss(apart, apart, 100.0).item() < 1e-6


def test_training_brings_photos_that_it_never_saw_to_their_captions():
    torch.manual_seed(0)
    learnt, unseen = pairs_of(240), pairs_of(40, seed=1)
    towers = Towers(TINY)
    before = scores_of(towers.eval(), unseen)
    learn(towers, learnt, JointTrainingConfig(data="", epochs=12, batch_size=48, learning_rate=3e-3, average=0.5))
    after = scores_of(towers, unseen)
    assert after["t2i_r1"] > max(0.5, 3 * before["t2i_r1"])
    assert after["i2t_r1"] > 0.5


def test_recall_counts_the_rank_of_the_own_photo_and_the_best_own_caption():
    # Two photos, two captions each; rows are captions.
    cosines = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.4], [0.7, 0.6]])
    found = recalls(cosines, captions=2)
    assert found["t2i_r1"] == 0.5  # captions 0 and 2 find theirs
    assert found["t2i_r5"] == 1
    assert found["i2t_r1"] == 0.5  # photo 0: caption 0 is first; photo 1: caption 1, which is photo 0's


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"batch_size": 1}, "--batch_size 1"),
        ({"temperature": 0}, "--temperature 0"),
        ({"learning_rate": 0}, "--learning_rate 0"),
        # The shape was refused only by the towers, after minutes of looking at photos.
        ({"heads": 0}, "--heads 0"),
        ({"heads": 7}, "--heads 7: give a divisor of the width, 512"),
        ({"width": -8}, "--width -8"),
        ({"hidden": 0}, "--hidden 0"),
        ({"dropout": 1.0}, "--dropout 1.0"),
    ],
)
def test_the_recipe_refuses_values_that_cannot_be(values, match):
    with pytest.raises(ValueError, match=match):
        JointTrainingConfig(data="x", **values)


@pytest.fixture
def tiny_reader(monkeypatch):
    """MiniLM's place is taken by a random BERT of two layers with its width."""
    from transformers import BertConfig, BertModel

    from multimodal_llm.tests.clip_fixtures import word_tokenizer

    class Reader:
        device = "cpu"

        def __init__(self):
            torch.manual_seed(0)
            self.tokenizer = word_tokenizer(["a", "wall", "is", "red", "green", "blue", "white", "paint", "the"])
            small = {"num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
            self.model = BertModel(BertConfig(vocab_size=20, hidden_size=384, **small), add_pooling_layer=False).eval()

        def encode(self, texts, role="query", on_progress=lambda done: None):
            return np.random.default_rng(0).standard_normal((len(texts), 384)).astype(np.float32)

    reader = Reader()
    monkeypatch.setattr("shared.text_encoder.load_text_encoder", lambda name: reader)
    monkeypatch.setattr(joint_space, "kept_classes", lambda name, recipe, make: make())  # no random ones in the cache
    return reader


@pytest.mark.network
def test_training_from_the_command_line_writes_a_space_that_loads(
    flickr, random_encoder, tiny_reader, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    arguments = ["--data", str(flickr), "--output", "out", "--epochs", "1", "--batch_size", "4", "--views", "2"]
    monkeypatch.setattr("sys.argv", ["train", *arguments, "--held_out", "4", "--width", "32", "--heads", "4"])
    train_joint_space.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 <= result["held_out_t2i_r1"] <= 1
    assert len((tmp_path / "out" / "train_ids.sha256").read_text().split()) == 12
    space = load_space(str(tmp_path / "out"), "cpu")
    from PIL import Image

    assert space.encode_images([Image.new("RGB", (30, 20), "red")]).shape == (1, 32)
    assert space.encode_texts(["a red wall", "the green wall is green"]).shape == (2, 32)
    with pytest.raises(UserError, match="holds a finished run"):
        train_joint_space.main()


def test_words_are_searched_for_without_the_image_encoder(tiny_reader, monkeypatch):
    """Every query waited for both encoders, for the network's export and for 1000 class names once."""

    def refuse(device="auto"):
        raise AssertionError("loaded")

    monkeypatch.setattr(joint_space, "load_fast_encoder", refuse)
    space = load_space("joint", "cpu")
    assert space.encode_texts(["a red wall"]).shape == (1, 512)
    with pytest.raises(AssertionError, match="loaded"):
        space.encoder.encoder  # noqa: B018


def test_weights_for_non_commercial_use_can_be_left_out(monkeypatch):
    monkeypatch.setenv(FREE_ONLY, "1")
    with pytest.raises(UserError, match="non-commercial"):
        load_space("joint")
    assert joint_space.left_out()


def test_the_shipped_weights_are_small_and_say_what_they_learnt_from():
    assert (SHIPPED / WEIGHTS).stat().st_size < 4_000_000
    assert len((SHIPPED / "train_ids.sha256").read_text().split()) == 6000
    towers = load_towers(SHIPPED)
    assert towers.settings.width == 512
