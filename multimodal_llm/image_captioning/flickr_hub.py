"""A captioned set of the Hugging Face hub, such as jxie/flickr8k, written once into a folder in Flickr8k layout."""

import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from shared.assets import cache_folder
from shared.errors import UserError
from shared.hub import hub_is_reachable, hub_offline, out_of_reach, refuse_malformed
from shared.logging import progress_bar

SPLITS = {"train": "train", "validation": "dev", "val": "dev", "dev": "dev", "test": "test"}


def folder_of(name: str) -> Path:
    """The folder with the set's photos and captions, fetched first if it is not here yet.

    The set has the columns `image`, and `captions`, `caption`, or `caption_0`, `caption_1` and so on. Raises UserError
    where the name leads nowhere, the hub is out of reach, or the columns are others.
    """
    folder = cache_folder() / ("captions-" + re.sub(r"[^\w.-]", "-", name))
    if folder.is_dir():
        return folder
    refuse_malformed(name, "a folder in Flickr8k layout")
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise UserError(f"{name}: no folder; for a set of the hub run `pip install datasets`") from error
    reachable = hub_is_reachable()
    try:
        with nullcontext() if reachable else hub_offline():
            parts: Mapping[str, Any] = load_dataset(name)
    except Exception as error:  # the library has no common class for what can go wrong
        if not reachable:
            raise out_of_reach(name, "folder in Flickr8k layout") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name}: the hub refused it ({reason}): check the name, or give a folder") from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as staging:
        draft = Path(staging) / "set"
        (draft / "images").mkdir(parents=True)
        lines = [line for part, rows in parts.items() if part in SPLITS for line in _write(name, part, rows, draft)]
        (draft / "captions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        draft.rename(folder)
    return folder


def _write(name: str, part: str, rows: Any, folder: Path) -> list[dict[str, Any]]:
    """Save a part's photos; give its lines of captions.jsonl."""
    lines = []
    with progress_bar(f"{name} {part}", None) as update:
        for number, row in enumerate(rows):
            file = f"{part}-{number:06}.jpg"
            row["image"].convert("RGB").save(folder / "images" / file, quality=95)
            lines.append({"file": file, "split": SPLITS[part], "captions": _captions(name, row)})
            update(done=number + 1)
    return lines


def _captions(name: str, row: Mapping[str, Any]) -> list[str]:
    for column in ("captions", "caption"):
        if found := row.get(column):
            return [found] if isinstance(found, str) else list(found)
    if found := [row[column] for column in sorted(row) if re.fullmatch(r"caption_\d+", column)]:
        return found
    raise UserError(f"{name}: its rows have no captions (the columns are {', '.join(row)}): choose another set")
