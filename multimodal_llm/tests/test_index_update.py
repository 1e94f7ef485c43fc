"""Bringing an index up to date with a folder: what is read, kept, moved and forgotten."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from multimodal_llm.clip_applications.image_index import ImageIndex
from multimodal_llm.clip_applications.index_update import encode_here, update
from shared.errors import UserError


class Colours:
    """A space of three numbers: how red, green and blue a picture is, and in which half."""

    width = 6

    def __init__(self):
        self.seen = 0

    def encode_images(self, images):
        self.seen += len(images)
        halves = [np.asarray(i.resize((2, 1), Image.Resampling.BOX), dtype=np.float32).flatten() + 1 for i in images]
        return np.stack([half / np.linalg.norm(half) for half in halves])


@pytest.fixture
def space():
    return Colours()


@pytest.fixture
def folder(tmp_path):
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (40 + number, 30), colour).save(photos / f"{colour}.png")
    return photos


@pytest.fixture
def index(tmp_path):
    return ImageIndex(tmp_path / "index", {"space": "colours", "fingerprint": "1", "width": "6"})


@pytest.fixture
def bring(index, space, folder):
    def run(*folders):
        space.seen = 0
        return update(index, folders or [folder], lambda files: encode_here(space, files, batch=2), batch=2)

    return run


def test_only_what_is_new_is_encoded(bring, space, folder):
    assert bring().added == 3
    again = bring()
    assert (again.added, again.unchanged, space.seen) == (0, 3, 0)
    Image.new("RGB", (9, 9), "white").save(folder / "sub" / "white.jpg")
    third = bring()
    assert (third.added, third.unchanged, space.seen) == (1, 3, 1)


def test_a_changed_photo_is_encoded_anew(bring, space, folder, index):
    bring()
    Image.new("RGB", (50, 30), "yellow").save(folder / "red.png")
    changes = bring()
    assert (changes.changed, changes.added, space.seen) == (1, 0, 1)
    assert index.vector(str(folder / "red.png"))[1] > 0.3  # green is in yellow, not in red


def test_moved_and_copied_photos_are_known_by_their_content(bring, space, folder, index):
    bring()
    before = index.vector(str(folder / "red.png"))
    (folder / "red.png").rename(folder / "sub" / "rosso.png")
    shutil.copy(folder / "blue.png", folder / "blue again.png")
    changes = bring()
    assert (changes.moved, changes.copied, changes.removed, space.seen) == (1, 1, 0, 0)
    assert (index.vector(str(folder / "sub" / "rosso.png")) == before).all()
    assert str(folder / "red.png") not in index.photos()


def test_photos_that_change_places_change_vectors(bring, folder, index):
    bring()
    red = index.vector(str(folder / "red.png"))
    (folder / "red.png").rename(folder / "aside")
    (folder / "blue.png").rename(folder / "red.png")
    (folder / "aside").rename(folder / "blue.png")
    bring()
    assert (index.vector(str(folder / "blue.png")) == red).all()


def test_a_touched_photo_is_not_encoded(bring, space, folder):
    bring()
    os.utime(folder / "red.png", (1, 1))
    changes = bring()
    assert (changes.unchanged, changes.copied, changes.changed, space.seen) == (3, 0, 0, 0)


def test_deleted_photos_are_forgotten_but_only_below_the_given_folders(bring, folder, index, tmp_path):
    bring()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.new("RGB", (8, 8), "white").save(elsewhere / "white.png")
    bring(elsewhere)
    assert len(index) == 4
    (folder / "red.png").unlink()
    assert bring().removed == 1
    assert len(index) == 3


def test_a_missing_folder_changes_nothing(bring, folder, index):
    bring()
    folder.rename(folder.with_name("gone"))  # as a drive that is not mounted
    with pytest.raises(UserError, match="no such folder"):
        bring()
    assert len(ImageIndex(index.folder)) == 3


def test_broken_files_are_reported_each_time_and_tried_again_when_they_change(bring, space, folder, index):
    (folder / "bad.jpg").write_bytes(b"no picture at all")
    (folder / "empty.png").write_bytes(b"")
    assert {os.path.basename(line["file"]) for line in bring().broken} == {"bad.jpg", "empty.png"}
    again = bring()
    assert len(again.broken) == 2 and space.seen == 0
    Image.new("RGB", (8, 8), "white").save(folder / "bad.jpg")
    assert [os.path.basename(line["file"]) for line in bring().broken] == ["empty.png"]
    assert len(index) == 4


def test_a_folder_of_broken_files_and_an_empty_one_give_an_empty_index(bring, tmp_path, index):
    bad = tmp_path / "bad"
    bad.mkdir()
    assert (bring(bad).added, len(index)) == (0, 0)
    (bad / "a.jpg").write_bytes(b"x")
    changes = bring(bad)
    assert (changes.added, len(changes.broken), len(index)) == (0, 1, 0)


def test_a_photo_lying_on_its_side_has_the_vector_of_the_upright_one(bring, folder, index):
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, :20] = (255, 0, 0)
    picture = Image.fromarray(pixels)
    picture.save(folder / "upright.jpg", quality=95)
    exif = Image.Exif()
    exif[274] = 6  # to be turned right before it is shown
    picture.rotate(90, expand=True).save(folder / "turned.jpg", quality=95, exif=exif)
    bring()
    turned, upright = (index.vector(str(folder / name)) for name in ("turned.jpg", "upright.jpg"))
    assert turned == pytest.approx(upright, abs=0.02)


def test_a_name_that_is_no_text_is_reported_and_the_others_are_indexed(bring, folder):
    """SQLite's refusal of such a name ended the whole update."""
    raw = os.fsencode(folder) + b"/caf\xe9.png"
    shutil.copy(folder / "red.png", raw)
    changes = bring()
    assert changes.added == 3
    assert [line["file"] for line in changes.broken] == [str(folder / "caf\\xe9.png")]
    assert "rename it" in changes.broken[0]["reason"]


def test_many_large_photos_do_not_lie_in_memory_whole(index, folder):
    """Two batches of 32 at 12 megapixels were 2.3 GB."""
    Image.new("RGB", (3000, 2000), "white").save(folder / "large.jpg")
    sizes = []

    class Notes(Colours):
        def encode_images(self, images):
            sizes.extend(image.size for image in images)
            return super().encode_images(images)

    update(index, [folder], lambda files: encode_here(Notes(), files))
    assert max(max(size) for size in sizes) == 1024
    assert (40, 30) in sizes  # small ones stay as they are


def test_other_files_and_hidden_ones_are_left_alone(bring, folder):
    (folder / "notes.txt").write_text("no photo")
    (folder / ".hidden").mkdir()
    Image.new("RGB", (8, 8)).save(folder / ".hidden" / "a.png")
    assert bring().added == 3


def test_a_stopped_update_goes_on_where_it_stopped(index, space, folder):
    def stops(files):
        for number, seen in enumerate(encode_here(space, files, batch=1)):
            if number == 2:
                raise KeyboardInterrupt
            yield seen

    with pytest.raises(KeyboardInterrupt):
        update(index, [folder], stops, batch=1)
    assert len(ImageIndex(index.folder)) == 2
    changes = update(index, [folder], lambda files: encode_here(space, files))
    assert (changes.added, changes.unchanged) == (1, 2)


def test_pictures_of_kinds_that_are_not_read_are_counted(bring, folder):
    for name in ("a.heic", "b.HEIC", "c.nef", "notes.txt", ".hidden.heic"):
        (folder / name).write_bytes(b"x")
    changes = bring()
    assert (changes.added, changes.passed_over) == (3, {".heic": 2, ".nef": 1})
