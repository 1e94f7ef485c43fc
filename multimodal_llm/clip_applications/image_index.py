"""A collection of photos on the disk: where each lies, what it looks like, and its vector.

FOLDER/index.sqlite    a row a photo (path, size, time of change, hash of the content), and the files that are broken
FOLDER/vectors-N.f16   the vectors in 16 bits, one after another; a row names its place there

A vector is written to the end of the file and forced to the disk before the row that names its place is committed. So
whatever moment the program is killed at, the rows speak of whole vectors only, and what lies beyond them is written
over by the next update. When more than half of the file is of photos that are gone, the rest moves to a new file, whose
number is committed together with the new places.

A search compares every vector twice: all of them in 8 bits (FAISS), since reading memory is what takes the time, and
the best few hundred again in 16. 100,000 vectors of 512 numbers are 50 MB and 100 MB.
"""

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shared.errors import UserError

FILE, FORMAT = "index.sqlite", "1"
WAIT_S = 30.0  # for another program that writes
SAMPLE = 1000  # vectors by which a query's usual cosine is measured
WHOLE = 127  # the largest of 8 bits
LOOKED_AT_AGAIN = 400  # vectors, in 16 bits
AT_ONCE = 10_000  # vectors that are brought to 8 bits together
LEAST_DEAD = 1000  # places; fewer are not worth a new file

SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE photos (
    path TEXT PRIMARY KEY, place INTEGER NOT NULL UNIQUE, size INTEGER NOT NULL, changed_ns INTEGER NOT NULL,
    content TEXT NOT NULL, looks INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE broken (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, changed_ns INTEGER NOT NULL, reason TEXT NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Photo:
    """A file as it was when it was read."""

    path: str
    size: int
    changed_ns: int
    content: str
    """Hash of its bytes, by which a photo that was moved or copied is known again."""
    looks: int
    """`duplicates.difference_hash`, by which near-duplicates are known."""


@dataclass(frozen=True)
class Broken:
    """A file with a photo's name that cannot be read, and why."""

    path: str
    size: int
    changed_ns: int
    reason: str


class Found(NamedTuple):
    """A photo near a vector: how near, its difference hash (`looks`), and its own vector (D,)."""

    path: str
    cosine: float
    looks: int
    vector: np.ndarray


class ImageIndex:
    """An index in a folder. Several processes may open one; what one of them commits, the others see after `reload`."""

    def __init__(self, folder: Path | str, settings: Mapping[str, str] | None = None) -> None:
        """Open the index; with settings (`space`, `fingerprint`, `width`) make it where there is none.

        Raises UserError where there is none and no settings are given, and where its own are others.
        """
        self.folder = Path(folder)
        if settings is None and not (self.folder / FILE).is_file():
            raise UserError(
                f"--index {folder}: there is no index: make one with python -m multimodal_llm.image_search index FOLDER"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._rows = sqlite3.connect(self.folder / FILE, timeout=WAIT_S, isolation_level=None)
            self._rows.execute("PRAGMA synchronous = FULL")
            if settings is not None:
                self._make({"format": FORMAT, "vectors": "0", **settings})
            self.settings = dict(self._rows.execute("SELECT name, value FROM settings").fetchall())
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            why = " ".join(str(error).split())
            raise UserError(f"--index {folder}: {FILE} is no index of photos ({why}): give another folder") from error
        for name, here in {"format": FORMAT, **(settings or {})}.items():
            if self.settings.get(name) != here:
                raise UserError(
                    f"--index {folder}: its {name} is {self.settings.get(name)}, not {here}: "
                    "name another folder, or remove this one and index anew"
                )
        if not self.settings.get("width", "").isdecimal():
            raise UserError(f"--index {folder}: {FILE} is damaged (no width): remove the folder and index anew")
        self.width = int(self.settings["width"])
        self.reload()

    def close(self) -> None:
        self._rows.close()

    def _make(self, settings: Mapping[str, str]) -> None:
        with self._transaction():
            if not self._rows.execute("SELECT 1 FROM sqlite_master WHERE name = 'settings'").fetchone():
                for statement in SCHEMA.strip().split(";\n"):
                    self._rows.execute(statement)
                self._rows.executemany("INSERT INTO settings VALUES (?, ?)", settings.items())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._rows.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise UserError(f"--index {self.folder}: another program writes to it ({error}): try again") from error
        with self._as_written():
            try:
                yield
                self._rows.execute("COMMIT")
            except BaseException:
                if self._rows.in_transaction:  # SQLite itself rolls back on some faults
                    self._rows.execute("ROLLBACK")
                raise

    @contextmanager
    def _as_written(self) -> Iterator[None]:
        """Raises UserError where the file is damaged, or the disk full."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise UserError(
                    f"--index {self.folder}: could not be written ({error}): free some disk space, then index again"
                ) from error
            why = " ".join(str(error).split())
            raise UserError(
                f"--index {self.folder}: {FILE} is damaged ({why:.200}): remove the folder and index anew"
            ) from error

    # What is searched

    def reload(self) -> None:
        """Read the vectors from the disk as they are now. Raises UserError where the file is damaged."""
        import faiss

        with self._as_written():
            self._rows.execute("BEGIN")  # one state for both questions
            self.settings = dict(self._rows.execute("SELECT name, value FROM settings").fetchall())
            rows = self._rows.execute("SELECT path, place, looks FROM photos ORDER BY place").fetchall()
            codes = self._read(np.array([place for _, place, _ in rows], dtype=np.int64))
            self._rows.execute("COMMIT")
        self._paths, self._looks = [row[0] for row in rows], [row[2] for row in rows]
        self._codes = codes  # (photos, width) in 16 bits
        self._coarse = faiss.IndexScalarQuantizer(
            self.width, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
        )
        self._coarse.is_trained = True  # one scale for all numbers needs no training
        largest = float(np.abs(codes).max(initial=0))
        if not math.isfinite(largest):
            raise UserError(f"--index {self._file}: damaged, not all are numbers: remove the index and make it anew")
        scale = WHOLE / max(largest, 1e-6)
        for start in range(0, len(codes), AT_ONCE):
            part = codes[start : start + AT_ONCE].astype(np.float32)
            part *= scale
            part += 128.5  # cutting the fraction off then rounds
            self._coarse.add_sa_codes(part.astype(np.uint8))
        some = np.random.default_rng(0).permutation(len(codes))[:SAMPLE]
        self._sample = codes[some].astype(np.float32)

    def __len__(self) -> int:
        return len(self._paths)

    def search(self, vector: np.ndarray, n: int) -> list[Found]:
        """The n photos nearest to a vector (width,), the nearest first; equal ones in the order they were added."""
        n = min(n, len(self))
        if n == 0:
            return []
        query = np.asarray(vector, dtype=np.float32)
        rough = np.rint(query * (WHOLE / max(float(np.abs(query).max()), 1e-6)))
        with _one_thread():
            _, [places] = self._coarse.search(rough[None], min(max(LOOKED_AT_AGAIN, 4 * n), len(self)))
        vectors = self._codes[places].astype(np.float32)
        cosines = vectors @ query
        return [
            Found(self._paths[places[i]], float(cosines[i]), self._looks[places[i]], vectors[i])
            for i in np.lexsort((places, -cosines))[:n]
        ]

    def usual(self, vector: np.ndarray) -> np.ndarray:
        """Cosines of up to 1000 of the photos, drawn once, with a vector (width,): what is usual here."""
        return self._sample @ np.asarray(vector, dtype=np.float32)

    # What is known of files

    def photos(self) -> dict[str, Photo]:
        query = "SELECT path, size, changed_ns, content, looks FROM photos ORDER BY path"
        with self._as_written():
            return {row[0]: Photo(*row) for row in self._rows.execute(query)}

    def broken(self) -> dict[str, Broken]:
        query = "SELECT path, size, changed_ns, reason FROM broken ORDER BY path"
        with self._as_written():
            return {row[0]: Broken(*row) for row in self._rows.execute(query)}

    def vector(self, path: str) -> np.ndarray:
        """The vector (width,) of an indexed photo. Raises KeyError where it is not here."""
        row = self._rows.execute("SELECT place FROM photos WHERE path = ?", (path,)).fetchone()
        if row is None:
            raise KeyError(path)
        return self._read(np.array(row))[0].astype(np.float32)

    # Changes: each call is one transaction

    def put(self, photos: Sequence[Photo], vectors: np.ndarray, broken: Sequence[Broken] = ()) -> None:
        """Add photos with their vectors (N, width), or put them in the place of what their paths held before."""
        with self._transaction():
            last = self._rows.execute("SELECT max(place) FROM photos").fetchone()[0]
            first = 0 if last is None else last + 1
            if len(photos):
                self._write(vectors, first)
            self._forget([photo.path for photo in photos] + [file.path for file in broken])
            self._rows.executemany(
                "INSERT INTO photos VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (photo.path, first + number, photo.size, photo.changed_ns, photo.content, photo.looks)
                    for number, photo in enumerate(photos)
                ],
            )
            self._rows.executemany(
                "INSERT INTO broken VALUES (?, ?, ?, ?)",
                [(file.path, file.size, file.changed_ns, file.reason) for file in broken],
            )

    def move(self, moved: Sequence[tuple[str, Photo]]) -> None:
        """Photos that lie elsewhere now: the old path, and the photo with the new one. Vectors stay."""
        with self._transaction():
            self._rows.executemany("DELETE FROM broken WHERE path = ?", [(photo.path,) for _, photo in moved])
            self._rows.executemany(
                "UPDATE photos SET path = ?, size = ?, changed_ns = ? WHERE path = ?",
                [(photo.path, photo.size, photo.changed_ns, before) for before, photo in moved],
            )

    def remove(self, paths: Sequence[str]) -> None:
        """Forget these files."""
        with self._transaction():
            self._forget(paths)

    def compact(self) -> None:
        """Move the vectors to a new file where most of the old one is of photos that are gone."""
        with self._transaction():
            rows = self._rows.execute("SELECT place, path FROM photos ORDER BY place").fetchall()
            places = np.array([place for place, _ in rows], dtype=np.int64)
            size = int(places[-1]) + 1 if len(places) else 0
            if size - len(places) < max(LEAST_DEAD, size / 2):
                return
            codes, old = self._read(places), self._file
            self._rows.execute("UPDATE settings SET value = CAST(value AS INTEGER) + 1 WHERE name = 'vectors'")
            self._write(codes, 0)
            # In the order of the places each new one is at most the old one, so no two are ever equal.
            self._rows.executemany(
                "UPDATE photos SET place = ? WHERE path = ?", [(new, path) for new, (_, path) in enumerate(rows)]
            )
        old.unlink(missing_ok=True)

    def _forget(self, paths: Sequence[str]) -> None:
        for table in ("photos", "broken"):
            query = f"DELETE FROM {table} WHERE path = ?"  # noqa: S608 - one of the two names above
            self._rows.executemany(query, [(path,) for path in paths])

    @property
    def _file(self) -> Path:
        number = self._rows.execute("SELECT value FROM settings WHERE name = 'vectors'").fetchone()[0]
        return self.folder / f"vectors-{number}.f16"

    def _read(self, places: np.ndarray) -> np.ndarray:
        """The stored vectors (N, width) of these places. Raises UserError where the file is gone or too short."""
        if not len(places):
            return np.empty((0, self.width), dtype=np.float16)
        try:
            stored: Any = np.memmap(self._file, dtype=np.float16, mode="r")
            return stored[: len(stored) // self.width * self.width].reshape(-1, self.width)[places]
        except (OSError, ValueError, IndexError) as error:
            raise UserError(f"--index {self._file}: missing or cut short: remove the index and make it anew") from error

    def _write(self, vectors: np.ndarray, first: int) -> None:
        """Vectors (N, width) from this place on, on the disk when this returns."""
        import os

        codes = np.ascontiguousarray(vectors, dtype=np.float16)
        with open(self._file, "r+b" if self._file.exists() else "w+b") as file:
            file.seek(first * self.width * 2)
            file.write(codes.tobytes())
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _one_thread() -> Iterator[None]:
    """One query is one thread's work in FAISS; the others would only wait for each other, on a busy core for long.

    The number is restored, since torch may share it.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
