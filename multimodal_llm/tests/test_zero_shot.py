"""Labels of one's own: ConSE on made-up meanings, CLIP and SigLIP as tiny random checkpoints saved to disk."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from multimodal_llm import classify as command
from multimodal_llm.clip_applications import conse, zero_shot_classification
from multimodal_llm.clip_applications.clip_model import ClipModel
from multimodal_llm.clip_applications.conse import ConseSpace, Meanings, class_weights, top_only, unit
from multimodal_llm.clip_applications.query import is_latin
from multimodal_llm.clip_applications.zero_shot_classification import (
    ClipClassifier,
    ConseClassifier,
    clean_labels,
    load_classifier,
)
from multimodal_llm.tests.clip_fixtures import save_clip, save_siglip
from shared.errors import UserError

PICTURES = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "white")]
NAMES = ("tiger", "zebra", "sports car", "school bus", "daisy", "lamp")


class Words:
    """A text encoder: each letter pair of a text has a direction of its own, the same in every process."""

    def encode(self, texts, role="query", on_progress=lambda done: None):
        def vector(text):
            pairs = [text[i : i + 2].lower() for i in range(len(text) - 1)] or [text]
            seeds = [int.from_bytes(pair.encode()[:4], "big") for pair in pairs]
            return np.sum([np.random.default_rng(seed).standard_normal(384) for seed in seeds], axis=0)

        return unit(np.array([vector(text) for text in texts])).astype(np.float32).reshape(-1, 384)


@pytest.fixture
def meanings(monkeypatch):
    monkeypatch.setattr(conse, "plain_names", lambda: NAMES)
    monkeypatch.setattr(conse, "synonyms", lambda: tuple((name,) for name in NAMES))
    return Meanings.of(Words(), ("{}", "a photo of a {}"))


@pytest.fixture
def classifier(meanings):
    class Space(ConseSpace):
        def logits(self, images):
            return np.log(np.array([[0.9, 0.02, 0.02, 0.02, 0.02, 0.02]] * len(images)))

    return ConseClassifier(Space(None, meanings))


def test_a_label_wins_by_meaning_and_is_explained_by_the_classes(classifier):
    [found] = classifier.classify(PICTURES[:1], ["tiger cat", "city bus", "lamp post"])
    assert found.scores[0].label == "tiger cat"
    assert found.scores[0].because[0][0] == "tiger"
    assert sum(score.probability for score in found.scores) == pytest.approx(1)


def test_what_the_classes_give_adds_up_to_the_cosine(classifier, monkeypatch):
    monkeypatch.setattr(zero_shot_classification, "REASONS", len(NAMES))
    [found] = classifier.classify(PICTURES[:1], ["tiger cat", "city bus"])
    for score in found.scores:
        assert sum(share for _, share in score.because) == pytest.approx(score.cosine, abs=1e-5)


def test_labels_that_name_no_class_of_the_photo_do_not_fit(classifier):
    [found] = classifier.classify(PICTURES[:1], ["qqq", "xxx"])
    assert found.fits is False and found.best is None
    [found] = classifier.classify(PICTURES[:1], ["tiger", "xxx"])
    assert found.fits is True and found.best == "tiger"


def test_one_label_has_no_probability_but_a_verdict(classifier):
    [found] = classifier.classify(PICTURES[:1], ["tiger"])
    assert found.scores[0].probability is None
    assert found.fits is True


def test_ten_thousand_labels_are_ranked(classifier):
    labels = [f"thing {number}" for number in range(9_999)] + ["tiger"]
    [found] = classifier.classify(PICTURES[:1], labels, top=3)
    assert len(found.scores) == 3
    assert found.best == "tiger"


@pytest.mark.parametrize("labels", [[], [""], ["  ", "\n"]])
def test_no_labels_are_refused(classifier, labels):
    with pytest.raises(UserError, match="no labels"):
        classifier.classify(PICTURES[:1], labels)


def test_labels_are_cleaned():
    assert clean_labels([" cat ", "dog", "cat", "hot  dog", ""]) == ["cat", "dog", "hot dog"]
    with pytest.raises(UserError, match="without a letter"):
        clean_labels(["cat", "???"])


def test_labels_in_another_script_choose_the_encoder_that_reads_them(monkeypatch):
    chosen = []
    monkeypatch.setattr("multimodal_llm.clip_applications.onnx_encoder.load_fast_encoder", lambda device="auto": None)
    monkeypatch.setattr(Meanings, "load", classmethod(lambda cls, name: chosen.append(name)))
    for labels in (["cat", "café"], ["猫", "dog"], ["кошка"]):
        load_classifier("auto", labels=labels)
    assert chosen == ["minilm", "e5-multilingual", "e5-multilingual"]
    assert is_latin("3 cats, façade") and not is_latin("дом")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_least_squares_weights_are_the_ridge_solution(seed):
    """The weights of `class_weights` are a residual; summed over the names they must give the solution itself."""
    random = np.random.default_rng(seed)
    names, logits = unit(random.standard_normal((12, 5))), random.standard_normal((3, 12)) * 3
    weights = class_weights(names, logits, ridge=0.7, conse_share=0.0)
    centred = logits - logits.mean(1, keepdims=True)
    expected = unit(centred @ names @ np.linalg.inv(names.T @ names + 0.7 * np.eye(5)))
    assert weights @ names == pytest.approx(expected, abs=1e-8)


def test_an_infinite_share_is_conse_as_published():
    names = unit(np.random.default_rng(0).standard_normal((30, 8)))
    logits = np.random.default_rng(1).standard_normal((2, 30)) * 4
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = []
    for row in p:
        best = np.argsort(-row)[:10]
        expected.append(unit((row[best, None] * names[best]).sum(0)))
    assert unit(class_weights(names, logits, conse_share=np.inf) @ names) == pytest.approx(np.stack(expected), abs=1e-6)


def test_only_the_best_ten_classes_count_in_conse():
    p = np.random.default_rng(0).dirichlet(np.ones(50), size=4)
    kept = top_only(p)
    assert ((kept > 0).sum(1) == 10).all()
    assert kept.sum(1) == pytest.approx(np.ones(4))
    assert (np.argmax(kept, 1) == np.argmax(p, 1)).all()


def test_a_label_equal_to_a_name_is_treated_as_any_other(classifier, meanings):
    """Its score is that of its vector: the same vector under another word scores the same."""
    vectors = meanings.encode(["tiger", "tiger"])
    logits = np.log(np.array([[0.5, 0.3, 0.05, 0.05, 0.05, 0.05]]))
    [found] = classifier.among(logits, ["tiger", "another word"], vectors)
    assert found.scores[0].cosine == pytest.approx(found.scores[1].cosine)


# CLIP and SigLIP


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def siglip_folder(tmp_path_factory):
    return save_siglip(tmp_path_factory.mktemp("siglip"))


def test_a_saved_clip_classifies_as_its_own_program_does(clip_folder):
    clip = ClipModel.load(str(clip_folder), "cpu")
    texts = ["a photo of a cat .", "a dog"]
    pixels = clip.pictures(images=PICTURES, return_tensors="pt")["pixel_values"]
    tokens = clip.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = clip.model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels
        ).logits_per_image
    ours = clip.encode_images(PICTURES) @ clip.encode_texts(texts).T * clip.scale
    assert ours == pytest.approx(expected.numpy(), abs=1e-4)


def test_a_saved_siglip_gives_each_label_its_own_probability(siglip_folder):
    clip = ClipModel.load(str(siglip_folder), "cpu")
    [first, *_] = ClipClassifier(clip).classify(PICTURES, ["cat", "dog"])
    tokens = clip.tokenizer(
        [f"This is a photo of {label}." for label in ("cat", "dog")],
        padding="max_length", max_length=16, truncation=True, return_tensors="pt",
    )  # fmt: skip
    pixels = clip.pictures(images=PICTURES[:1], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        logits = clip.model(input_ids=tokens["input_ids"], pixel_values=pixels).logits_per_image[0]
    expected = dict(zip(("cat", "dog"), logits.sigmoid().tolist(), strict=True))
    assert {score.label: score.probability for score in first.scores} == pytest.approx(expected, abs=1e-4)
    assert first.fits == bool(logits.max() >= 0)


def test_clip_by_folder_from_the_command_line(clip_folder, tmp_path, capsys):
    PICTURES[0].save(tmp_path / "red.png")
    command.main([str(tmp_path / "red.png"), "cat", "dog", "--classifier", str(clip_folder), "--device", "cpu"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {score["label"] for score in result["scores"]} == {"cat", "dog"}
    assert result["fits"] is None
    assert sum(score["probability"] for score in result["scores"]) == pytest.approx(1)


def test_another_model_and_a_damaged_one_are_refused(clip_folder, tmp_path):
    import shutil

    with pytest.raises(UserError, match="no config.json"):
        load_classifier(str(tmp_path))
    other = tmp_path / "other"
    shutil.copytree(clip_folder, other)
    (other / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="no CLIPModel can be loaded"):
        load_classifier(str(other))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(UserError, match="its model is bert"):
        load_classifier(str(other))


def test_a_photo_that_is_missing_or_no_labels_are_told(tmp_path):
    with pytest.raises(UserError, match="no photo"):
        command.main([])
    with pytest.raises(UserError, match="no labels"):
        command.main([str(tmp_path / "a.jpg")])
    with pytest.raises(UserError, match="no such file"):
        command.main([str(tmp_path / "a.jpg"), "cat"])


def test_checkpoints_of_one_temperature_are_told_apart(clip_folder):
    clip, other = (ClipModel.load(str(clip_folder), "cpu") for _ in range(2))
    assert clip.fingerprint == other.fingerprint
    with torch.no_grad():
        other.model.visual_projection.weight.add_(0.1)
    assert clip.fingerprint != other.fingerprint
