"""What the routes of every server share: the key, errors in words, and who waits for an answer. Needs FastAPI."""

import asyncio
import hmac
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.routing import Match

from shared.http_envelope import CLIENT_LEFT

Answer = TypeVar("Answer")


class Problem(BaseModel):
    """What is wrong, in words, or a list of places with what is wrong there."""

    detail: str | list[dict[str, Any]]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A route's other statuses, for its `responses`."""
    return {status: {"model": Problem} for status in statuses}


class ClientLeft(Exception):
    """Nobody waits for the answer."""


async def unless_client_leaves(answer: "asyncio.Future[Answer]", request: Request, within_s: float) -> Answer:
    """The answer; it is cancelled where the client leaves first (raises ClientLeft), or the time is over (a 503)."""
    leaving = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({answer, leaving}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if leaving.done():
            raise ClientLeft
        raise HTTPException(503, f"no answer within {within_s:g} s", headers={"Retry-After": "5"})
    finally:
        leaving.cancel()
        answer.cancel()


bearer = HTTPBearer(auto_error=False)


def key_needed(key: str) -> Any:
    """A dependency: the request must carry this key."""

    async def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if given is None or not hmac.compare_digest(given.credentials.encode(), key.encode()):
            raise HTTPException(401, "a key is needed", headers={"WWW-Authenticate": "Bearer"})

    return Depends(check)


def explain_errors(app: FastAPI, statuses: Mapping[type[Exception], int]) -> None:
    """Answer each of these errors with its status and its words; with `Retry-After` where it has `retry_after_s`."""
    statuses = {**statuses, ClientLeft: CLIENT_LEFT}

    async def explain(_: Request, error: Exception) -> JSONResponse:
        wait = getattr(error, "retry_after_s", None)
        status = next(statuses[kind] for kind in type(error).__mro__ if kind in statuses)
        return JSONResponse({"detail": str(error)}, status, wait and {"Retry-After": str(wait)})

    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # Without what was sent: it may be long, and no valid text at all.
        places = [{"loc": list(each["loc"]), "msg": each["msg"], "type": each["type"]} for each in error.errors()]
        return JSONResponse({"detail": places}, 422)

    async def other_method(request: Request, error: Any) -> JSONResponse:
        # All methods of the path: Starlette names those of its first route only.
        allowed = {
            each for route in app.routes if route.matches(request.scope)[0] != Match.NONE for each in route.methods
        }
        return JSONResponse({"detail": error.detail}, 405, {"Allow": ", ".join(sorted(allowed))})

    app.add_exception_handler(405, other_method)
    for kind in statuses:
        app.add_exception_handler(kind, explain)
    app.add_exception_handler(RequestValidationError, invalid)
