"""The hub's code path, on a tiny random BLIP that is saved to disk as any checkpoint is."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from multimodal_llm.image_captioning.blip_model import BlipCaptioner, BlipDecoding
from multimodal_llm.image_captioning.blip_shapes import tiny_blip
from multimodal_llm.image_captioning.captioner import load_captioner
from shared.errors import UserError

WORDS = ["dog", "cat", "red", "runs", "on", "grass"]
PICTURES = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "white")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("blip")
    torch.manual_seed(0)
    for part in tiny_blip(WORDS):
        part.save_pretrained(path)
    return path


def test_a_saved_checkpoint_captions_with_confidence(folder):
    captions = load_captioner(str(folder), "cpu").caption(PICTURES)
    assert len(captions) == 3
    assert all(0 < caption.confidence <= 1 for caption in captions)


def test_a_batch_writes_what_each_picture_alone_would(folder):
    captioner = BlipCaptioner.load(str(folder), "cpu")
    alone = [captioner.caption([picture])[0] for picture in PICTURES]
    together = captioner.caption(PICTURES, batch=2)
    assert [caption.text for caption in together] == [caption.text for caption in alone]
    assert all(abs(a.confidence - b.confidence) < 1e-4 for a, b in zip(alone, together, strict=True))


def test_the_prefix_begins_the_sentence(folder):
    captioner = BlipCaptioner.load(str(folder), "cpu")
    assert all(caption.text.startswith("a red dog") for caption in captioner.caption(PICTURES, "a red dog"))


def test_confidence_is_the_mean_probability_of_the_written_tokens(folder):
    captioner = BlipCaptioner.load(str(folder), "cpu", BlipDecoding(beams=1, max_new_tokens=4, no_repeat=0))
    pixels = captioner.pictures(images=PICTURES[:1], return_tensors="pt")["pixel_values"]
    beginning = captioner.tokenizer("a", return_tensors="pt")["input_ids"]
    found = captioner.model.generate(
        pixels, input_ids=beginning.clone(), max_new_tokens=4, num_beams=1, do_sample=False
    )
    logs = []
    for place in range(2, found.shape[1]):
        logits = captioner.model(pixels, input_ids=found[:, :place]).logits[0, -1]
        logs.append(logits.log_softmax(-1)[found[0, place]])
    expected = torch.stack(logs).mean().exp().item()
    [caption] = captioner.caption(PICTURES[:1], "a")
    assert caption.confidence == pytest.approx(expected, rel=1e-3)


def test_nucleus_sampling_varies_with_the_seed_and_only_with_it(folder):
    def write(seed: int) -> list[str]:
        decoding = BlipDecoding(strategy="nucleus", top_p=1.0, seed=seed)
        return [caption.text for caption in BlipCaptioner.load(str(folder), "cpu", decoding).caption(PICTURES)]

    assert write(1) == write(1)
    assert len({tuple(write(seed)) for seed in range(4)}) > 1


def test_no_run_of_three_words_stands_twice(folder):
    for caption in BlipCaptioner.load(str(folder), "cpu", BlipDecoding(max_new_tokens=14)).caption(PICTURES):
        words = caption.text.split()
        runs = [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
        assert len(runs) == len(set(runs))


def test_another_model_is_refused_rather_than_filled_with_noise(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    with pytest.raises(UserError, match="its model is BertModel"):
        load_captioner(str(other))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no config.json"):
        load_captioner(str(tmp_path / "empty"))


def test_damaged_weights_are_refused_on_one_line(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="no BlipForConditionalGeneration can be loaded"):
        load_captioner(str(other))


def test_a_prefix_beyond_the_window_is_refused(folder):
    with pytest.raises(UserError, match="more than the model reads"):
        BlipCaptioner.load(str(folder), "cpu").caption(PICTURES, "dog " * 40)
