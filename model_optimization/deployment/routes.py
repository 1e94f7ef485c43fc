"""The server's routes.

POST /v1/classify          texts to labels and probabilities
GET  /v1/models            versions: which is serving, which was before, which are in the folder
POST /v1/models/swap       serve another version            (these three want the admin's key)
POST /v1/models/rollback   serve the one before again
GET  /healthz  /readyz  /metrics

Too much waiting is 429 with Retry-After; too large a body, or more text than may ever wait, is 413; what is not as the
schema says, or no JSON, is 422; what is no UTF-8, or nested too deeply, is 400; a body that takes too long is 408; no
answer in time is 503; an engine that failed is 500; a version that is not there is 404; a swap beside another, or to
a model that does not answer, is 409.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from model_optimization.deployment.batching import Batcher, EngineFailed, QueueFull, TooMuchText
from model_optimization.deployment.model_store import Busy, ModelStore, UnknownVersion
from model_optimization.deployment.schema import MAX_BODY_BYTES, ClassifyRequest, ClassifyResponse, to_answers
from model_optimization.deployment.server_metrics import ServerMetrics
from model_optimization.runtime import mean_of_windows
from shared.errors import UserError
from shared.http_envelope import Envelope, Limits, json_log
from shared.http_routes import explain_errors, key_needed, problems, unless_client_leaves
from shared.logging import get_logger

if TYPE_CHECKING:
    from model_optimization.deployment.fastapi_server import ServerConfig

log = get_logger(__name__)
SHORT = 4_000  # characters of a request that are cleaned and cut into tokens within a millisecond or two
STUCK_S = 60.0  # a batch that takes longer will not come back


class SwapRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Annotated[str, Field(min_length=1, max_length=64)]


class Models(BaseModel):
    """The version that answers, the one to go back to, and those in the folder."""

    serving: str
    previous: str | None
    versions: list[str]


def open_store(config: "ServerConfig") -> ModelStore:
    """The models that the settings name. Raises UserError where there is none that answers."""
    if config.models:
        folder = Path(config.models)
    else:
        from model_optimization.deployment.default_model import default_models

        folder = default_models()
    return ModelStore(folder, config.version, config.threads)


class Service:
    """What the routes share: the models and the batcher, which are there once it is running, and the numbers."""

    store: ModelStore
    batcher: Batcher

    def __init__(self, config: "ServerConfig", store: ModelStore | None) -> None:
        self.config, self._given = config, store
        self.metrics = ServerMetrics(lambda: self.batcher.waiting_tokens)

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """Open the model before the server listens. Raises UserError where there is none."""
        config = self.config
        with json_log():
            self.store = await asyncio.to_thread(open_store, config) if self._given is None else self._given
            self.metrics.now_serving(self.store.serving.version)
            self.batcher = Batcher(
                config.token_budget, config.collect_ms, config.queue_tokens, config.workers, self.metrics.on_batch
            )
            log.info(
                "ready", extra={"facts": {"version": self.store.serving.version, "models": str(self.store.folder)}}
            )
            yield
            self.batcher.close()
            log.info("stopped")

    async def classify(self, asked: ClassifyRequest, request: Request) -> ClassifyResponse:
        served = self.store.get(asked.version)
        started = perf_counter()
        if sum(map(len, asked.texts)) <= SHORT:
            texts, by_text = served.read(asked.texts)
        else:
            texts, by_text = await asyncio.to_thread(served.read, asked.texts)
        self.metrics.stages["read"].observe(perf_counter() - started)
        windows = [window for windows in by_text for window in windows]
        facts = request.state.facts
        facts |= {"version": served.version, "texts": len(texts), "tokens": sum(map(len, windows))}
        answer = self.batcher.submit(served.variant.engine, windows)
        logits = mean_of_windows(await unless_client_leaves(answer, request, self.config.answer_within_s), by_text)
        answers = to_answers(served.variant.settings, texts, logits)
        return ClassifyResponse(version=served.version, answers=answers)

    def models(self) -> Models:
        previous = self.store.previous
        return Models(
            serving=self.store.serving.version,
            previous=previous.version if previous else None,
            versions=self.store.versions(),
        )

    async def swap(self, version: str) -> Models:
        try:
            await self.store.swap(version)
        except UserError as error:
            self.metrics.swaps.labels("refused").inc()
            log.error("swap refused", extra={"facts": {"version": version, "reason": str(error)}})
            raise HTTPException(409, str(error)) from error  # the request was right: it is the folder that is not
        self.metrics.swaps.labels("done").inc()
        return self._changed("swapped")

    def roll_back(self) -> Models:
        self.store.roll_back()
        self.metrics.swaps.labels("rolled_back").inc()
        return self._changed("rolled back")

    def _changed(self, how: str) -> Models:
        self.metrics.now_serving(self.store.serving.version)
        log.info(how, extra={"facts": {"version": self.store.serving.version}})
        return self.models()


async def closed() -> None:
    raise HTTPException(403, "closed: start the server with SERVE_ADMIN_KEY")


def create_app(config: "ServerConfig", store: ModelStore | None = None) -> ASGIApp:
    """The server as an ASGI application, with numbers of its own. Without a store it opens one when it is started."""
    service = Service(config, store)
    app = FastAPI(title="Sentiment of texts", version="1", lifespan=service.running)
    app.state.service = service
    users = [key_needed(config.api_key)] if config.api_key else []
    admins = [key_needed(config.admin_key) if config.admin_key else Depends(closed)]

    @app.post("/v1/classify", dependencies=users, responses=problems(400, 401, 404, 408, 413, 422, 429, 500, 503))
    async def classify(asked: ClassifyRequest, request: Request) -> ClassifyResponse:
        return await service.classify(asked, request)

    @app.get("/v1/models", dependencies=admins, responses=problems(401, 403))
    async def models() -> Models:
        return service.models()

    @app.post("/v1/models/swap", dependencies=admins, responses=problems(400, 401, 403, 404, 409, 413, 422))
    async def swap(asked: SwapRequest) -> Models:
        return await service.swap(asked.version)

    @app.post("/v1/models/rollback", dependencies=admins, responses=problems(401, 403, 409))
    async def roll_back() -> Models:
        return service.roll_back()

    @app.get("/healthz", responses=problems(503))
    async def healthz() -> dict[str, str]:
        """Whether to leave the process alone: 503 when its engine does not come back."""
        if service.batcher.busy_s() > STUCK_S:
            raise HTTPException(503, "the engine does not come back")
        return {"status": "alive"}

    @app.get("/readyz", responses=problems(503))
    async def readyz() -> dict[str, str]:
        """Whether to send requests here: 503 while as much waits as may."""
        if service.batcher.waiting_tokens >= config.queue_tokens:
            raise HTTPException(503, "as much waits as may")
        return {"status": "ready", "version": service.store.serving.version}

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    explain_errors(app, STATUSES)
    return Envelope(app, service.metrics.on_request, Limits(MAX_BODY_BYTES, config.body_within_s))


STATUSES: dict[type[Exception], int] = {
    UnknownVersion: 404,
    Busy: 409,
    TooMuchText: 413,
    UserError: 422,
    QueueFull: 429,
    EngineFailed: 500,
}
