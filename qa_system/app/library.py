"""Documents that people bring: taken at once, read one after the other, and none that was taken is lost.

waiting/ID.pdf    what was uploaded and is not read yet; whoever has taken or works on it holds a lock on the file
jobs/ID.json      what became of it
files/SHA256.pdf  PDFs in the store, to show the page of a citation

An upload is acknowledged once file and job are on the disk. After a kill, whoever opens the folder next goes on with
what waits and nobody holds. Doing a job twice does no harm: the store finds that nothing changed.
"""

import fcntl
import hashlib
import os
import queue
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from qa_system.app.jobs import Job, JobBook
from qa_system.app.names import suffix_of
from qa_system.document_processor.documents import Chunk
from qa_system.document_processor.errors import Unreadable
from qa_system.document_processor.file_kind import kind_of
from qa_system.document_processor.reader import ReaderConfig
from qa_system.document_processor.stored_form import StoredDocument, searched_text
from qa_system.ingest import IngestConfig
from shared.config import check
from shared.errors import UserError, describe_os_error
from shared.logging import get_logger

log = get_logger(__name__)

BATCH = 16  # passages encoded at a time; between two of them questions have their turn at the encoder
BREATH_S = 0.01  # a thread that takes a lock again at once would leave it to nobody
NOTED_EVERY_S = 0.5


@dataclass(frozen=True)
class LibraryConfig:
    """What may be brought."""

    max_mb: float = 50.0
    """Largest file, in megabytes."""
    max_pages: int = 1000
    """Most pages of a document."""
    page_seconds: float = 60.0
    """Time that one page may take."""
    document_seconds: float = 900.0
    """Time that a document may take."""
    queue_uploads: int = 64
    """Files that may wait to be read."""
    ocr: bool = True
    """Recognise the text of scanned pages."""

    def __post_init__(self) -> None:
        for name in ("max_pages", "queue_uploads"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")
        for name in ("max_mb", "page_seconds", "document_seconds"):
            check(getattr(self, name) > 0, name, getattr(self, name), "give a number above 0")


class LibraryFull(Exception):
    """As many files wait as may."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many files wait to be read: try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class _Stopping(Exception):
    pass


class Incoming:
    """A file on its way in. Use it in a `with` block: what was not taken by then is gone."""

    def __init__(self, library: "Library", source: str) -> None:
        self._library, self._job = library, Job(source=source, suffix=suffix_of(source))
        self.path = library.waiting / f"{self._job.id}{self._job.suffix}"
        self._file: BinaryIO = open(self.path, "xb")  # noqa: SIM115  # its lock is held until the job has ended
        self._digest = hashlib.sha256()
        self._taken = False

    def __enter__(self) -> Self:
        _lock(self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._taken:
            self.path.unlink(missing_ok=True)
            self._file.close()
            self._library.leave_place()

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)

    def take(self) -> Job:
        """Acknowledge it: from here on it is not lost. Raises Unreadable where its bytes are no document's."""
        self._file.flush()
        if not self._file.tell():
            raise Unreadable("empty", f"{self._job.source}: the file is empty")
        try:
            kind_of(self.path)
        except Unreadable as error:
            raise Unreadable(error.reason, f"{self._job.source}: {error}") from error
        os.fsync(self._file.fileno())
        self._library.take(self._job, self._file)
        self._taken = True
        return self._job


class Library:
    """A store, and a thread that brings into it what is uploaded. All methods may be called from several threads."""

    def __init__(self, store: Any, folder: Path, config: LibraryConfig | None = None) -> None:
        self.store, self.config = store, config or LibraryConfig()
        self.ingest = IngestConfig(store=str(folder), ocr=self.config.ocr)
        self.waiting, self.files = folder / "waiting", folder / "files"
        for each in (self.waiting, self.files):
            each.mkdir(parents=True, exist_ok=True)
        self.book = JobBook(folder / "jobs")
        self._now: dict[str, Job] = {}  # jobs of this process that have not ended
        self._queue: queue.SimpleQueue[tuple[Job, BinaryIO] | None] = queue.SimpleQueue()
        self._places, self._places_lock = 0, threading.Lock()
        self._files_lock = threading.Lock()
        self._stopping = threading.Event()
        self._job_s = 2.0
        self._thread: threading.Thread | None = None
        self._opened = ExitStack()
        self._reader: Any = None

    def start(self) -> None:
        """Begin to read what waits; also what a process left that was killed."""
        self._adopt()
        self._thread = threading.Thread(target=self._work, name="library", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; what is not read yet waits for the next start."""
        self._stopping.set()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()
        while True:
            with suppress(queue.Empty):
                if (left := self._queue.get_nowait()) is not None:
                    left[1].close()
                continue
            return

    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def waiting_uploads(self) -> int:
        """Files that are on their way in, wait, or are being read."""
        return self._places

    def receive(self, source: str) -> Incoming:
        """A place for a file of this name. Raises LibraryFull where as many wait as may."""
        with self._places_lock:
            if self._places >= self.config.queue_uploads:
                raise LibraryFull(max(1, min(60, round(self._job_s * self._places / 2))))
            self._places += 1
        try:
            return Incoming(self, source)
        except BaseException:
            self.leave_place()
            raise

    def bring(self, path: Path, source: str | None = None) -> Job:
        """Take a file of this machine. Raises Unreadable, LibraryFull, OSError, and UserError where it is too large."""
        if path.stat().st_size > self.config.max_mb * 1e6:
            raise UserError(f"{source or path.name}: larger than {self.config.max_mb:g} MB: split it")
        with path.open("rb") as file, self.receive(source or path.name) as incoming:
            while part := file.read(1 << 20):
                incoming.write(part)
            return incoming.take()

    def take(self, job: Job, file: BinaryIO) -> None:
        self.book.write(job)
        self._now[job.id] = job
        self._queue.put((job, file))

    def leave_place(self) -> None:
        with self._places_lock:
            self._places -= 1

    def job(self, identity: str) -> Job | None:
        return self._now.get(identity) or self.book.read(identity)

    def jobs(self) -> list[Job]:
        """All that are known, the newest first."""
        return [self._now.get(job.id, job) for job in self.book.all()]

    def documents(self) -> list[StoredDocument]:
        return self.store.documents()

    def delete(self, source: str) -> int:
        """Delete a document, and its file; the number of its passages, 0 where there is no such source."""
        with self._files_lock:
            identity = {line.source: line.id for line in self.store.documents()}.get(source)
            passages = self.store.delete(source)
            if identity:
                self._drop_file(identity)
        return passages

    def file_of(self, document_id: str) -> Path | None:
        """The PDF that a document was read from, where it was brought here."""
        path = self._file(document_id)
        return path if path.is_file() else None

    def _file(self, document_id: str) -> Path:
        return self.files / f"{document_id}.pdf"

    def _adopt(self) -> None:
        """Go on with what waits and nobody holds; drop what never was acknowledged."""
        left = []
        for path in self.waiting.iterdir():
            with suppress(FileNotFoundError):
                file = open(path, "rb")  # noqa: SIM115  # held until the job has ended
                if not _lock(file):
                    file.close()
                    continue
                job = self.book.read(path.name.partition(".")[0])
                if job is None or job.ended:
                    path.unlink(missing_ok=True)
                    file.close()
                else:
                    left.append((job.now(state="waiting", done=0, total=0), file))
        for job, file in sorted(left, key=lambda each: each[0].taken):
            with self._places_lock:
                self._places += 1
            self._now[job.id] = job
            self._queue.put((job, file))
        if left:
            log.info("going on with %d files that were left waiting", len(left))
        self.book.forget_old()

    def _work(self) -> None:
        with self._opened:
            self._work_through()

    def _work_through(self) -> None:
        while (next_one := self._queue.get()) is not None and not self._stopping.is_set():
            job, file = next_one
            started = time.monotonic()
            try:
                self._end(self._done(job), file)
            except _Stopping:
                file.close()
                return
            except Unreadable as error:
                self._end(self._now[job.id].now(state="refused", reason=error.reason, detail=str(error)), file)
            except Exception as error:  # whatever it is, it must fail this document and not the ones after it
                detail = _in_words(error)
                log.exception("%s: not ingested", job.id)
                self._end(self._now[job.id].now(state="failed", reason="fault", detail=detail), file)
            self._job_s = 0.8 * self._job_s + 0.2 * (time.monotonic() - started)

    def _done(self, job: Job) -> Job:
        """Read a file into the store. Raises Unreadable, and whatever goes wrong."""
        path = self.waiting / f"{job.id}{job.suffix}"
        noted = _Noted(self, job)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        known = {line.source: line for line in self.store.documents()}.get(job.source)
        if known is not None and (known.id, known.split) == (digest, self.ingest.split):
            self._keep_file(path, digest, known.kind)
            return job.now(state="done", change="unchanged", passages=known.chunks)
        read = self._file_reader().read(path, job.source, noted.pages)
        if read.refused == "not readable":  # the system's fault, not the document's
            raise UserError(read.line)
        if read.refused:
            raise Unreadable(read.refused, read.line)
        vectors = self._encode(read.chunks, noted)
        with self._files_lock:
            self._keep_file(path, digest, read.document.kind)
            change = self.store.add(read.document, read.chunks, split=self.ingest.split, vectors=vectors)
            if known is not None:
                self._drop_file(known.id)
        return self._now[job.id].now(state="done", change=change, passages=len(read.chunks))

    def _file_reader(self) -> Any:
        """The thread's own, made at its first file, as that loads the encoder."""
        if self._reader is None:
            from qa_system.read_files import FileReader

            config = self.config
            limits = ReaderConfig(
                page_seconds=config.page_seconds,
                document_seconds=config.document_seconds,
                max_mb=config.max_mb,
                max_pages=config.max_pages,
            )
            self._reader = self._opened.enter_context(FileReader(self.ingest, self.store.embedder, limits))
        return self._reader

    def _encode(self, chunks: list[Chunk], noted: "_Noted") -> Any:
        import numpy as np

        texts = [searched_text(chunk) for chunk in chunks]
        vectors = []
        for start in range(0, len(texts), BATCH):
            vectors.append(self.store.embedder.encode(texts[start : start + BATCH], "passage"))
            noted.passages(min(start + BATCH, len(texts)), len(texts))
            time.sleep(BREATH_S)
        return np.concatenate(vectors)

    def _drop_file(self, document_id: str) -> None:
        """Forget a PDF that no document in the store was read from any more."""
        if document_id not in {line.id for line in self.store.documents()}:
            self._file(document_id).unlink(missing_ok=True)

    def _keep_file(self, path: Path, digest: str, kind: str) -> None:
        if kind == "pdf":
            with suppress(FileExistsError):
                os.link(path, self._file(digest))

    def _end(self, job: Job, file: BinaryIO) -> None:
        """Write down how it ended; only then the upload may go."""
        try:
            self.book.write(job)
            (self.waiting / f"{job.id}{job.suffix}").unlink(missing_ok=True)
        except OSError as error:  # a full disk: the upload stays, the next start tries again
            log.error("%s: not written down: %s", job.id, describe_os_error(error))
        file.close()
        self.leave_place()
        self._now.pop(job.id, None)


class _Noted:
    """Puts a job's progress where others see it; the disk hears of it twice a second."""

    def __init__(self, library: Library, job: Job) -> None:
        self.library, self.job, self.last = library, job, 0.0

    def pages(self, done: int, total: int) -> None:
        self._note("reading", done, total)

    def passages(self, done: int, total: int) -> None:
        self._note("encoding", done, total)

    def _note(self, state: str, done: int, total: int) -> None:
        if self.library._stopping.is_set():
            raise _Stopping
        job = self.library._now[self.job.id] = self.job.now(state=state, done=done, total=total)
        if time.monotonic() - self.last > NOTED_EVERY_S:
            self.last = time.monotonic()
            with suppress(OSError):
                self.library.book.write(job)


def _lock(file: BinaryIO) -> bool:
    """Whether nobody else holds this file; it is then ours until it is closed, or our process ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _in_words(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    return describe_os_error(error) if isinstance(error, OSError) else f"a fault of ours ({type(error).__name__})"
