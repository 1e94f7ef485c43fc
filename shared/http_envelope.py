"""Around every request: an id, limits of its body in time and bytes, an entry in the metrics and one line in the log.

A line never holds a text: only what is listed here, and what a route puts in `request.state.facts`, goes in.
"""

import asyncio
import itertools
import json
import logging
import re
import sys
import threading
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.logging import get_logger

log = get_logger(__name__)
CLIENT_LEFT = 499  # nginx's number for it; no client ever sees it
LINES_HELD = 10_000
_PROCESS, _NUMBERS = uuid.uuid4().hex.encode(), itertools.count(1)
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Limits(NamedTuple):
    """What the body of a request may take."""

    bytes: int
    seconds: float


class Envelope:
    """An ASGI application around another."""

    def __init__(
        self,
        app: ASGIApp,
        on_request: Callable[[str, int, float], None],
        limits: Limits,
        limits_of: Mapping[str, Limits] | None = None,
    ) -> None:
        """`on_request` is told each answered request's route, status and seconds; `limits_of` has other limits for some
        paths."""
        self.app, self.on_request, self.limits, self.limits_of = app, on_request, limits, limits_of or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, coming, received = perf_counter(), 0, True, 0
        request_id = _request_id(scope)
        limits = self.limits_of.get(scope["path"], self.limits)
        too_much = HTTPException(413, f"more than {limits.bytes:,} bytes: send less at a time")
        facts: dict[str, Any] = {}
        scope.setdefault("state", {})["facts"] = facts

        async def timed_receive() -> Message:
            nonlocal coming, received, status
            if coming and not received and _claimed_bytes(scope) > limits.bytes:
                raise too_much
            try:
                # Once the body is there, what may still come is that the client leaves.
                async with asyncio.timeout(started + limits.seconds - perf_counter() if coming else None):
                    message = await receive()
            except TimeoutError:
                late = f"the body took longer than {limits.seconds:g} s"
                raise HTTPException(408, late, headers={"Connection": "close"}) from None
            coming, received = message.get("more_body", False), received + len(message.get("body", b""))
            if received > limits.bytes:
                raise too_much
            if message["type"] == "http.disconnect":
                status = status or CLIENT_LEFT
            return message

        async def noted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = status or message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        fault = None
        try:
            await self.app(scope, timed_receive, noted_send)
        except Exception as error:
            # Where it happened, and not its words: those may quote a text.
            places = traceback.extract_tb(error.__traceback__)[::-1]
            fault = f"{type(error).__name__} at " + " < ".join(f"{each.filename}:{each.lineno}" for each in places)
            if not status:
                await JSONResponse({"detail": "internal error"}, 500)(scope, receive, noted_send)
        seconds = perf_counter() - started
        route = getattr(scope.get("route"), "path", "unknown")
        self.on_request(route, status, seconds)
        if log.isEnabledFor(logging.INFO):
            line = {"id": request_id.decode(), "method": scope["method"], "route": route, "status": status}
            line |= {"ms": round(1000 * seconds, 2), **facts} | ({"fault": fault} if fault else {})
            log.log(logging.ERROR if status >= 500 else logging.INFO, "request", extra={"facts": line})


def _claimed_bytes(scope: Scope) -> int:
    """What the head says of the body; 0 where it says nothing, or no number."""
    claimed = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(claimed) if claimed.isdigit() and len(claimed) < 20 else 0


def _request_id(scope: Scope) -> bytes:
    """The client's own, where it gave a plain one; else one of this process, by number, as drawing one takes longer."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given if _ID.fullmatch(given) else b"%s-%d" % (_PROCESS, next(_NUMBERS))


class JsonLines(logging.Formatter):
    """A line of JSON a record."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "message": record.getMessage()}
        return json.dumps(line | getattr(record, "facts", {}), ensure_ascii=False)


class LaterHandler(logging.Handler):
    """Keeps records, which a thread of its own formats and writes to stderr ten times a second.

    So a full disk or a pipe that nobody reads holds up no request, and a request does not pay for waking a thread. What
    cannot be kept or written is dropped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.kept: deque[logging.LogRecord] = deque()
        self.stopping = threading.Event()
        self.writer = threading.Thread(target=self._write, daemon=True)
        self.writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.kept) < LINES_HELD:
            self.kept.append(record)

    def close(self) -> None:
        self.stopping.set()
        self.writer.join(1.0)  # and no longer: the pipe may be full
        super().close()

    def _write(self) -> None:
        stop = False
        while not stop:
            stop = self.stopping.wait(0.1)
            lines = [self.format(self.kept.popleft()) + "\n" for _ in range(len(self.kept))]
            if lines:
                with suppress(OSError, ValueError):  # a full disk, a closed pipe: there is nowhere to complain
                    sys.stderr.write("".join(lines))
                    sys.stderr.flush()


@contextmanager
def json_log() -> Iterator[None]:
    """Within the block what we and uvicorn log goes to stderr as lines of JSON."""
    handler = LaterHandler()
    loggers = [logging.getLogger(name) for name in ("laptop_llm", "uvicorn.error")]
    before = [(each.handlers, each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.handlers, each.propagate = [handler], False
        each.setLevel(logging.INFO)
    try:
        yield
    finally:
        for each, (handlers, old_level, propagates) in zip(loggers, before, strict=True):
            each.handlers, each.propagate = handlers, propagates
            each.setLevel(old_level)
        handler.close()
