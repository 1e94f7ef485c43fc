"""A trained system is the same after saving, refuses what it cannot use, and full-size BLIPs answer with confidence."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from multimodal_llm.tests.vqa_fixtures import FakeReader, tiny_model
from multimodal_llm.visual_question_answering import vqa_model
from multimodal_llm.visual_question_answering.calibration import PictureGate
from multimodal_llm.visual_question_answering.drawings import draw, draw_shape
from multimodal_llm.visual_question_answering.vqa_system import (
    SETTINGS,
    WEIGHTS,
    BlipVqa,
    ShapesVqa,
    load_vqa_system,
)
from shared.errors import UserError

PICTURE = draw_shape("circle", "red", np.random.default_rng(0))
QUESTIONS = ["is it red?", "what shape is it?"]


@pytest.fixture(autouse=True)
def without_the_real_encoder(monkeypatch):
    monkeypatch.setattr(vqa_model, "QuestionReader", FakeReader)


def system(threshold=0.0, picture_threshold=1e9):
    model = tiny_model()
    gate = PictureGate(torch.zeros(48), torch.eye(48), picture_threshold)
    return ShapesVqa(model, FakeReader(), 1.5, threshold, gate)


def test_a_saved_system_answers_as_before_up_to_half_precision(tmp_path):
    before = system()
    before.save(tmp_path, ["a picture"])
    after = load_vqa_system(tmp_path)
    for one, other in zip(before.answer(PICTURE, QUESTIONS), after.answer(PICTURE, QUESTIONS), strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=5e-3)
    assert len((tmp_path / "train_ids.sha256").read_text().split()) == 1


def test_confidence_and_alternatives_are_probabilities_in_falling_order():
    for answer in system().answer(PICTURE, QUESTIONS):
        values = [answer.confidence, *answer.alternatives.values()]
        assert values == sorted(values, reverse=True) and 0 < sum(values) <= 1 + 1e-6
        assert answer.text not in answer.alternatives


def test_doubts_name_the_question_and_the_picture_separately():
    assert system(-1e9).answer(PICTURE, QUESTIONS)[0].doubts == ()
    assert system(1e9).answer(PICTURE, QUESTIONS)[0].doubts == ("question",)
    assert system(-1e9, 0.0).answer(PICTURE, QUESTIONS)[0].doubts == ("picture",)
    assert system(1e9, 0.0).answer(PICTURE, QUESTIONS)[0].doubts == ("question", "picture")


def test_no_questions_get_no_answers_and_one_without_words_is_refused():
    assert system().answer(PICTURE, []) == []
    with pytest.raises(UserError, match="question is empty"):
        system().answer(PICTURE, ["is it red?", "  "])


def test_a_picture_of_any_size_is_taken():
    assert system().answer(draw("usual", np.random.default_rng(1), size=500), QUESTIONS)[0].text


def damage_weights(folder):
    (folder / WEIGHTS).write_bytes(b"nothing")


def drop_a_weight(folder):
    weights = load_file(folder / WEIGHTS)
    weights.pop("answer.0.weight")
    save_file(weights, folder / WEIGHTS)


def drop_a_setting(folder):
    settings = json.loads((folder / SETTINGS).read_text())
    del settings["temperature"]
    (folder / SETTINGS).write_text(json.dumps(settings))


@pytest.mark.parametrize("damage", [damage_weights, drop_a_weight, drop_a_setting])
def test_a_damaged_folder_is_one_clear_line_with_the_remedy(tmp_path, damage):
    system().save(tmp_path, [])
    damage(tmp_path)
    with pytest.raises(UserError, match=r"damaged .*visual_question_answering\.train"):
        load_vqa_system(tmp_path)


@pytest.fixture(scope="module")
def blip_folder(tmp_path_factory):
    """A BLIP for VQA with random weights: two layers, 40 pixels, a vocabulary of some words."""
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForQuestionAnswering,
        BlipImageProcessorPil,
        BlipTextConfig,
        BlipVisionConfig,
    )

    folder = tmp_path_factory.mktemp("blip")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]", "is", "it", "red", "yes", "no", "?"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = BlipTextConfig(
        **size,
        vocab_size=len(vocabulary),
        encoder_hidden_size=16,
        projection_dim=16,
        bos_token_id=5,
        pad_token_id=0,
        eos_token_id=3,
        sep_token_id=3,
    )
    vision = BlipVisionConfig(**size, image_size=40, patch_size=8)
    torch.manual_seed(0)
    model = BlipForQuestionAnswering(
        BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    )
    model.save_pretrained(folder)
    BlipImageProcessorPil(size={"height": 40, "width": 40}).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_a_blip_answers_with_the_probability_of_what_it_wrote(blip_folder):
    blip = load_vqa_system(str(blip_folder))
    assert isinstance(blip, BlipVqa)
    answers = blip.answer(PICTURE, ["is it red?", "red?"])
    assert [answer.question for answer in answers] == ["is it red?", "red?"]
    assert all(0 < answer.confidence <= 1 and answer.doubts == () for answer in answers)
    # The same probability, by running the decoder once over what was written.
    pixels = blip.processor(PICTURE, return_tensors="pt")["pixel_values"]
    asked = blip.tokenizer(["is it red?"], return_tensors="pt")
    with torch.inference_mode():
        written = blip.model.generate(
            pixel_values=pixels,
            input_ids=asked["input_ids"],
            attention_mask=asked["attention_mask"],
            max_new_tokens=10,
            do_sample=False,
        )
        grid = blip.model.vision_model(pixels)[0]
        heard = blip.model.text_encoder(
            asked["input_ids"], attention_mask=asked["attention_mask"], encoder_hidden_states=grid
        )[0]
        logits = blip.model.text_decoder(written[:, :-1], encoder_hidden_states=heard).logits
    said = logits.log_softmax(-1).gather(2, written[:, 1:, None])[0, :, 0]
    ends = (written[0, 1:] == 3).nonzero()
    counted = said[: int(ends[0]) + 1] if len(ends) else said
    assert answers[0].confidence == pytest.approx(float(counted.sum().exp()), rel=1e-3)


def test_a_model_of_another_kind_is_refused(tmp_path):
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="a bert model"):
        load_vqa_system(str(tmp_path))


def test_a_damaged_blip_is_refused_on_one_line(blip_folder, tmp_path):
    """A traceback of safetensors stood here once."""
    for name in ("model.safetensors", "preprocessor_config.json", "config.json"):
        folder = tmp_path / name.split(".")[0]
        shutil.copytree(blip_folder, folder)
        (folder / name).write_bytes(b"[1]" if name == "config.json" else b"nothing")
        with pytest.raises(UserError, match="use shapes|or shapes"):
            load_vqa_system(str(folder))


def test_a_name_out_of_reach_names_the_packaged_one(monkeypatch):
    monkeypatch.setattr("shared.hub.hub_is_reachable", lambda: False)
    with pytest.raises(UserError, match="shapes"):
        load_vqa_system("owner/no-such-blip")
