"""Text from a server that speaks OpenAI's completion protocol, by its address: llama.cpp, Ollama, vLLM and many more.

    endpoint = Endpoint("http://localhost:8080/v1", model="local")
    for piece in endpoint.stream("Once upon a time", max_new_tokens=40, temperature=0.7):
        print(piece, end="", flush=True)

It gives text, not logits: its own samplers choose the tokens. A key, where one is needed, is read from the variable
LLM_API_KEY and stands in no file and no message. The protocol: https://platform.openai.com/docs/api-reference.
"""

import contextlib
import http.client
import json
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from shared.errors import UserError

KEY = "LLM_API_KEY"
POLL_S = 0.1
MOST_OF_AN_ERROR = 2000  # bytes of a server's complaint that are read


class Endpoint:
    """A server that writes. Raises UserError for an address that is none."""

    def __init__(self, url: str, model: str = "default", timeout_s: float = 60.0) -> None:
        """`url` is the part before `/completions`, as in `https://host/v1`. `timeout_s` is for each piece of text."""
        address = urlsplit(url)
        try:
            port = address.port
        except ValueError:
            port = -1
        if address.scheme not in ("http", "https") or not address.hostname or port == -1:
            raise UserError(f"{url}: no address of a server: give one such as http://localhost:8080/v1")
        self.url, self.model, self.timeout_s = url.rstrip("/"), model, timeout_s
        self._address, self._port = address, port

    def stream(
        self,
        prompt: str | Sequence[dict[str, str]],
        *,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
        cancelled: Callable[[], bool] = lambda: False,
        **sampling: Any,
    ) -> Iterator[str]:
        """The pieces that follow a text, or answer a list of messages (`role`, `content`).

        `sampling` goes to the server as it is: `temperature`, `top_p`, `seed` and what else it knows. `cancelled` is
        asked ten times a second; then, or when the reader leaves, the connection is closed, which stops the server.

        Raises UserError in one line for a server that is not there, refuses, or is silent for `timeout_s` seconds.
        """
        chat = not isinstance(prompt, str)
        asked = {"model": self.model, "max_tokens": max_new_tokens, "stream": True, **sampling}
        asked |= {"messages": list(prompt)} if chat else {"prompt": prompt}
        if stop:
            asked["stop"] = list(stop)
        # A thread of its own waits for the server: whatever that does, we hear `cancelled` and the clock.
        call = _Call(self._connection(), self.url, "/chat/completions" if chat else "/completions", asked)
        threading.Thread(target=call.run, daemon=True).start()
        try:
            since = time.monotonic()
            while not cancelled():
                try:
                    piece = call.pieces.get(timeout=POLL_S)
                except queue.Empty:
                    if time.monotonic() - since < self.timeout_s:
                        continue
                    raise UserError(
                        f"{self.url}: silent for {self.timeout_s:g} seconds: give it more time, or try again later"
                    ) from None
                if piece is None:
                    return
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                since = time.monotonic()
        finally:
            call.hang_up()

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._address.scheme == "https" else http.client.HTTPConnection
        return kind(self._address.hostname or "", self._port, timeout=self.timeout_s)


class _Call:
    """One request, from connecting to the last piece. `pieces` gets the texts, then None or what went wrong."""

    def __init__(self, connection: http.client.HTTPConnection, url: str, path: str, asked: dict[str, Any]) -> None:
        self.pieces: queue.Queue[str | Exception | None] = queue.Queue()
        self._connection, self._url, self._path, self._asked = connection, url, path, asked
        self._socket: socket.socket | None = None

    def run(self) -> None:
        try:
            for event in self._events(self._ask()):
                if piece := _text(event, self._url):
                    self.pieces.put(piece)
            self.pieces.put(None)
        except TimeoutError:
            return  # whoever waits for the pieces says so
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self.pieces.put(
                UserError(f"{self._url}: no answer ({reason}): is the server running, and is this its address?")
            )
        except Exception as error:  # not to be lost in a thread: it is raised where the pieces are awaited
            self.pieces.put(error)

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that is reading
        self._connection.close()

    def _ask(self) -> http.client.HTTPResponse:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        self._connection.connect()
        self._socket = self._connection.sock
        self._connection.request("POST", urlsplit(self._url).path + self._path, json.dumps(self._asked), headers)
        response = self._connection.getresponse()
        if response.status != 200:
            said = " ".join(response.read(MOST_OF_AN_ERROR).decode("utf-8", "replace").split())
            remedy = f"set {KEY}" if response.status in (401, 403) else "check address, model name and settings"
            raise UserError(f"{self._url}: refused with {response.status} {response.reason} ({said[:200]}): {remedy}")
        return response

    def _events(self, response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
        """The events of a stream; the one event where the server does not stream."""
        if "event-stream" not in (response.getheader("Content-Type") or ""):
            yield self._parsed(response.read().decode("utf-8", "replace"))
            return
        for line in response:
            text = line.decode("utf-8", "replace").strip()
            if not text.startswith("data:"):  # empty lines, comments that keep the connection open
                continue
            data = text.removeprefix("data:").strip()
            if data == "[DONE]":
                return
            yield self._parsed(data)

    def _parsed(self, data: str) -> dict[str, Any]:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise UserError(f"{self._url}: its answer is no completion ({data[:100]!r}): give the address of an API")
        return event


def _text(event: dict[str, Any], url: str) -> str:
    """What an event adds to the text: of a completion or a chat, streamed or whole."""
    if error := event.get("error"):
        raise UserError(f"{url}: the server says: {error.get('message', error) if isinstance(error, dict) else error}")
    choices = event.get("choices") or [{}]
    choice = choices[0]
    part = choice.get("delta") or choice.get("message") or {}
    return choice.get("text") or part.get("content") or ""
