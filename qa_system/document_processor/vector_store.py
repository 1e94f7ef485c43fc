"""The store: documents, passages, their terms and vectors, in one SQLite file that is the only truth.

A change is one SQLite transaction, so that it is there whole or not at all, whatever kills the program; what `add` or
`delete` returned is on the disk. The indexes for searching (BM25, FAISS) live in memory, in each process its own. Rows
are numbered in the order in which they came and no number is used twice, and every removal is written down: so an index
is brought up to date by reading what was added and removed since it last looked, which every search does first, in the
same read transaction in which it searches. Readers see one state of the store, never a half of a change, also while
another thread or process writes. One writes at a time; the next one waits for it, or is told.

Nothing in the file is code or a pickle: text, JSON and raw 32-bit floats.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qa_system.document_processor.documents import Chunk, Document
from qa_system.document_processor.stored_form import (
    StoredDocument,
    as_json,
    chunk_from,
    describe,
    document_from,
    place_of,
    searched_terms,
    searched_text,
)
from qa_system.retrieval.dense_retrieval import DEFAULT_EMBEDDING, DenseIndex, Embedder, load_embedder
from qa_system.retrieval.sparse_retrieval import SparseIndex
from qa_system.retrieval.text_analysis import VERSION, is_han
from shared.errors import UserError
from shared.text_encoder import Progress

FILE = "store.sqlite"
FORMAT = "1"
WAIT_S = 30.0  # for another program that writes
Change = Literal["added", "updated", "unchanged"]

SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    source TEXT PRIMARY KEY, id TEXT NOT NULL, split TEXT NOT NULL, line TEXT NOT NULL, content TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE chunks (
    row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, source TEXT NOT NULL REFERENCES documents,
    text TEXT NOT NULL, place TEXT NOT NULL, terms TEXT NOT NULL, vector BLOB NOT NULL, chinese INTEGER NOT NULL
);
CREATE INDEX chunks_of_source ON chunks (source);
CREATE TABLE removals (number INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL);
"""


class VectorStore:
    """A store in a folder. All methods may be called from several threads; several processes may open one folder."""

    def __init__(self, folder: Path | str, embedding: str | Embedder | None = None, create: bool = True) -> None:
        """Open the store, or make one with this embedding (default: minilm): its name, or itself if it is loaded.

        Raises UserError where there is none and `create` is false, and where its vectors, terms or format are others.
        """
        if isinstance(embedding, Embedder):
            self.embedder, embedding = embedding, embedding.name
        self.folder = Path(folder)
        none_here = f"--store {folder}: there is no store: make one with python -m qa_system.ingest PATH"
        if not create and not (self.folder / FILE).exists():
            raise UserError(none_here)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock, self._write_lock = threading.RLock(), threading.Lock()
        self._reader, self._writer = self._connect(), self._connect()
        with self._as_written():
            made = self._is_made(self._reader)
        if not made and not create:  # a program was killed, or its disk full, while it made one
            self.close()
            raise UserError(none_here)
        if not made:
            with self._transaction() as writer:
                if not self._is_made(writer):  # else another process was faster
                    for statement in SCHEMA.split(";"):
                        writer.execute(statement)
                    new = {"format": FORMAT, "terms": VERSION, "embedding": embedding or DEFAULT_EMBEDDING}
                    writer.executemany("INSERT INTO settings VALUES (?, ?)", new.items())
        with self._as_written():
            settings = dict(self._reader.execute("SELECT name, value FROM settings").fetchall())
            self.embedding = settings["embedding"]
        for name, here in (("format", FORMAT), ("terms", VERSION), ("embedding", embedding or self.embedding)):
            if settings.get(name) != here:
                raise UserError(
                    f"--store {folder}: its {name} is {settings.get(name)}, not {here}: ingest into a new folder, "
                    f"or {'leave --embedding out' if name == 'embedding' else 'use the version that made it'}"
                )
        self._forget()

    def close(self) -> None:
        """Close the files. What was acknowledged is on the disk already."""
        with self._lock, self._write_lock:
            self._reader.close()
            self._writer.close()

    @cached_property
    def embedder(self) -> Embedder:
        """The encoder of the vectors, loaded when it is first needed. Raises UserError where it is another one."""
        embedder = load_embedder(self.embedding)
        with self._write_lock:
            settings = dict(self._writer.execute("SELECT name, value FROM settings").fetchall())
        self._check_encoder(settings, embedder)
        return embedder

    def add(
        self,
        document: Document,
        chunks: Sequence[Chunk],
        *,
        split: str = "",
        metadata: Mapping[str, Any] | None = None,
        vectors: np.ndarray | None = None,
        on_progress: Progress = lambda done: None,
    ) -> Change:
        """Add a document with its passages, or put it in the place of what its source held before.

        `split` says how it was cut; the same document, cut the same way, changes nothing. `metadata` is kept with it.
        `vectors` (N, width) are those of the passages, where they were computed elsewhere; here they are not computed
        again for a text that stays. Raises UserError where another program writes for too long, and on a full disk.
        """
        texts = [searched_text(chunk) for chunk in chunks]
        # By the connection that writes: threads that search all the time would leave the other one's lock seldom free.
        with self._write_lock:
            query = "SELECT id, split FROM documents WHERE source = ?"
            if self._writer.execute(query, (document.source,)).fetchone() == (document.id, split):
                return "unchanged"
            kept = dict(self._vectors_by_text(document.source))
        if vectors is not None:
            new = texts
        else:
            new = list(dict.fromkeys(text for text in texts if text not in kept))
            vectors = self.embedder.encode(new, "passage", on_progress)
        for text, vector in zip(new, vectors, strict=True):
            kept[text] = vector.astype("<f4").tobytes()
        rows = []
        for chunk, text in zip(chunks, texts, strict=True):
            terms = " ".join(searched_terms(chunk))
            row = chunk.id, document.source, chunk.text, place_of(chunk), terms, kept[text], is_han(chunk.text)
            rows.append(row)
        return self._replace(document, split, metadata or {}, rows)

    def delete(self, source: str) -> int:
        """Delete a document with all its passages; the number of these, 0 where there is no such source."""
        with self._transaction() as writer:
            n = self._delete(writer, source)
        return n

    def _replace(self, document: Document, split: str, metadata: Mapping[str, Any], rows: Sequence[tuple]) -> Change:
        embedder = self.embedder
        with self._transaction() as writer:
            # Another process may have added the same in the meantime.
            before = writer.execute("SELECT id, split FROM documents WHERE source = ?", (document.source,)).fetchone()
            if before == (document.id, split):
                return "unchanged"
            settings = dict(writer.execute("SELECT name, value FROM settings").fetchall())
            self._check_encoder(settings, embedder)
            if "width" not in settings:
                made_with = {"width": str(embedder.width), "fingerprint": embedder.fingerprint}
                writer.executemany("INSERT INTO settings VALUES (?, ?)", made_with.items())
            self._delete(writer, document.source)
            line = as_json(describe(document, split, len(rows), metadata))
            values = document.source, document.id, split, line, as_json(document)
            writer.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", values)
            fields = "id, source, text, place, terms, vector, chinese"
            writer.executemany(f"INSERT INTO chunks ({fields}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608 - ours
        return "updated" if before else "added"

    @staticmethod
    def _delete(writer: sqlite3.Connection, source: str) -> int:
        writer.execute("INSERT INTO removals (row) SELECT row FROM chunks WHERE source = ?", (source,))
        n = writer.execute("DELETE FROM chunks WHERE source = ?", (source,)).rowcount
        writer.execute("DELETE FROM documents WHERE source = ?", (source,))
        return n

    @contextmanager
    def view(self) -> Iterator["VectorStore"]:
        """One state of the store, for as long as the block lasts: `sparse`, `dense`, `chunks` and `rows_of` agree.

        A view within a view is the same one.
        """
        with self._lock:
            if self._reader.in_transaction:
                yield self
                return
            self._reader.execute("BEGIN")
            try:
                with self._as_written():
                    self._catch_up()
                yield self
            finally:
                with self._as_written():
                    self._reader.execute("COMMIT")

    def chunks(self, rows: Sequence[int]) -> list[Chunk]:
        """The passages of these rows, within a view. Raises KeyError for a row that is not there."""
        marks = ",".join("?" * len(rows))
        fields = "row, chunks.id, documents.id, source, text, place"
        # As many question marks as there are rows: no value becomes part of the query.
        query = f"SELECT {fields} FROM chunks JOIN documents USING (source) WHERE row IN ({marks})"  # noqa: S608
        with self._as_written():
            values = {row: values for row, *values in self._reader.execute(query, list(map(int, rows)))}
            found = {row: chunk_from(*each) for row, each in values.items()}
        return [found[int(row)] for row in rows]

    def rows_of(self, sources: Sequence[str]) -> np.ndarray:
        """The rows (N,) of these sources' passages, within a view."""
        query = "SELECT row FROM chunks WHERE source = ?"
        with self._as_written():
            rows = [row for source in dict.fromkeys(sources) for (row,) in self._reader.execute(query, (source,))]
        return np.array(rows, dtype=np.int64)

    def are_chinese(self, rows: Sequence[int]) -> np.ndarray:
        """Which of these rows' passages (N,) are written in Chinese, within a view."""
        return np.array([int(row) in self._chinese for row in rows], dtype=bool)

    def documents(self) -> list[StoredDocument]:
        """All documents, by source."""
        with self._lock, self._as_written():
            found = self._reader.execute("SELECT line FROM documents ORDER BY source").fetchall()
            return [StoredDocument(**json.loads(line)) for (line,) in found]

    def document(self, source: str) -> Document | None:
        """The document as it was read: text, lines and pages."""
        with self._lock, self._as_written():
            found = self._reader.execute("SELECT content FROM documents WHERE source = ?", (source,)).fetchone()
            return document_from(found[0]) if found else None

    def __len__(self) -> int:
        """The number of passages."""
        with self._lock:
            return self._reader.execute("SELECT count(*) FROM chunks").fetchone()[0]

    def _forget(self) -> None:
        self.sparse = SparseIndex()
        self.dense: DenseIndex | None = None
        self._chinese: set[int] = set()
        self._last_row = self._last_removal = 0

    def _catch_up(self) -> None:
        """Bring the indexes to the state that this read transaction sees."""
        # What was added and removed since the last look was never in the indexes.
        query = "SELECT row FROM removals WHERE number > ? AND row <= ?"
        gone = [row for (row,) in self._reader.execute(query, (self._last_removal, self._last_row))]
        try:
            if self.dense is None:
                width = self._reader.execute("SELECT value FROM settings WHERE name = 'width'").fetchone()
                self.dense = DenseIndex(int(width[0])) if width else None
            if gone and self.dense is not None:
                self.sparse.remove(gone)
                self.dense.remove(gone)
                self._chinese.difference_update(gone)
            query = "SELECT row, terms, vector, chinese FROM chunks WHERE row > ? ORDER BY row"
            added = self._reader.execute(query, (self._last_row,))
            while batch := added.fetchmany(4096):
                if self.dense is None:
                    raise ValueError("the width of its vectors is missing")
                rows = [row for row, *_ in batch]
                self.sparse.add((row, terms.split()) for row, terms, *_ in batch)
                vectors = np.frombuffer(b"".join(vector for _, _, vector, _ in batch), dtype="<f4")
                self.dense.add(rows, vectors.reshape(len(batch), -1))
                self._chinese.update(row for row, _, _, chinese in batch if chinese)
                self._last_row = rows[-1]
            self._last_removal = self._reader.execute("SELECT max(number) FROM removals").fetchone()[0] or 0
        except BaseException:
            self._forget()  # half of a change: the next view reads everything anew
            raise

    def _vectors_by_text(self, source: str) -> Iterator[tuple[str, bytes]]:
        query = "SELECT text, place, vector FROM chunks WHERE source = ?"
        for text, place, vector in self._writer.execute(query, (source,)):
            yield searched_text(chunk_from("", "", source, text, place)), vector

    def _connect(self) -> sqlite3.Connection:
        with self._as_written():
            connection = sqlite3.connect(
                self.folder / FILE, timeout=WAIT_S, isolation_level=None, check_same_thread=False
            )
            # Readers go on while one writes; and a commit is on the disk before it returns.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        return connection

    @contextmanager
    def _as_written(self) -> Iterator[None]:
        """Raises UserError where what the block reads is not what was written: the file was damaged."""
        try:
            yield
        except (sqlite3.Error, ValueError, LookupError, TypeError, AttributeError) as error:
            known = self._user_error(error) if isinstance(error, sqlite3.Error) else error
            if isinstance(known, UserError):
                raise known from error
            why = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{self.folder / FILE}: damaged ({why:.200}): ingest anew into another folder") from error

    @staticmethod
    def _is_made(connection: sqlite3.Connection) -> bool:
        return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'settings'").fetchone() is not None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection that writes; all that the block did is kept, or nothing if it fails."""
        with self._write_lock:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    yield self._writer
                    self._writer.execute("COMMIT")
                except BaseException:
                    if self._writer.in_transaction:  # SQLite itself rolls back on some faults
                        self._writer.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._user_error(error) from error

    def _user_error(self, error: sqlite3.Error) -> Exception:
        """The one line for what the user can mend; any other fault stays itself."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        file = self.folder / FILE
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return UserError(f"{file}: could not write ({error}): free some disk space; the store is as it was before")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return UserError(f"{file}: another program has been writing for {WAIT_S:.0f} s: try again when it is done")
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return UserError(f"{file}: no readable store ({error}): name another folder, or ingest anew")
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return UserError(f"{file}: cannot be opened for writing ({error}): check its permissions")
        return error

    def _check_encoder(self, settings: dict[str, str], embedder: Embedder) -> None:
        made_with = settings.get("fingerprint", embedder.fingerprint), settings.get("width", str(embedder.width))
        if made_with != (embedder.fingerprint, str(embedder.width)):
            raise UserError(
                f"--store {self.folder}: its vectors are of another version of {embedder.name} "
                f"({made_with[0]}, {made_with[1]} wide; here {embedder.fingerprint}, {embedder.width}): ingest anew"
            )
