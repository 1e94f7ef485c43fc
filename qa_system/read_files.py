"""Files to passages: each is read, and cut into what the store's encoder can read. Used here and by Ray's workers."""

from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from qa_system.document_processor.errors import Unreadable
from qa_system.document_processor.reader import DocumentReader, OnPage, ReaderConfig
from qa_system.document_processor.text_splitter import SplitterConfig, split_document, token_counter
from qa_system.ingest import IngestConfig, Read
from qa_system.retrieval.dense_retrieval import Embedder
from shared.asset_table import ASSETS
from shared.assets import asset_path
from shared.errors import UserError, describe_os_error
from shared.hub import resolve_model

MARKS = 2  # tokens that an encoder puts around a text


class FileReader:
    """Reads one file after another; use it in a `with` block."""

    def __init__(self, config: IngestConfig, embedder: Embedder, limits: ReaderConfig | None = None) -> None:
        """Raises UserError for passages that are longer than the encoder can read."""
        most = embedder.max_tokens - MARKS
        if config.max_tokens > most:
            raise UserError(f"--max_tokens {config.max_tokens}: {embedder.name} reads {most}: give at most that")
        self.config = config
        self._split = SplitterConfig(config.max_tokens, config.overlap_tokens)
        # e5-multilingual comes without a tokenizer file. MiniLM's counts each Han character as one token and has a
        # smaller vocabulary, so that its counts are higher and nothing becomes too long.
        name = "minilm" if embedder.name in ASSETS else embedder.name
        folder = asset_path(name) if name in ASSETS else resolve_model(name, suggestion="minilm")
        self._count_tokens = token_counter(folder / "tokenizer.json")
        self._reader = DocumentReader(replace(limits or ReaderConfig(), ocr=config.ocr))

    def __enter__(self) -> Self:
        self._reader.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.__exit__(kind, error, trace)

    def read(self, path: Path, source: str | None = None, on_page: OnPage = lambda done, total: None) -> Read:
        """The document, known as `source`, and its chunks, or why there are none.

        Raises nothing that a file could be the reason of.
        """
        try:
            document = self._reader.read(path, self.config.password, source, on_page)
        except Unreadable as error:
            return Read(path, refused=error.reason, line=str(error))
        except OSError as error:
            return Read(path, refused="not readable", line=f"{path}: {describe_os_error(error)}")
        return Read(path, document, split_document(document, self._count_tokens, self._split))
