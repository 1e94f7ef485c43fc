"""Captioned photos come from either layout, whole or with one clear line."""

import csv
import json
import shutil

import pytest
from PIL import Image

from multimodal_llm.image_captioning.flickr import load_photos
from shared.errors import UserError


def test_each_split_has_its_photos_with_all_captions(flickr):
    train, dev = load_photos(flickr, "train"), load_photos(flickr, "dev")
    assert (len(train), len(dev)) == (12, 8)
    assert all(photo.file.is_file() and len(photo.captions) == 5 for photo in train + dev)
    assert not {photo.file.name for photo in train} & {photo.file.name for photo in dev}


def test_a_table_of_captions_is_split_by_the_file_names(flickr, tmp_path):
    copy = tmp_path / "table"
    shutil.copytree(flickr, copy)
    rows = [json.loads(line) for line in (copy / "captions.jsonl").read_text().splitlines()]
    (copy / "captions.jsonl").unlink()
    with (copy / "captions.txt").open("w", newline="", encoding="utf-8-sig") as file:  # as Excel writes it
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        writer.writerows([row["file"], caption] for row in rows for caption in row["captions"])
    found = {photo.file.name: photo.captions for photo in load_photos(copy, "train")}
    assert 0 < len(found) < len(rows)
    assert all(tuple(row["captions"]) == found[row["file"]] for row in rows if row["file"] in found)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"file": "../../secret.jpg", "split": "train", "captions": ["a"]}, "plain file name"),
        ({"file": "train_0.jpg", "split": "train", "captions": []}, "no captions"),
        ({"file": "train_0.jpg", "captions": ["a"]}, "layout"),
        ({"file": "train_0.jpg", "split": "train", "captions": "a dog"}, "no captions"),  # not "a", " ", "d", "o", "g"
        ({"file": "nowhere.jpg", "split": "train", "captions": ["a"]}, "missing"),
        ({"file": "train_0.jpg", "split": "dev", "captions": ["a"]}, "no photo of the split 'train'"),
    ],
)
def test_a_set_that_is_not_whole_says_what_is_wrong(flickr, tmp_path, line, says):
    copy = tmp_path / "set"
    shutil.copytree(flickr, copy)
    (copy / "captions.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(UserError, match=says):
        load_photos(copy, "train")


def test_a_folder_without_captions_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no captions\.jsonl"):
        load_photos(tmp_path, "train")


def test_a_set_of_the_hub_is_written_once_into_the_same_layout(tmp_path, monkeypatch):
    import datasets

    asked = []

    def load_dataset(name):
        asked.append(name)
        row = {"image": Image.new("L", (20, 10)), "caption_0": "a dark wall", "caption_1": "nothing"}
        return {"train": [row, row], "validation": [row], "unknown": [row]}

    monkeypatch.setenv("LAPTOP_LLM_CACHE", str(tmp_path))
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr("multimodal_llm.image_captioning.flickr_hub.hub_is_reachable", lambda: True)
    assert [photo.captions for photo in load_photos("someone/flickr", "train")] == [("a dark wall", "nothing")] * 2
    assert len(load_photos("someone/flickr", "dev")) == 1
    assert asked == ["someone/flickr"]


def test_a_set_of_the_hub_without_captions_leaves_nothing_behind(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setenv("LAPTOP_LLM_CACHE", str(tmp_path))
    monkeypatch.setattr(
        datasets, "load_dataset", lambda name: {"train": [{"image": Image.new("L", (2, 2)), "label": 1}]}
    )
    monkeypatch.setattr("multimodal_llm.image_captioning.flickr_hub.hub_is_reachable", lambda: True)
    with pytest.raises(UserError, match="the columns are image, label"):
        load_photos("someone/labels", "train")
    assert list(tmp_path.iterdir()) == []


def test_out_of_reach_of_the_hub_a_wrong_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LAPTOP_LLM_CACHE", str(tmp_path))
    monkeypatch.setattr("multimodal_llm.image_captioning.flickr_hub.hub_is_reachable", lambda: False)
    with pytest.raises(UserError, match="Flickr8k layout"):
        load_photos("no/such-set", "train")
