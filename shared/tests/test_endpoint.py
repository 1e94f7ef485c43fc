"""A server on the loopback that speaks the protocol, or does what servers do on bad days."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.endpoint import Endpoint
from shared.errors import UserError


@pytest.fixture
def serve():
    """`serve(answer)` starts a server whose `answer(handler, request)` replies; gives the address and the requests."""
    servers = []

    def start(answer):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked.append((self.path, request, self.headers))
                answer(self, request)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/v1", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def head(handler, kind="text/event-stream", status=200):
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.end_headers()


def event(handler, **choice):
    handler.wfile.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
    handler.wfile.flush()


def says_hello(handler, request):
    head(handler)
    handler.wfile.write(b": a comment that keeps the connection open\n\n")
    for word in ("Good ", "day ", "水"):
        event(handler, **({"delta": {"content": word}} if "messages" in request else {"text": word}))
    handler.wfile.write(b"data: [DONE]\n\n")


def test_a_text_is_continued_piece_by_piece(serve):
    url, asked = serve(says_hello)
    endpoint = Endpoint(url, model="small")
    assert list(endpoint.stream("Say", max_new_tokens=9, stop=["."], temperature=0.5)) == ["Good ", "day ", "水"]
    path, request, _ = asked[0]
    assert path == "/v1/completions"
    assert request == {
        "model": "small", "max_tokens": 9, "stream": True, "temperature": 0.5, "prompt": "Say", "stop": ["."],
    }  # fmt: skip


def test_messages_are_answered_by_the_chat(serve):
    url, asked = serve(says_hello)
    messages = [{"role": "user", "content": "Say hello"}]
    assert "".join(Endpoint(url + "/").stream(messages)) == "Good day 水"
    assert asked[0][0] == "/v1/chat/completions" and asked[0][1]["messages"] == messages


def test_a_server_that_does_not_stream_is_understood(serve):
    def whole(handler, request):
        head(handler, "application/json")
        handler.wfile.write(json.dumps({"choices": [{"text": "all at once"}]}).encode())

    assert list(Endpoint(serve(whole)[0]).stream("x")) == ["all at once"]


def test_the_key_comes_from_the_environment_and_is_in_no_message(serve, monkeypatch):
    monkeypatch.setenv("LLM_API_KEY", "secret-123")

    def refuses(handler, request):
        head(handler, "application/json", 401)
        handler.wfile.write(b'{"error": "wrong\\nkey"}')

    url, asked = serve(refuses)
    with pytest.raises(UserError, match="refused with 401 .*wrong.*: set LLM_API_KEY") as raised:
        list(Endpoint(url).stream("x"))
    assert asked[0][2]["Authorization"] == "Bearer secret-123"
    assert "secret-123" not in str(raised.value) and "\n" not in str(raised.value)


def test_nobody_there_is_one_clear_line(free_port):
    with pytest.raises(UserError, match=r"no answer \(Connection refused\): is the server running"):
        list(Endpoint(f"http://127.0.0.1:{free_port}/v1").stream("x"))


@pytest.mark.parametrize("begins", [False, True])
def test_a_silent_server_is_one_clear_line_after_the_stated_time(serve, begins):
    done = threading.Event()

    def silent(handler, request):
        if begins:
            head(handler)
            event(handler, text="Once")
        done.wait(20)

    shown = []
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"silent for 0.5 seconds"):
        shown.extend(Endpoint(serve(silent)[0], timeout_s=0.5).stream("x"))
    done.set()
    assert time.monotonic() - begun < 5


def test_a_server_that_only_sends_comments_is_silent_too(serve):
    done = threading.Event()

    def comments(handler, request):
        head(handler)
        while not done.wait(0.05):
            handler.wfile.write(b": wait\n\n")
            handler.wfile.flush()

    try:
        with pytest.raises(UserError, match="silent for 0.5 seconds"):
            list(Endpoint(serve(comments)[0], timeout_s=0.5).stream("x"))
    finally:
        done.set()


def test_it_stops_at_once_when_asked_though_the_server_is_silent(serve):
    done, left = threading.Event(), threading.Event()

    def endless(handler, request):
        head(handler)
        try:
            event(handler, text="one")
            while not done.wait(0.05):
                event(handler, text="")
        except OSError:
            left.set()

    shown = []
    begun = time.monotonic()
    for piece in Endpoint(serve(endless)[0]).stream("x", cancelled=lambda: bool(shown)):
        shown.append(piece)
    assert shown == ["one"] and time.monotonic() - begun < 5
    assert left.wait(5)  # the server notices, and need not write for nobody
    done.set()


def test_a_server_that_breaks_off_keeps_what_it_said(serve):
    def breaks_off(handler, request):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b'21\r\ndata: {"choices":[{"text":"a"}]}\n\r\n')
        handler.wfile.write(b"ffff\r\ndata: ")
        handler.wfile.flush()
        handler.connection.close()

    shown = []
    with pytest.raises(UserError, match="no answer"):
        for piece in Endpoint(serve(breaks_off)[0]).stream("x"):
            shown.append(piece)
    assert shown == ["a"]


@pytest.mark.parametrize("body", ["<html>hello</html>", "[1]", '{"error": {"message": "no such model"}}'])
def test_an_answer_that_is_no_completion_is_one_clear_line(serve, body):
    def other(handler, request):
        head(handler, "text/html")
        handler.wfile.write(body.encode())

    with pytest.raises(UserError, match="no completion|no such model"):
        list(Endpoint(serve(other)[0]).stream("x"))


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host/v1", "http://", "http://host:notaport/v1"])
def test_an_address_that_is_none_is_one_clear_line(url):
    with pytest.raises(UserError, match="no address of a server"):
        Endpoint(url)
