"""A training goes from a folder of photos to a captioner, the same way twice, and its views show the same photo."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from multimodal_llm.caption import CaptionConfig, caption
from multimodal_llm.caption_benchmark import CaptionsConfig, captions, unseen
from multimodal_llm.image_captioning.captioner import load_captioner
from multimodal_llm.image_captioning.checkpoint import Checkpoint
from multimodal_llm.image_captioning.flickr import load_photos
from multimodal_llm.image_captioning.train import TrainConfig, train
from multimodal_llm.image_captioning.views import MIRRORED, PLAIN, see
from multimodal_llm.image_encoder import ImageEncoder
from multimodal_llm.photo_training import see_views, take_photos
from multimodal_llm.tests.conftest import write_photos
from shared.errors import UserError
from shared.leaks import save_ids
from shared.runs import RunFolder

TINY = {
    "views": 2,
    "held_out": 4,
    "min_count": 1,
    "side": 64,
    "width": 32,
    "heads": 4,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "word_epochs": 3,
    "sentence_epochs": 1,
    "device": "cpu",
}


def trained(flickr: Path, folder: Path, **changes) -> dict:
    return train(TrainConfig(data=str(flickr), output=str(folder), **TINY | changes))


def test_the_same_seed_trains_the_same_captioner(flickr, tmp_path, monkeypatch, random_encoder):
    monkeypatch.chdir(tmp_path)
    first, second = trained(flickr, tmp_path / "one"), trained(flickr, tmp_path / "two")
    assert first["held_out_cider"] == second["held_out_cider"]
    photos = [Image.new("RGB", (30, 30), colour) for colour in ("red", "blue")]
    said = [
        [one.text for one in load_captioner(str(tmp_path / name), "cpu").caption(photos)] for name in ("one", "two")
    ]
    assert said[0] == said[1]


def test_a_training_in_pieces_gives_the_captioner_of_one_piece(flickr, tmp_path, monkeypatch, random_encoder):
    monkeypatch.chdir(tmp_path)
    whole = trained(flickr, tmp_path / "whole", sentence_epochs=2)
    pieces = 0
    while not trained(flickr, tmp_path / "pieces", sentence_epochs=2, minutes=1e-9)["finished"]:
        pieces += 1
    assert pieces == 3  # after two epochs of the first stage and one of the second, whose last epochs end it
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "pieces"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole["finished"]


def test_an_epoch_that_a_kill_cut_off_before_its_checkpoint_is_reported_once(
    flickr, tmp_path, monkeypatch, random_encoder
):
    monkeypatch.chdir(tmp_path)
    save, killed = Checkpoint.save, []

    def kill_once(self, step, epoch):
        if epoch == 2 and not killed:
            killed.append(epoch)
            raise KeyboardInterrupt
        save(self, step, epoch)

    monkeypatch.setattr(Checkpoint, "save", kill_once)
    with pytest.raises(KeyboardInterrupt):
        trained(flickr, tmp_path / "run")
    trained(flickr, tmp_path / "run")
    told = [(line["stage"], line["epoch"]) for line in RunFolder(tmp_path / "run").metrics()]
    assert told == [("words", 1), ("words", 2), ("words", 3), ("sentences", 1)]


def test_a_training_can_start_from_a_captioner_of_its_shape(flickr, tmp_path, monkeypatch, random_encoder):
    monkeypatch.chdir(tmp_path)
    trained(flickr, tmp_path / "first")
    again = trained(flickr, tmp_path / "second", start=str(tmp_path / "first"), word_lr=1e-9, sentence_epochs=0)
    first = load_file(tmp_path / "first" / "model.safetensors")
    second = load_file(tmp_path / "second" / "model.safetensors")
    assert again["finished"] and all(torch.allclose(first[name], second[name], atol=1e-3) for name in first)
    assert trained(flickr, tmp_path / "fourth", start=str(tmp_path / "first"), word_epochs=0)["finished"]
    with pytest.raises(ValueError, match="word_epochs 0.*a --start"):
        trained(flickr, tmp_path / "fifth", word_epochs=0)


def test_a_start_of_another_shape_is_refused_before_any_photo_is_looked_at(
    flickr, tmp_path, monkeypatch, random_encoder
):
    monkeypatch.chdir(tmp_path)
    trained(flickr, tmp_path / "first", sentence_epochs=0)
    monkeypatch.setattr("multimodal_llm.image_captioning.train.see_views", lambda *_: pytest.fail("looked"))
    with pytest.raises(UserError, match="another shape"):
        trained(flickr, tmp_path / "second", start=str(tmp_path / "first"), decoder_layers=2)
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"heads": 0}, "--heads 0"),
        ({"heads": 7}, "--heads 7: give a divisor of the width, 304"),
        ({"decoder_layers": 0}, "--decoder_layers 0"),
        ({"cell_dropout": 1.0}, "--cell_dropout 1.0"),
        ({"word_lr": 0.0}, "--word_lr 0"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_with_the_other_settings(values, match):
    with pytest.raises(ValueError, match=match):
        TrainConfig(data="x", **values)


def test_a_share_of_the_start_brings_the_result_on_the_line_between(flickr, tmp_path, monkeypatch, random_encoder):
    monkeypatch.chdir(tmp_path)
    trained(flickr, tmp_path / "start", sentence_epochs=0)
    go_on = {"start": str(tmp_path / "start"), "sentence_epochs": 0, "word_lr": 1.0, "seed": 1}
    trained(flickr, tmp_path / "end", **go_on)
    trained(flickr, tmp_path / "between", start_share=0.75, **go_on)
    start, end, between = (load_file(tmp_path / name / "model.safetensors") for name in ("start", "end", "between"))
    assert any((end[name] - start[name]).abs().max() > 0.02 for name in end)
    assert all(torch.allclose(between[name], 0.75 * start[name] + 0.25 * end[name], atol=4e-3) for name in end)


def test_kept_features_of_one_set_never_stand_for_those_of_another(tmp_path, monkeypatch, random_encoder):
    """Sets of the hub all name their photos alike, and the kept features went by the names alone."""
    monkeypatch.chdir(tmp_path)
    encoder, seen = ImageEncoder.load(), []
    for name, colour in (("one", "red"), ("other", "blue")):
        folder = tmp_path / name
        write_photos(folder, {"train": 2})
        for number in range(2):
            Image.new("RGB", (48 + 8 * (name == "one"), 48), colour).save(folder / "images" / f"train_{number}.jpg")
        config = TrainConfig(data=str(folder), output="run", views=1)
        seen.append(see_views(config, encoder, take_photos(config), side=64))
    assert seen[0].shape == (1, 2, 4, 1280)
    assert not torch.equal(*seen)


def test_a_finished_or_different_run_is_never_overwritten(flickr, tmp_path, monkeypatch, random_encoder):
    monkeypatch.chdir(tmp_path)
    trained(flickr, tmp_path / "run", sentence_epochs=0)
    with pytest.raises(UserError, match="finished run"):
        trained(flickr, tmp_path / "run", sentence_epochs=0)
    (tmp_path / "run" / "summary.json").unlink()
    with pytest.raises(UserError, match="other settings"):
        trained(flickr, tmp_path / "run", sentence_epochs=2)
    with RunFolder(tmp_path / "run").claimed(), pytest.raises(UserError, match="another process works on this run"):
        trained(flickr, tmp_path / "run", sentence_epochs=0)


def test_a_captioner_is_scored_only_on_photos_it_never_saw(flickr, tmp_path, monkeypatch, random_encoder):
    monkeypatch.chdir(tmp_path)
    trained(flickr, tmp_path / "run")
    dev, train_photos = load_photos(flickr, "dev"), load_photos(flickr, "train")
    assert unseen(dev, str(tmp_path / "run")) == (dev, 0)
    with pytest.raises(UserError, match="trained on all 12"):
        unseen(train_photos, str(tmp_path / "run"))
    save_ids(tmp_path / "run", [photo.file.name for photo in dev[:3]])
    assert unseen(dev, str(tmp_path / "run")) == (dev[3:], 3)


def test_the_command_captions_what_it_can_read_and_reports_the_rest(flickr, tmp_path, monkeypatch, random_encoder):
    monkeypatch.chdir(tmp_path)
    trained(flickr, tmp_path / "run")
    (tmp_path / "no.jpg").write_bytes(b"not a photo")
    files = [str(flickr / "images" / "dev_0.jpg"), str(tmp_path / "no.jpg")]
    found = caption(CaptionConfig(captioner=str(tmp_path / "run"), device="cpu"), files)
    assert [line["file"] for line in found["captions"]] == files[:1]
    assert "not a picture" in found["errors"][0]["error"]
    json.dumps(found)
    with pytest.raises(UserError, match="not a picture"):
        caption(CaptionConfig(captioner=str(tmp_path / "run"), device="cpu"), files[1:])


def test_views_show_the_same_photo_otherwise(random_encoder):
    ramp = torch.linspace(-1, 1, 64).expand(2, 3, 64, 64).contiguous()
    generator = torch.Generator().manual_seed(2)
    assert torch.equal(see(ramp, PLAIN, generator), ramp)
    assert torch.equal(see(ramp, MIRRORED, generator), ramp.flip(-1))
    random = see(ramp, 2, generator)
    assert random.shape == ramp.shape and random.abs().max() <= 1
    # Dark stays on one side and bright on the other: cropped and tinted, not something else.
    assert {bool(row[..., 56:].mean() > row[..., :8].mean()) for row in random} == {True, False}  # one is mirrored


@pytest.mark.slow
@pytest.mark.network
def test_the_benchmark_gives_its_keys_with_floors_and_a_ceiling(flickr, tmp_path, monkeypatch, random_encoder):
    monkeypatch.chdir(tmp_path)
    trained(flickr, tmp_path / "run")
    outcome = captions(CaptionsConfig(data=str(flickr), captioner=str(tmp_path / "run"), n_tags=2))
    assert {"cider", "bleu4", "rouge_l", "n", "n_excluded", "photos_per_s", "faithfulness"} <= set(outcome.result)
    assert outcome.result["n"] == 8
    assert any(row["who"].startswith("always: ") for row in outcome.rows)
    by_name = {row["who"]: row["cider"] for row in outcome.rows}
    assert by_name["a person, beside the four others"] > by_name["a caption of another photo"]


@pytest.mark.slow
@pytest.mark.network
def test_the_benchmark_needs_no_photo_but_those_that_it_scores(flickr, tmp_path, monkeypatch, random_encoder):
    monkeypatch.chdir(tmp_path)
    trained(flickr, tmp_path / "run")
    only_dev = tmp_path / "only_dev"
    (only_dev / "images").mkdir(parents=True)
    lines = [line for line in (flickr / "captions.jsonl").read_text().splitlines() if '"dev"' in line]
    (only_dev / "captions.jsonl").write_text("\n".join(lines))
    for line in lines:
        name = json.loads(line)["file"]
        (only_dev / "images" / name).write_bytes((flickr / "images" / name).read_bytes())
    outcome = captions(CaptionsConfig(data=str(only_dev), captioner=str(tmp_path / "run"), n_tags=0))
    assert outcome.result["n"] == 8
    assert not any(row["who"].startswith("always: ") for row in outcome.rows)
