"""The envelope around requests: limits of bytes and seconds, for each path its own, before anything is read."""

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from shared.http_envelope import Envelope, Limits


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def ask():
    """`ask("/small", [b"a", b"b"], length=2)`: status and body of the answer, and what the metrics were told."""
    told = []
    app = Starlette(routes=[Route(path, length, methods=["POST"]) for path in ("/small", "/large")])
    envelope = Envelope(app, lambda *what: told.append(what[:2]), Limits(4, 0.2), {"/large": Limits(8, 5)})

    def ask_one(path, parts, claimed=None, pause=0.0):
        async def run():
            messages, waiting = [], list(parts)

            async def receive():
                if not waiting:
                    await asyncio.sleep(60)
                await asyncio.sleep(pause)
                body = waiting.pop(0)
                return {"type": "http.request", "body": body, "more_body": bool(waiting)}

            async def send(message):
                messages.append(message)

            headers = [] if claimed is None else [(b"content-length", str(claimed).encode())]
            scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
            await envelope(scope, receive, send)
            return messages[0]["status"], messages[1]["body"], len(parts) - len(waiting)

        return asyncio.run(run())

    ask_one.told = told
    return ask_one


def test_each_path_has_its_own_limit_of_bytes(ask):
    assert ask("/small", [b"ab", b"cd"])[:2] == (200, b"4")
    assert ask("/small", [b"abc", b"de"])[0] == 413
    assert ask("/large", [b"abcd", b"efgh"])[:2] == (200, b"8")
    assert ask("/large", [b"abcd", b"efghi"])[0] == 413
    assert ask.told == [("/small", 200), ("/small", 413), ("/large", 200), ("/large", 413)]


def test_a_claim_that_is_too_large_is_refused_before_anything_is_read(ask):
    assert ask("/large", [b"a"], claimed=10**9)[::2] == (413, 0)
    assert ask("/large", [b"a"], claimed=1)[::2] == (200, 1)


@pytest.mark.parametrize("claimed", ["", "-5", "many", "9" * 30, "1e9"])
def test_a_claim_that_is_no_number_says_nothing(ask, claimed):
    assert ask("/large", [b"a"], claimed=claimed)[0] == 200


def test_each_path_has_its_own_limit_of_time(ask):
    assert ask("/small", [b"a", b"b"], pause=0.3)[0] == 408
    assert ask("/large", [b"a", b"b"], pause=0.3)[0] == 200
