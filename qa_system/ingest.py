"""Put documents into a store, from where they can be searched.

python -m qa_system.ingest report.pdf notes/ --store runs/qa_system/store
python -m qa_system.ingest library/ --store library --embedding e5-multilingual
python -m qa_system.ingest library/ --store http://milvus:19530 --engine ray --address auto

A folder is taken with all it holds, in any depth. A file that cannot be read is named with the reason, and the next one
goes on. Each document is in the store once it is done: after a kill the same command goes on where it was, and a file
that did not change is not read again.
"""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from shared.config import check, parse_config, split_texts
from shared.errors import UserError, run_program
from shared.interrupt import StopRequest
from shared.logging import get_logger, print_result, progress_bar, setup_logging
from shared.timing import Timer

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """Put files and folders into a store."""

    store: str
    """Folder of the store, or address of a Milvus server; made if it is not there."""
    embedding: str | None = None
    """Encoder of a new store: minilm (English, the default), e5-multilingual (Chinese and English), a folder or a hub
    name."""
    max_tokens: int = 200
    """Most tokens of a passage, in the encoder's count."""
    overlap_tokens: int = 40
    """Most tokens that a passage takes over from the one before."""
    ocr: bool = True
    """Recognise the text of scanned pages."""
    password: str | None = field(default=None, repr=False)
    """Opens the encrypted files among them."""
    engine: Literal["local", "ray"] = "local"
    """Where reading and encoding run: in this process, or on a Ray cluster."""
    address: str | None = None
    """The Ray cluster's; by default one is started on this machine."""
    workers: int = 2
    """Ray actors that read and encode."""

    def __post_init__(self) -> None:
        check(self.max_tokens >= 8, "max_tokens", self.max_tokens, "give at least 8")
        fits = 0 <= self.overlap_tokens <= self.max_tokens // 2
        check(fits, "overlap_tokens", self.overlap_tokens, "give 0 to half of --max_tokens")
        check(self.workers >= 1, "workers", self.workers, "give at least 1")

    @property
    def split(self) -> str:
        """How documents are cut, as the store keeps it: another way counts as another document."""
        return f"{self.max_tokens} tokens, {self.overlap_tokens} overlap, {'' if self.ocr else 'no '}ocr"


class Read(NamedTuple):
    """A file that was read, cut and, where that happened elsewhere, encoded; or the reason why it was not."""

    path: Path
    document: Any = None
    chunks: Sequence[Any] = ()
    vectors: Any = None
    refused: str = ""
    line: str = ""


def files_of(paths: Sequence[str], store: str) -> list[Path]:
    """The files themselves, and all in the folders, by name; hidden ones only where they are named themselves.

    What a store in one of the folders keeps is left out. Raises UserError for a path that is not there, and for none.
    """
    kept = Path(store).resolve()
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder: check the path")
        below = sorted(path.rglob("*")) if path.is_dir() else [path]
        found |= {
            each: None
            for each in below
            if each.is_file() and (each == path or not (_is_hidden(each, path) or _is_stores(each, path, kept)))
        }
    if not found:
        raise UserError(f"{', '.join(paths) or 'no paths'}: no files to ingest: name files or folders")
    return list(found)


def ingest(config: IngestConfig, paths: Sequence[str]) -> dict[str, Any]:
    """Put the files into the store; gives counts, and the reasons of the files that were refused."""
    from qa_system.store import open_store

    files = files_of(paths, config.store)
    with Timer() as timer, StopRequest() as stop:
        store = open_store(config.store, config.embedding, create=True)
        known = {line.source: line.id for line in store.documents() if line.split == config.split}
        new = [path for path in files if not _is_known(path, known)]
        counts: Counter[str] = Counter(unchanged=len(files) - len(new))
        refused: Counter[str] = Counter()
        passages = 0
        with progress_bar("ingesting", len(files), done=len(files) - len(new)) as update:
            for read in _read_all(config, store, new):
                if read.refused:
                    refused[read.refused] += 1
                    log.warning("refused: %s", read.line)
                else:
                    change = store.add(read.document, read.chunks, split=config.split, vectors=read.vectors)
                    counts[change] += 1
                    passages += len(read.chunks)
                update(done=sum(counts.values()) + sum(refused.values()), note=read.path.name)
                if stop.requested:
                    log.info("stopped: run the same command again to go on")
                    break
        store.close()
    done = {change: counts[change] for change in ("added", "updated", "unchanged")}
    return {"files": len(files), **done, "passages": passages, "refused": dict(refused), "seconds": timer.seconds}


def _read_all(config: IngestConfig, store: Any, files: Sequence[Path]) -> Iterator[Read]:
    if config.engine == "ray":
        from qa_system.ray_ingest import read_with_ray

        yield from read_with_ray(config, store.embedding, files)
        return
    from qa_system.read_files import FileReader

    with FileReader(config, store.embedder) as reader:
        yield from map(reader.read, files)


def _is_known(path: Path, known: dict[str, str]) -> bool:
    if str(path) not in known:
        return False
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == known[str(path)]
    except OSError:  # who reads it says what is wrong with it
        return False


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _is_stores(path: Path, folder: Path, store: Path) -> bool:
    """Whether a file in `folder` is of the store there, whose folder may be this one, or one below it."""
    if store not in path.resolve().parents:
        return False
    from qa_system.document_processor.vector_store import FILE

    return store != folder.resolve() or path.name.startswith(FILE)


def main(argv: Sequence[str] | None = None) -> None:
    options, paths = split_texts(sys.argv[1:] if argv is None else argv)
    config = parse_config(IngestConfig, options, prog="python -m qa_system.ingest PATH...")
    setup_logging()
    print_result(ingest(config, paths))


if __name__ == "__main__":
    run_program(main)
