"""Read a document of any kind: PDF, text, Markdown, HTML, DOCX; in a process of its own, with a time limit a page.

    with DocumentReader() as reader:
        document = reader.read(Path("paper.pdf"))

A page that hangs or crashes its parser is reported as failed and the next page goes on in a fresh process. A document
that cannot be read raises Unreadable with the reason; one without a single letter does so too.
"""

import hashlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from qa_system.document_processor.assemble import assemble
from qa_system.document_processor.documents import Document, Page
from qa_system.document_processor.errors import Unreadable
from qa_system.document_processor.file_kind import kind_of
from qa_system.document_processor.page_lines import Line
from qa_system.document_processor.pdf_reader import ReadPage
from qa_system.document_processor.running_lines import drop_running_lines
from shared.config import check
from shared.logging import get_logger

log = get_logger(__name__)

WORKER = ("-c", "from qa_system.document_processor.worker import main; main()")
OnPage = Callable[[int, int], None]
"""Told how many pages are read, and how many there are."""

MOST_DEATHS = 3  # of worker processes over one document, then it is given up


@dataclass(frozen=True)
class ReaderConfig:
    """How documents are read."""

    ocr: bool = True
    """Recognise the text of scanned pages."""
    page_seconds: float = 180.0
    """Time that one page may take."""
    document_seconds: float = 7200.0
    """Time that a whole document may take."""
    max_mb: float = 200.0
    """Largest file that is read, in megabytes."""
    max_pages: int = 5000
    """Most pages a document may have."""
    memory_mb: int = 3000
    """Memory that the reading process may take (kept on Linux only)."""

    def __post_init__(self) -> None:
        check(self.page_seconds > 0, "page_seconds", self.page_seconds, "give a number above 0")
        check(self.document_seconds > 0, "document_seconds", self.document_seconds, "give a number above 0")
        check(self.max_mb > 0, "max_mb", self.max_mb, "give a number above 0")
        check(self.max_pages >= 1, "max_pages", self.max_pages, "give at least 1")
        check(self.memory_mb >= 500, "memory_mb", self.memory_mb, "give at least 500")


class DocumentReader:
    """Reads documents one after another; use it in a `with` block, by one thread."""

    def __init__(self, config: ReaderConfig | None = None) -> None:
        self.config = config or ReaderConfig()
        self._worker: _Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_worker()

    def read(
        self,
        path: Path,
        password: str | None = None,
        source: str | None = None,
        on_page: OnPage = lambda done, total: None,
    ) -> Document:
        """The document in this file; `source` is the name it is known by, by default the path.

        Raises Unreadable with the reason and one line, which begins with the source.
        """
        source = source or str(path)
        try:
            return self._read(path, password, source, on_page)
        except Unreadable as error:
            raise Unreadable(error.reason, f"{source}: {error}") from error

    def _read(self, path: Path, password: str | None, source: str, on_page: OnPage) -> Document:
        size = path.stat().st_size
        if size == 0:
            raise Unreadable("empty", "the file is empty")
        if size > self.config.max_mb * 1e6:
            raise Unreadable("too large", f"it has {size / 1e6:.0f} MB, more than --max_mb {self.config.max_mb:g}")
        kind = kind_of(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        read = self._pages(path, kind, password, on_page)
        if not any(page.lines for page in read):
            failed = [page for page in read if page.status == "failed"]
            if failed:
                raise Unreadable("malformed", f"none of its {len(read)} pages could be read: {failed[0].reason}")
            raise Unreadable("no text", f"no text on its {len(read)} pages: {read[0].reason}" if read else "no text")
        text, spans = assemble(drop_running_lines(read))
        pages = tuple(Page(*page[:-1]) for page in read) if kind == "pdf" else ()
        return Document(digest, source, kind, text, spans, pages)

    def _pages(self, path: Path, kind: str, password: str | None, on_page: OnPage) -> list[ReadPage]:
        read: list[ReadPage] = []
        give_up = time.monotonic() + self.config.document_seconds
        opened: int | None = None
        request = {"path": str(path), "kind": kind, "password": password, "ocr": self.config.ocr}
        for _ in range(MOST_DEATHS):
            try:
                if self._worker is None:
                    self._worker = _Worker(self.config.memory_mb)
                for message in self._worker.ask({**request, "first": len(read) + 1}, self.config.page_seconds):
                    if "refused" in message:
                        if "trace" in message:
                            log.warning("%s: a fault in the parser\n%s", path, message["trace"])
                        raise Unreadable(*message["refused"])
                    if "opened" in message:
                        opened = message["opened"]
                        if opened > self.config.max_pages:
                            self._end_worker()
                            raise Unreadable("too large", f"{opened} pages, more than {self.config.max_pages}")
                    if "page" in message:
                        assert opened is not None  # the number of pages comes before them
                        number, width, height, status, reason, lines = message["page"]
                        page = ReadPage(number, width, height, status, reason, [_line(values) for values in lines])
                        read.append(page)
                        on_page(len(read), opened)
                        if time.monotonic() > give_up and len(read) < opened:
                            self._end_worker()
                            raise Unreadable(
                                "too large",
                                f"{len(read)} of its {opened} pages took {self.config.document_seconds:g} s: split it",
                            )
                return read
            except _WorkerDied as death:
                self._end_worker()
                if opened is None:
                    raise Unreadable(death.reason, f"opening it {death}") from death
                read.append(ReadPage(len(read) + 1, 0, 0, "failed", f"the page {death}", []))
                log.warning("%s: page %d %s", path, len(read), death)
                last = death
                if len(read) >= opened:
                    return read
        raise Unreadable(last.reason, f"given up after {MOST_DEATHS} pages, of which the last {last}")

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None


def read_document(path: Path, password: str | None = None, config: ReaderConfig | None = None) -> Document:
    """One document, with a reader of its own. Raises Unreadable."""
    with DocumentReader(config) as reader:
        return reader.read(path, password)


def _line(values: list[Any]) -> Line:
    text, joint, box, size, bold, heading = values
    return Line(text, joint, tuple(box) if box else None, size, bold, heading)


class _WorkerDied(Exception):
    def __init__(self, reason: Any, line: str) -> None:
        super().__init__(line)
        self.reason = reason


class _Worker:
    """The child process, and the messages to and from it."""

    def __init__(self, memory_mb: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *WORKER, str(memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # they are pipes
        self._stdin, self._stdout = stdin, stdout
        self._unread = b""

    def ask(self, request: dict[str, Any], seconds: float) -> Iterator[dict[str, Any]]:
        """The answers to a request. Raises _WorkerDied if one does not come in time or the process ends."""
        try:
            self._stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError as error:
            raise self._death() from error
        while True:
            message = json.loads(self._next_line(seconds))
            yield message
            if "end" in message or "refused" in message:
                return

    def _next_line(self, seconds: float) -> bytes:
        pipe = self._stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(seconds):
                    raise _WorkerDied("hang", f"took longer than {seconds:g} s and was stopped")
                piece = os.read(pipe, 1 << 20)
                if not piece:
                    raise self._death()
                self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _death(self) -> _WorkerDied:
        code = self._process.wait()
        return _WorkerDied("crash", f"crashed the parser ({f'signal {-code}' if code < 0 else f'exit code {code}'})")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._stdin, self._stdout):
            pipe.close()
