"""The same answers from many replicas, on one machine or a cluster: Ray Serve. Needs the extra `scale`.

python -m model_optimization.deployment.ray_server --models FOLDER --replicas 2
python -m model_optimization.deployment.ray_server --models FOLDER --address auto      on a cluster that runs already

Ray starts replicas, replaces those that die, and spreads requests over them; within one, `@serve.batch` puts windows of
several requests together up to a budget of tokens, as batching.py does, but without length buckets. Another version is
served by starting the program again with it: Ray replaces replica by replica.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_optimization.config import PROJECT
from shared.config import check, parse_config
from shared.errors import UserError, reason_of, run_program
from shared.http_server import warn_where_open
from shared.logging import get_logger, setup_logging
from shared.ray_cluster import connect

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RayConfig:
    """Serve models by Ray."""

    models: str | None = None
    """Folder with a folder for each version, to be seen by every machine; by default the classifier that ships."""
    version: str | None = None
    """Version to serve; by default the newest."""
    replicas: int = 2
    """Processes that answer, each with a model of its own."""
    threads: int = 1
    """Processor threads of a replica."""
    token_budget: int = 256
    """Tokens of a batch, padding included."""
    collect_ms: float = 2.0
    """Milliseconds that a batch which is not full waits for company."""
    queue_requests: int = 200
    """Requests that a replica takes at once; as many more may wait, what is beyond is refused with 503."""
    host: str = "127.0.0.1"
    """Address to listen at; no key is asked for here, so others belong behind a proxy that asks for one."""
    port: int = 8000
    """Port to listen at."""
    address: str | None = None
    """A cluster that runs already, as `auto`; by default one is started on this machine."""

    def __post_init__(self) -> None:
        for name in ("replicas", "threads", "token_budget", "queue_requests"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")
        check(0 <= self.collect_ms <= 1000, "collect_ms", self.collect_ms, "give 0 to 1000")
        check(0 < self.port < 65536, "port", self.port, "give one from 1 to 65535")


def build(config: RayConfig, models: Path) -> Any:
    """The application, for `serve.run`."""
    from fastapi import FastAPI, Response
    from ray import serve

    from model_optimization.deployment.model_store import ModelStore, UnknownVersion
    from model_optimization.deployment.routes import STATUSES
    from model_optimization.deployment.schema import MAX_BODY_BYTES, ClassifyRequest, ClassifyResponse, to_answers
    from model_optimization.runtime import mean_of_windows, pad
    from shared.http_routes import explain_errors, problems

    api = FastAPI(title="Sentiment of texts", version="1", max_body_size=MAX_BODY_BYTES)
    explain_errors(api, STATUSES)
    budget = config.token_budget

    def padded_tokens(windows: Sequence[list[int]]) -> int:
        tokens = max(map(len, windows)) * len(windows)
        return min(budget, tokens) if len(windows) == 1 else tokens  # one alone is always taken

    @serve.deployment(
        num_replicas=config.replicas,
        max_ongoing_requests=config.queue_requests,
        max_queued_requests=config.queue_requests,
        ray_actor_options={"num_cpus": config.threads},
    )
    @serve.ingress(api)
    class Sentiment:
        def __init__(self) -> None:
            self.served = ModelStore(models, config.version, config.threads).serving

        @serve.batch(max_batch_size=budget, batch_wait_timeout_s=config.collect_ms / 1000, batch_size_fn=padded_tokens)
        async def logits(self, windows: list[list[int]]) -> list[np.ndarray]:
            return list(await asyncio.to_thread(self.served.variant.engine, *pad(windows)))

        @api.post("/v1/classify", responses=problems(400, 404, 413, 422, 503))
        async def classify(self, asked: ClassifyRequest, response: Response) -> ClassifyResponse:
            served = self.served
            if asked.version not in (None, served.version):
                raise UnknownVersion(f"version {asked.version!r} is not served here")
            texts, by_text = await asyncio.to_thread(served.read, asked.texts)
            rows = await asyncio.gather(*(self.logits(window) for windows in by_text for window in windows))
            response.headers["X-Replica"] = serve.get_replica_context().replica_id.unique_id
            answers = to_answers(served.variant.settings, texts, mean_of_windows(np.stack(rows), by_text))
            return ClassifyResponse(version=served.version, answers=answers)

        @api.get("/readyz")
        async def readyz(self) -> dict[str, str]:
            return {"status": "ready", "version": self.served.version}

    return Sentiment.bind()  # type: ignore[attr-defined]


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(RayConfig, argv, prog=f"python -m {PROJECT}.deployment.ray_server")
    setup_logging()
    warn_where_open(config.host, None, "ask", "put it behind a proxy that asks for one")
    try:
        from ray import serve
    except ImportError as error:
        remedy = "run `make setup EXTRAS=scale`, or use fastapi_server"
        raise UserError(f"no Ray Serve ({reason_of(error)}): {remedy}") from error
    if config.models:
        models = Path(config.models).resolve()
    else:
        from model_optimization.deployment.default_model import default_models

        models = default_models()
    ray = connect(config.address, include_dashboard=False)
    serve.start(http_options={"host": config.host, "port": config.port})
    try:
        serve.run(build(config, models))
        log.info("%d replicas at http://%s:%d", config.replicas, config.host, config.port)
        _wait_for_the_end()
    finally:
        serve.shutdown()
        ray.shutdown()


def _wait_for_the_end() -> None:
    from shared.interrupt import StopRequest

    with StopRequest() as stop:
        while not stop.requested:
            time.sleep(0.2)


if __name__ == "__main__":
    run_program(main)
