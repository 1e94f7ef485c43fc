"""A server that answers over HTTP from a folder of models, and takes new ones without a pause.

python -m model_optimization.deployment.fastapi_server --models FOLDER
uvicorn model_optimization.deployment.fastapi_server:app          settings as SERVE_MODELS=FOLDER, SERVE_THREADS=1, ...

curl localhost:8000/v1/classify -H 'Content-Type: application/json' -d '{"texts": ["a film to love"]}'

Without a folder it serves the classifier that ships with bert_sentiment_analysis in int8, which it makes at the first
start. One process is one replica; for more, start several behind a balancer, or Ray Serve (ray_server.py).
"""

import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from model_optimization.config import PROJECT
from shared.config import check, environment_flags, parse_config
from shared.errors import run_program
from shared.http_server import serve, warn_where_open
from shared.logging import setup_logging

PREFIX = "SERVE_"


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Serve models over HTTP. Each setting is also an environment variable: SERVE_ and its name."""

    models: str | None = None
    """Folder with a folder for each version; by default the classifier that ships, in int8."""
    version: str | None = None
    """Version to begin with; by default the newest."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 for all of the machine's, for which a key is wise."""
    port: int = 8000
    """Port to listen at."""
    threads: int | None = None
    """Processor threads for one batch; by default one a core."""
    workers: int = 1
    """Batches computed at once."""
    token_budget: int = 256
    """Tokens of a batch, padding included; 1 answers every text alone."""
    collect_ms: float = 2.0
    """Milliseconds that a batch which is not full waits for company while a worker is free."""
    queue_tokens: int = 16384
    """Tokens that may wait; a request beyond them is refused with 429."""
    body_within_s: float = 10.0
    """Seconds that a request's body may take to arrive."""
    answer_within_s: float = 30.0
    """Seconds after which a request gives up."""
    api_key: str | None = field(default=None, repr=False)
    """Key that clients must send as `Authorization: Bearer KEY`. Better SERVE_API_KEY: others can see flags."""
    admin_key: str | None = field(default=None, repr=False)
    """Key for the routes that change the served model; without one they are closed."""

    def __post_init__(self) -> None:
        check(0 <= self.port < 65536, "port", self.port, "give one from 0 (any free one) to 65535")
        for name in ("workers", "token_budget", "queue_tokens"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")
        check(self.threads is None or self.threads >= 1, "threads", self.threads, "give at least 1")
        check(0 <= self.collect_ms <= 1000, "collect_ms", self.collect_ms, "give 0 to 1000")
        for name in ("body_within_s", "answer_within_s"):
            check(getattr(self, name) > 0, name, getattr(self, name), "give seconds above 0")
        for name in ("api_key", "admin_key"):
            check(getattr(self, name) != "", name, "''", "give a key, or leave it out")


def __getattr__(name: str) -> Any:
    """`app`, made when uvicorn asks for it, so that `--help` does not wait for FastAPI."""
    if name != "app":
        raise AttributeError(name)
    from model_optimization.deployment.routes import create_app

    return create_app(parse_config(ServerConfig, environment_flags(ServerConfig, PREFIX, os.environ)))


def main(argv: Sequence[str] | None = None) -> None:
    flags = [*environment_flags(ServerConfig, PREFIX, os.environ), *(sys.argv[1:] if argv is None else argv)]
    config = parse_config(ServerConfig, flags, prog=f"python -m {PROJECT}.deployment.fastapi_server")
    setup_logging()
    warn_where_open(config.host, config.api_key, "ask")
    from model_optimization.deployment.routes import create_app, open_store

    app = create_app(config, open_store(config))
    gc.freeze()  # else a full collection now and then goes through all that was imported, and holds up the requests
    serve(app, config.host, config.port, finish_within_s=int(config.body_within_s + config.answer_within_s) + 1)


if __name__ == "__main__":
    run_program(main)
