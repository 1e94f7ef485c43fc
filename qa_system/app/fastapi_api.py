"""A server that takes documents and answers questions about them over HTTP.

python -m qa_system.app.fastapi_api --store runs/qa_system/store
uvicorn qa_system.app.fastapi_api:app            settings as QA_STORE=FOLDER, QA_API_KEY=..., ...

curl -H 'Content-Type: application/octet-stream' --data-binary @paper.pdf 'localhost:8000/v1/documents?name=paper.pdf'
curl -N localhost:8000/v1/ask -H 'Content-Type: application/json' -d '{"question": "Who won?", "stream": true}'

It listens on this machine alone unless it is told otherwise, and writes into one folder. Several of it may share that.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.config import check, environment_flags, parse_config
from shared.errors import run_program
from shared.http_server import serve, warn_where_open
from shared.logging import setup_logging

PREFIX = "QA_"


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Serve a store over HTTP. Each setting is also an environment variable: QA_ and its name."""

    store: str = "runs/qa_system/store"
    """Folder of the store, or address of a Milvus server; made if it is not there."""
    embedding: str | None = None
    """Encoder of a new store: minilm (English, the default) or e5-multilingual (Chinese and English)."""
    uploads: str | None = None
    """Folder for what is uploaded; by default the store's own."""
    generator: str = "extractive"
    """extractive, smollm2, another model by hub name or path, or the http:// address of a server."""
    k: int = 5
    """Passages that an answer is made from."""
    threshold: float | None = None
    """The confidence, 0 to 1, below which there is no answer; by default what is best in our trials."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 for all of the machine's, for which a key is wise."""
    port: int = 8000
    """Port to listen at."""
    threads: int | None = None
    """Processor threads of one computation; by default one a core."""
    askers: int = 2
    """Questions answered at a time."""
    queue_questions: int = 64
    """Questions that may wait; one beyond them is refused with 429."""
    queue_uploads: int = 64
    """Files that may wait to be read; one beyond them is refused with 429."""
    max_mb: float = 50.0
    """Largest upload, in megabytes."""
    max_pages: int = 1000
    """Most pages of a document."""
    page_seconds: float = 60.0
    """Time that one page may take to read."""
    document_seconds: float = 900.0
    """Time that a document may take to read."""
    ocr: bool = True
    """Recognise the text of scanned pages."""
    body_within_s: float = 10.0
    """Seconds that a question's body may take to arrive."""
    upload_within_s: float = 300.0
    """Seconds that a file may take to arrive."""
    answer_within_s: float = 60.0
    """Seconds after which a question is given up."""
    api_key: str | None = field(default=None, repr=False)
    """Key that clients must send as `Authorization: Bearer KEY`. Better QA_API_KEY: others can see flags."""

    def __post_init__(self) -> None:
        check(0 <= self.port < 65536, "port", self.port, "give one from 0 (any free one) to 65535")
        for name in ("k", "askers", "queue_questions", "queue_uploads", "max_pages"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")
        check(self.threads is None or self.threads >= 1, "threads", self.threads, "give at least 1")
        inside = self.threshold is None or 0 <= self.threshold <= 1
        check(inside, "threshold", self.threshold, "give 0 to 1")
        for name in ("max_mb", "page_seconds", "document_seconds"):
            check(getattr(self, name) > 0, name, getattr(self, name), "give a number above 0")
        for name in ("body_within_s", "upload_within_s", "answer_within_s"):
            check(getattr(self, name) > 0, name, getattr(self, name), "give seconds above 0")
        check(self.api_key != "", "api_key", "''", "give a key, or leave it out")
        remote = self.store.startswith(("http://", "https://")) or self.store.endswith(".db")
        check(not remote or self.uploads is not None, "uploads", self.uploads, "name a folder beside such a store")


def __getattr__(name: str) -> Any:
    """`app`, made when uvicorn asks for it, so that `--help` does not wait for FastAPI."""
    if name != "app":
        raise AttributeError(name)
    from qa_system.app.routes import create_app

    return create_app(parse_config(ServerConfig, environment_flags(ServerConfig, PREFIX, os.environ)))


def main(argv: Sequence[str] | None = None) -> None:
    flags = [*environment_flags(ServerConfig, PREFIX, os.environ), *(sys.argv[1:] if argv is None else argv)]
    config = parse_config(ServerConfig, flags, prog="python -m qa_system.app.fastapi_api")
    setup_logging()
    warn_where_open(config.host, config.api_key, "read and write")
    from qa_system.app.routes import create_app

    serve(create_app(config), config.host, config.port, finish_within_s=5)


if __name__ == "__main__":
    run_program(main)
