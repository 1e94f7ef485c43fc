"""Bring an index up to date with folders: only what is new or changed is read, and what is gone is forgotten.

A file with the size and time of change that the index remembers is not opened. Of the others the content's hash says
which are photos that were moved or copied: their vectors stay. The rest is decoded and encoded, a batch at a time, and
each batch is committed before the next one is read, so a killed update goes on where it stopped.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from multimodal_llm.clip_applications.duplicates import difference_hash
from multimodal_llm.clip_applications.image_index import Broken, Photo
from multimodal_llm.images import LARGE_ENOUGH, load_image
from multimodal_llm.picture_files import is_read
from shared.errors import UserError, describe_os_error

BATCH = 32
BAD_NAME = "its name is not UTF-8: rename it"

Progress = Callable[[int, int], None]


class File(NamedTuple):
    """A file that may be a photo."""

    path: str
    size: int
    changed_ns: int


class Seen(NamedTuple):
    """A file that was opened: a photo with its vector (width,), or one that is broken."""

    file: Photo | Broken
    vector: np.ndarray | None


class Index(Protocol):
    """What an update asks of an index, on this machine or on a server: vectors are (width,), of N photos (N, width)."""

    def photos(self) -> dict[str, Photo]: ...
    def broken(self) -> dict[str, Broken]: ...
    def vector(self, path: str) -> np.ndarray:
        """Of this photo, (width,). Raises KeyError where it is not in the index."""

    def put(self, photos: Sequence[Photo], vectors: np.ndarray, broken: Sequence[Broken] = ()) -> None: ...
    def move(self, moved: Sequence[tuple[str, Photo]]) -> None: ...
    def remove(self, paths: Sequence[str]) -> None: ...
    def compact(self) -> None: ...
    def reload(self) -> None: ...


class ImageSpace(Protocol):
    """What turns N pictures into vectors (N, width)."""

    @property
    def width(self) -> int: ...

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray: ...


@dataclass
class Changes:
    """What an update did, by number of files."""

    added: int = 0
    changed: int = 0
    moved: int = 0
    copied: int = 0
    removed: int = 0
    unchanged: int = 0
    broken: list[dict[str, str]] = field(default_factory=list)
    """Every file that cannot be read, also those that were broken before, each with the reason."""
    passed_over: dict[str, int] = field(default_factory=dict)
    """By suffix, the pictures of kinds that are not read, see picture_files.py."""


Encode = Callable[[Sequence[File]], Iterator[Seen]]


def update(
    index: Index,
    folders: Sequence[str | Path],
    encode: Encode,
    batch: int = BATCH,
    progress: Progress = lambda done, total: None,
) -> Changes:
    """Bring the index up to date with what is in these folders (and below them) and files now.

    What the index holds of other folders stays. Raises UserError for a folder that is not there, before anything is
    changed: a drive that is not mounted must not empty the index.
    """
    roots = [Path(folder).expanduser().resolve() for folder in folders]
    passed_over: Counter[str] = Counter()
    found = {file.path: file for file in find_files(roots, passed_over)}
    here = {path: file for path, file in found.items() if _is_text(path)}
    known, known_broken, changes = index.photos(), index.broken(), Changes(passed_over=dict(passed_over))
    gone = {path for path in (*known, *known_broken) if path not in here and _is_below(path, roots)}
    new = []
    for file in here.values():
        before = known.get(file.path) or known_broken.get(file.path)
        if before is not None and (before.size, before.changed_ns) == (file.size, file.changed_ns):
            changes.unchanged += file.path in known
            continue
        new.append(file)
    new = _known_again(index, new, gone, changes)
    index.remove(sorted(gone))
    changes.removed = sum(path in known for path in gone)
    progress(0, len(new))
    done, photos, vectors, broken = 0, [], [], []

    def commit() -> None:
        if photos or broken:
            index.put(photos, np.array(vectors, dtype=np.float32), broken)
        for each in (photos, vectors, broken):
            each.clear()

    for seen in encode(new):
        if isinstance(seen.file, Broken):
            broken.append(seen.file)
        else:
            photos.append(seen.file)
            vectors.append(seen.vector)
            changes.changed += seen.file.path in known
            changes.added += seen.file.path not in known
        done += 1
        progress(done, len(new))
        if len(photos) + len(broken) >= batch:
            commit()
    commit()
    index.compact()
    index.reload()
    changes.broken = [
        {"file": file.path, "reason": file.reason} for file in index.broken().values() if file.path in here
    ]
    changes.broken += [{"file": _as_text(path), "reason": BAD_NAME} for path in found if path not in here]
    return changes


def find_files(roots: Sequence[Path], passed_over: Counter[str]) -> Iterator[File]:
    """The files with a photo's name in these folders, hidden ones left out, by name. Raises UserError as `update`.

    Pictures of kinds that are not read are counted in `passed_over`.
    """
    for root in roots:
        if root.is_file():
            found = [root]
        elif root.is_dir():
            found = sorted(
                path
                for path in root.rglob("*")
                if not any(part.startswith(".") for part in path.relative_to(root).parts) and is_read(path, passed_over)
            )
        else:
            raise UserError(f"{root}: no such folder: check the path (nothing was changed)")
        for path in found:
            try:
                state = path.stat()
            except OSError:  # removed in this moment, or a link that leads nowhere
                continue
            if path.is_file():
                yield File(str(path), state.st_size, state.st_mtime_ns)


def encode_here(space: ImageSpace, files: Sequence[File], batch: int = BATCH) -> Iterator[Seen]:
    """The files in order, decoded by as many threads as there are cores, one batch ahead of the encoder."""
    with ThreadPoolExecutor(os.cpu_count()) as readers:  # decoding runs outside Python's lock
        batches = [files[start : start + batch] for start in range(0, len(files), batch)]
        ahead = [readers.submit(open_file, file) for file in batches[0]] if batches else []
        for following in [*batches[1:], []][: len(batches)]:
            opened = [reading.result() for reading in ahead]
            ahead = [readers.submit(open_file, file) for file in following]
            yield from encode_opened(space, opened)


def encode_opened(space: ImageSpace, opened: Sequence[tuple[Photo | Broken, Image.Image | None]]) -> Iterator[Seen]:
    pictures = [picture for _, picture in opened if picture is not None]
    vectors = iter(space.encode_images(pictures) if pictures else ())
    for file, picture in opened:
        yield Seen(file, None if picture is None else next(vectors))


def open_file(file: File) -> tuple[Photo | Broken, Image.Image | None]:
    """The picture, upright, and what the index notes of it; or why it cannot be read."""
    try:
        content = Path(file.path).read_bytes()
        picture = load_image(content, largest_side=LARGE_ENOUGH)
    except UserError as error:
        return Broken(*file, reason=str(error).replace("the picture: ", "")), None
    except OSError as error:
        return Broken(*file, reason=describe_os_error(error)), None
    return Photo(*file, content=_hash(content), looks=difference_hash(picture)), picture


def _known_again(index: Index, files: Sequence[File], gone: set[str], changes: Changes) -> list[File]:
    """Keep the vectors of photos that were moved or copied; what is left must be encoded.

    A path that a photo was moved away from is taken out of `gone`.
    """
    by_content: dict[str, list[Photo]] = {}
    for photo in index.photos().values():
        by_content.setdefault(photo.content, []).append(photo)
    sizes = {photo.size for photos in by_content.values() for photo in photos}
    left, moved, copies, touched = [], [], [], []
    for file in files:
        same = by_content.get(_content_of(file), []) if file.size in sizes else []  # else no need to read it
        if not same:
            left.append(file)
            continue
        photo = Photo(*file, content=same[0].content, looks=same[0].looks)
        before = next((one.path for one in same if one.path in gone), None)
        if any(one.path == file.path for one in same):
            touched.append((file.path, photo))
        elif before is not None:
            gone.discard(before)
            moved.append((before, photo))
        else:
            copies.append((photo, index.vector(same[0].path)))
    index.remove([photo.path for _, photo in moved])  # what lay there before
    index.move([*moved, *touched])
    if copies:
        index.put([photo for photo, _ in copies], np.array([vector for _, vector in copies]))
    changes.moved, changes.copied = len(moved), len(copies)
    changes.unchanged += len(touched)
    return left


def _content_of(file: File) -> str:
    try:
        return _hash(Path(file.path).read_bytes())
    except OSError:  # it will be reported as broken
        return ""


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _is_text(path: str) -> bool:
    """Whether a path can be stored: Linux allows any bytes in a name, and Python keeps the odd ones as surrogates."""
    return path.encode("utf-8", "ignore").decode() == path


def _as_text(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _is_below(path: str, roots: Sequence[Path]) -> bool:
    return any(Path(path) == root or root in Path(path).parents for root in roots)
