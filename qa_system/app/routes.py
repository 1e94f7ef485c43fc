"""The server's routes.

POST   /v1/documents?name=paper.pdf    a file as the body: 202 and a job
GET    /v1/documents                   what is in the store
DELETE /v1/documents?source=paper.pdf
GET    /v1/jobs  /v1/jobs/{id}         what became of uploads, with progress
POST   /v1/ask                         the answer, or with `"stream": true` server-sent events: passages, token, answer
GET    /healthz  /readyz  /metrics

Too much waiting is 429 with Retry-After; too large a body is 413; bytes that are no document are 415; what is not as
the schema says is 422; no UTF-8, or another host's name, is 400; a body that takes too long is 408; no answer in time
is 503; a document or job that is not there is 404; a full disk is 507.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from qa_system.app.asking import Asked, Asking, TooLate, TooManyQuestions
from qa_system.app.library import Library, LibraryConfig, LibraryFull
from qa_system.app.names import safe_name
from qa_system.app.schema import (
    MAX_BODY_BYTES,
    AnswerResponse,
    AskRequest,
    Deleted,
    Documents,
    JobLine,
    Jobs,
    answer_response,
    document_line,
    event_sent,
    job_line,
    server_sent,
)
from qa_system.app.server_metrics import ServerMetrics
from qa_system.document_processor.errors import Unreadable
from qa_system.generation.answer_generator import Answer, AnswerGenerator, AnswerSettings
from shared.errors import UserError, describe_os_error
from shared.http_envelope import Envelope, Limits, json_log
from shared.http_routes import explain_errors, key_needed, problems, unless_client_leaves
from shared.http_server import LOOPBACK
from shared.logging import get_logger

if TYPE_CHECKING:
    from qa_system.app.fastapi_api import ServerConfig

log = get_logger(__name__)
STUCK_S = 300.0  # a question that takes longer will not come back
BYTES = "application/octet-stream"
UPLOAD = {"content": {BYTES: {"schema": {"type": "string", "format": "binary"}}}, "required": True}
EVENT = {"event": {"enum": ["passages", "token", "answer", "error"]}, "data": {"type": "string"}}
STREAM = {"text/event-stream": {"schema": {"type": "object", "properties": EVENT, "required": ["event", "data"]}}}
Name = Annotated[str, Query(min_length=1, max_length=1_000, description="What the document shall be called")]


class Service:
    """What the routes share: the library and the questions, which are there once it is running, and the numbers."""

    library: Library
    asking: Asking

    def __init__(self, config: "ServerConfig", generator: AnswerGenerator | None) -> None:
        self.config, self._given = config, generator
        self.metrics = ServerMetrics(
            lambda: self.asking.waiting(), lambda: self.library.waiting_uploads(), lambda: len(self.library.store)
        )

    @asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """Open store and models before the server listens. Raises UserError where that cannot be."""
        config = self.config
        with json_log():
            generator = await asyncio.to_thread(self._open)
            self.asking = Asking(generator, config.askers, config.queue_questions, config.answer_within_s)
            log.info("ready", extra={"facts": {"store": config.store, "passages": len(self.library.store)}})
            yield
            self.asking.close()
            await asyncio.to_thread(self.library.close)
            self.library.store.close()
            log.info("stopped")

    def _open(self) -> AnswerGenerator:
        """The generator, warm; the library is at work then."""
        from qa_system.store import open_store

        config = self.config
        if config.threads is not None:
            import torch

            torch.set_num_threads(config.threads)
        generator = self._given
        if generator is None:
            store = open_store(config.store, config.embedding, create=True)
            settings = AnswerSettings(generator=config.generator, k=config.k, threshold=config.threshold)
            generator = AnswerGenerator(store, settings)
        store = generator.store
        store.embedder.encode(["warm"], "query")
        generator.answer("What is in the store?")
        limits = LibraryConfig(
            max_mb=config.max_mb,
            max_pages=config.max_pages,
            page_seconds=config.page_seconds,
            document_seconds=config.document_seconds,
            queue_uploads=config.queue_uploads,
            ocr=config.ocr,
        )
        self.library = Library(store, Path(config.uploads or config.store), limits)
        self.library.start()
        return generator

    async def upload(self, name: str, request: Request) -> JobLine:
        source = safe_name(name)
        if not source:
            raise HTTPException(422, "the name has no letter or digit: give another")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != BYTES:
            # Not what a form on somebody else's page can send: browsers ask for leave before they send this type.
            raise HTTPException(415, f"send the file itself, with Content-Type: {BYTES}")
        try:
            with self.library.receive(source) as incoming:
                async for data in request.stream():
                    incoming.write(data)
                job = await asyncio.to_thread(incoming.take)
        except (Unreadable, LibraryFull, HTTPException):
            self.metrics.uploads.labels("refused").inc()
            raise
        except OSError as error:
            log.error("not written", extra={"facts": {"fault": describe_os_error(error)}})
            raise HTTPException(507, "the file could not be written: free some disk space") from error
        self.metrics.uploads.labels("taken").inc()
        request.state.facts["job"] = job.id
        return job_line(job)

    async def ask(self, asked: AskRequest, request: Request) -> Answer | Response:
        """The answer; or a stream, whose first event is there already, so that until then a fault has its status."""
        if asked.sources:
            known = {line.source for line in await asyncio.to_thread(self.library.documents)}
            if unknown := [source for source in asked.sources if source not in known]:
                raise HTTPException(404, f"{unknown[0]}: not in the store")
        started = perf_counter()
        under_way = self.asking.ask(asked.question, asked.sources)
        within_s = self.config.answer_within_s + 1  # it gives up by itself before
        streams = False
        try:
            if asked.stream:
                first = await unless_client_leaves(asyncio.ensure_future(anext(under_way)), request, within_s)
                streams = True
                events = self._events(event_sent(first), under_way, started)
                return StreamingResponse(events, headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
            answer = await unless_client_leaves(asyncio.ensure_future(under_way.answer()), request, within_s)
            self._count(answer, started)
            return answer
        except TooLate:
            self.metrics.answers.labels("late").inc()
            raise
        except Exception as error:
            if not isinstance(error, HTTPException | UserError):
                self.metrics.answers.labels("failed").inc()
            raise
        finally:
            if not streams:
                under_way.close()

    async def _events(self, first: bytes, under_way: Asked, started: float) -> AsyncIterator[bytes]:
        try:
            yield first
            async for event in under_way:
                if event.answer is not None:
                    self._count(event.answer, started)
                yield event_sent(event)
        except (TooLate, UserError) as error:
            self.metrics.answers.labels("late" if isinstance(error, TooLate) else "failed").inc()
            yield server_sent("error", {"detail": str(error)})
        except Exception as error:
            self.metrics.answers.labels("failed").inc()
            log.error("answer failed", extra={"facts": {"fault": type(error).__name__}})
            yield server_sent("error", {"detail": "internal error"})
        finally:
            under_way.close()

    def _count(self, answer: Answer, started: float) -> None:
        self.metrics.answers.labels("abstained" if answer.abstained else "answered").inc()
        self.metrics.answer_seconds.observe(perf_counter() - started)


def create_app(config: "ServerConfig", generator: AnswerGenerator | None = None) -> ASGIApp:
    """The server as an ASGI application, with numbers of its own. Without a generator it opens store and models when it
    is started."""
    service = Service(config, generator)
    app = FastAPI(title="Questions to documents", version="1", lifespan=service.running)
    app.state.service = service
    users = [key_needed(config.api_key)] if config.api_key else []

    @app.post(
        "/v1/documents",
        status_code=202,
        dependencies=users,
        responses=problems(400, 401, 408, 413, 415, 422, 429, 507),
        openapi_extra={"requestBody": UPLOAD},
    )
    async def upload(name: Name, request: Request, response: Response) -> JobLine:
        """Bring a document. It can be found once its job is done; one of the same name takes its place."""
        job = await service.upload(name, request)
        response.headers["Location"] = f"/v1/jobs/{job.id}"
        return job

    @app.get("/v1/documents", dependencies=users, responses=problems(401))
    async def documents() -> Documents:
        store = service.library.store
        lines, passages = await asyncio.to_thread(lambda: (store.documents(), len(store)))
        return Documents(documents=list(map(document_line, lines)), passages=passages, embedding=store.embedding)

    @app.delete("/v1/documents", dependencies=users, responses=problems(401, 404, 422))
    async def delete(source: Name) -> Deleted:
        passages = await asyncio.to_thread(service.library.delete, source)
        if not passages:
            raise HTTPException(404, "not in the store")
        return Deleted(source=source, passages=passages)

    @app.get("/v1/jobs", dependencies=users, responses=problems(401))
    async def jobs() -> Jobs:
        """All that are known, the newest first."""
        return Jobs(jobs=list(map(job_line, await asyncio.to_thread(service.library.jobs))))

    @app.get("/v1/jobs/{identity}", dependencies=users, responses=problems(401, 404, 422))
    async def job(identity: str) -> JobLine:
        found = await asyncio.to_thread(service.library.job, identity)
        if found is None:
            raise HTTPException(404, "no such job")
        return job_line(found)

    @app.post(
        "/v1/ask",
        response_model=AnswerResponse,
        dependencies=users,
        responses={
            **problems(400, 401, 404, 408, 413, 422, 429, 500, 503),
            200: {"content": STREAM, "description": "The answer, or a stream of events: passages, token, answer"},
        },
    )
    async def ask(asked: AskRequest, request: Request) -> Any:
        answer = await service.ask(asked, request)
        return answer if isinstance(answer, Response) else answer_response(answer)

    @app.get("/healthz", responses=problems(503))
    async def healthz() -> dict[str, str]:
        """Whether to leave the process alone: 503 when its thread has ended, or a question does not come back."""
        if not service.library.alive() or service.asking.busy_s() > STUCK_S:
            raise HTTPException(503, "a thread does not come back")
        return {"status": "alive"}

    @app.get("/readyz", responses=problems(503))
    async def readyz() -> dict[str, str]:
        """Whether to send questions here: 503 while as many wait as may."""
        if service.asking.full():
            raise HTTPException(503, "as many questions wait as may")
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        text = await asyncio.to_thread(service.metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    explain_errors(app, STATUSES)
    # A page elsewhere that makes its own name point to this machine would otherwise speak to us from a browser here.
    hosts = list(LOOPBACK) if config.host in LOOPBACK else ["*"]
    guarded = TrustedHostMiddleware(app, allowed_hosts=[*hosts, "[::1]"], www_redirect=False)
    small = Limits(MAX_BODY_BYTES, config.body_within_s)
    large = Limits(int(config.max_mb * 1e6), config.upload_within_s)
    return Envelope(guarded, service.metrics.on_request, small, {"/v1/documents": large})


STATUSES: dict[type[Exception], int] = {
    Unreadable: 415,
    UserError: 422,
    LibraryFull: 429,
    TooManyQuestions: 429,
    TooLate: 503,
}
