"""`ingest`: every PDF of a folder, among them damaged, encrypted, scanned and very long ones.

Read and cut into chunks as for the index, then by what pypdfium2 and pypdf extract on their own, in the same run. The
folder's manifest.jsonl, where there is one, names passwords and the files that no reader can open.
"""

import json
import logging
import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from qa_system.document_processor.documents import Document
from qa_system.document_processor.errors import Unreadable
from qa_system.document_processor.reader import DocumentReader, ReaderConfig
from qa_system.document_processor.text_splitter import split_document, token_counter
from shared.assets import asset_path
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome
from shared.errors import UserError
from shared.logging import get_logger, progress_bar
from shared.timing import Timer

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class IngestConfig(BenchmarkConfig):
    """Read the PDFs of a folder: what is refused and why, what is recovered, how fast, in how much memory."""

    data: str
    """Folder of PDF files."""
    ocr: bool = True
    """Recognise the text of scanned pages."""


class _File(NamedTuple):
    path: Path
    password: str | None
    expected: str | None  # the reason for which it must be refused, None if it must be read, "" if nobody says


class _Read(NamedTuple):
    document: Document | None
    reason: str
    seconds: float


def measure_ingest(config: IngestConfig) -> Outcome:
    files = _files(Path(config.data))
    count_tokens = token_counter(asset_path("minilm") / "tokenizer.json")
    read: dict[Path, _Read] = {}
    longest = chunks = 0
    with (
        DocumentReader(ReaderConfig(ocr=config.ocr)) as reader,
        progress_bar("reading", len(files)) as update,
    ):
        for done, file in enumerate(files):
            update(done=done, note=file.path.name)
            with Timer() as timer:
                result = _read(reader, file)
                cut = split_document(result.document, count_tokens) if result.document else []
            read[file.path] = result._replace(seconds=timer.seconds)
            chunks += len(cut)
            longest = max([longest, *count_tokens([chunk.text for chunk in cut])]) if cut else longest
    peak_mb = sum(_peak_mb(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    bare = {name: {file.path: extract(file) for file in files} for name, extract in BARE.items()}
    return _outcome(files, read, bare, {"chunks": chunks, "longest_chunk_tokens": longest, "peak_mb": peak_mb})


def _files(folder: Path) -> list[_File]:
    paths = sorted(folder.glob("*.pdf"))
    if not paths:
        raise UserError(f"--data {folder}: no PDF files here: give a folder of them")
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []
    entries = {entry["file"]: entry for entry in map(json.loads, lines)}
    return [_file(path, entries.get(path.name)) for path in paths]


def _file(path: Path, entry: dict[str, Any] | None) -> _File:
    if entry is None:
        return _File(path, None, "")
    unreadable = "error" in entry.get("pdfium", {})
    return _File(
        path, entry.get("password") or None, (None, "empty" if entry["bytes"] == 0 else "malformed")[unreadable]
    )


def _read(reader: DocumentReader, file: _File) -> _Read:
    try:
        return _Read(reader.read(file.path, file.password, file.path.name), "", 0)
    except Unreadable as error:
        log.info("refused: %s", error)
        return _Read(None, error.reason, 0)


class _Bare(NamedTuple):
    pages: int
    characters: int
    seconds: float


def _bare(pages_of: Callable[[_File], Iterator[str]]) -> Callable[[_File], _Bare]:
    def extract(file: _File) -> _Bare:
        pages = characters = 0
        with Timer() as timer, suppress(Exception):  # some of these files are there to make them fail
            for text in pages_of(file):
                pages += 1
                characters += _visible(text)
        return _Bare(pages, characters, timer.seconds)

    return extract


def _pypdfium2_pages(file: _File) -> Iterator[str]:
    import pypdfium2

    with pypdfium2.PdfDocument(file.path, password=file.password) as pdf:
        for page in pdf:
            yield page.get_textpage().get_text_range()
            page.close()


def _pypdf_pages(file: _File) -> Iterator[str]:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it has a lot to say about these files
    for page in pypdf.PdfReader(file.path, password=file.password).pages:
        yield page.extract_text()


BARE = {"pypdfium2": _bare(_pypdfium2_pages), "pypdf": _bare(_pypdf_pages)}


def _visible(text: str) -> int:
    return sum(not letter.isspace() for letter in text)


def _peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def _outcome(
    files: list[_File], read: dict[Path, _Read], bare: dict[str, dict[Path, _Bare]], more: dict[str, Any]
) -> Outcome:
    documents = {path: each.document for path, each in read.items() if each.document is not None}
    pages = {path: document.pages for path, document in documents.items()}
    statuses = Counter(page.status for each in pages.values() for page in each)
    of_text = [path for path, each in pages.items() if all(page.status in ("text", "empty") for page in each)]
    recovered: dict[str, float] = {}
    for path, reference in bare["pypdfium2"].items():
        if reference.characters:
            ours = _visible(documents[path].text) if path in documents else 0
            recovered[path.name] = min(1.0, ours / reference.characters)
    # What nobody else can open but we can, in part, is no fault.
    unexpected = [
        f"{file.path.name}: {read[file.path].reason}, expected {file.expected or 'to be read'}"
        for file in files
        if file.expected != "" and read[file.path].reason not in ("", file.expected)
    ]
    crashes = sum(each.reason in ("crash", "hang") for each in read.values())
    crashed_pages = sum(
        "crashed" in page.reason or "longer than" in page.reason for read_pages in pages.values() for page in read_pages
    )
    seconds = sum(each.seconds for each in read.values())
    result = {
        "files": len(files),
        "indexed": len(documents),
        "refused": dict(sorted(Counter(each.reason for each in read.values() if each.reason).items())),
        "unexpected": unexpected,
        "crashed": crashes + crashed_pages,
        "pages": sum(map(len, pages.values())),
        "text_pages": statuses["text"],
        "ocr_pages": statuses["ocr"],
        "empty_pages": statuses["empty"],
        "failed_pages": statuses["failed"],
        "pages_per_s": sum(map(len, pages.values())) / seconds,
        "text_recovered": sum(recovered.values()) / max(len(recovered), 1),
        "least_recovered": dict(sorted(recovered.items(), key=lambda each: each[1])[:8]),
        **more,
    }
    rows = [
        _row(
            "ours",
            of_text,
            {path: _Bare(len(pages[path]), _visible(documents[path].text), read[path].seconds) for path in of_text},
        )
    ]
    rows += [_row(name, of_text, found) for name, found in bare.items()]
    return Outcome(result, rows, [*rows])


def _row(tool: str, paths: list[Path], found: dict[Path, _Bare]) -> dict[str, Any]:
    """Speed over the files of which no page was recognised or failed."""
    pages = sum(found[path].pages for path in paths)
    seconds = sum(found[path].seconds for path in paths)
    characters = sum(found[path].characters for path in paths)
    return {"tool": tool, "pages": pages, "characters": characters, "pages_per_s": pages / max(seconds, 1e-9)}


BENCHMARKS = {"ingest": Benchmark(IngestConfig, measure_ingest, data="pdfs")}
