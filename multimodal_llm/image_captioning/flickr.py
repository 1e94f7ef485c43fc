"""Photos with several people's captions, in the layout of Flickr8k.

FOLDER/images/*.jpg, and the captions in one of two files:

captions.jsonl   {"file": "name.jpg", "split": "train" | "dev" | "test", "captions": ["...", ...]} a line
captions.txt     "image,caption" a line, as the copy on Kaggle has it; the splits then follow from the file names' hash

A name of the hub is fetched into such a folder first (flickr_hub.py).
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimodal_llm.image_captioning.flickr_hub import folder_of
from shared.errors import UserError
from shared.files import parse_json
from shared.leaks import side_of

SPLITS = ("train", "dev", "test")
LONGEST_NAME = 200  # of a file, in characters; systems take 255 bytes


@dataclass(frozen=True)
class CaptionedPhoto:
    """A photo's file and what people wrote about it."""

    file: Path
    captions: tuple[str, ...]


def load_photos(folder: str | Path, split: str) -> list[CaptionedPhoto]:
    """The photos of one split, sorted by name, of a folder or a set of the hub.

    Raises UserError for another layout, a missing photo, an empty split, and a name that leads nowhere.
    """
    folder = Path(folder) if Path(folder).exists() else folder_of(str(folder))
    rows = [row for row in _rows(folder) if row["split"] == split]
    if not rows:
        raise UserError(f"{folder}: holds no photo of the split {split!r}: choose one of {', '.join(SPLITS)}")
    photos = [CaptionedPhoto(folder / "images" / row["file"], tuple(row["captions"])) for row in rows]
    if missing := [photo.file for photo in photos if not photo.file.is_file()]:
        raise UserError(f"{missing[0]}: missing, as are {len(missing) - 1:,} more photos: unpack the set again")
    return sorted(photos, key=lambda photo: photo.file.name)


def _rows(folder: Path) -> list[Mapping[str, Any]]:
    lines, table = folder / "captions.jsonl", folder / "captions.txt"
    try:
        if lines.is_file():
            with lines.open(encoding="utf-8") as file:
                return [_checked(parse_json(line)) for line in file if line.strip()]
        if table.is_file():
            with table.open(encoding="utf-8-sig", newline="") as file:
                return _grouped((row["image"], row["caption"]) for row in csv.DictReader(file))
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        why = " ".join(str(error).split())
        raise UserError(f"{folder}: the captions are not in Flickr8k layout ({why:.200}): see docs/data.md") from error
    raise UserError(f"{folder}: no captions.jsonl or captions.txt in it: give a folder in Flickr8k layout")


def _checked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(row["file"], str) or Path(row["file"]).name != row["file"] or len(row["file"]) > LONGEST_NAME:
        raise ValueError(f"{row['file']!r} is not a plain file name")
    captions = row["captions"]
    if not isinstance(captions, list) or not captions or not all(isinstance(caption, str) for caption in captions):
        raise ValueError(f"{row['file']} has no captions")
    return {"file": row["file"], "split": row["split"], "captions": captions}


def _grouped(pairs: Iterable[tuple[str, str]]) -> list[Mapping[str, Any]]:
    captions: dict[str, list[str]] = {}
    for file, caption in pairs:
        captions.setdefault(file, []).append(caption)
    sides = {"train": "train", "validation": "dev", "test": "test"}
    return [_checked({"file": f, "split": sides[side_of(f)], "captions": c}) for f, c in captions.items()]
