"""The order in which a model's name is looked up, and the line where no hub is in reach."""

import http.server
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.hub import resolve_model

PROGRAM = """
import sys
from shared.errors import run_program
from shared.hub import resolve_model
run_program(lambda: print(resolve_model(sys.argv[1], suggestion="minilm")))
"""


@pytest.fixture
def resolve(run_python: Callable, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """`resolve_model` in a fresh process, since the hub's library reads its variables once, on import."""

    def run(name: str, **environment: str) -> subprocess.CompletedProcess:
        bare = {"HF_HUB_OFFLINE": "", "HF_HUB_CACHE": str(tmp_path / "hub" / "hub"), "HF_HOME": str(tmp_path / "hub")}
        no_proxy = {name: "" for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")}
        return run_python("-c", PROGRAM, name, **{**bare, **no_proxy, **environment})

    return run


@pytest.fixture
def hub_answering() -> Iterator[Callable[[int | None], str]]:
    """A server that gives every request one status, or hangs up without a word."""
    servers = []

    def start(status: int | None) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if status is not None:
                    self.send_response(status)
                    self.end_headers()

            do_HEAD = do_GET

            def log_message(self, *anything: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def one_line(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def put_in_hub_cache(tmp_path: Path) -> Path:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "hub" / "models--owner--name"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    return snapshot


def test_a_local_path_comes_before_a_short_name(shelf, tmp_path, monkeypatch):
    shelf.wheel({"toy/a.txt": b"a"}, {"toy/": ""})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()
    assert resolve_model("toy", suggestion="minilm") == Path("toy")


def test_a_short_name_is_fetched(shelf, empty_cache, tmp_path, monkeypatch):
    shelf.wheel({"toy/a.txt": b"a"}, {"toy/": ""})
    monkeypatch.chdir(tmp_path)
    assert resolve_model("toy", suggestion="minilm") == empty_cache / "toy-1.0"


def test_the_hub_cache_comes_before_the_hub(resolve, tmp_path, free_port):
    snapshot = put_in_hub_cache(tmp_path)
    done = resolve("owner/name", HF_ENDPOINT=f"http://127.0.0.1:{free_port}")
    assert done.stdout.strip() == str(snapshot), done.stderr
    assert resolve("owner/name", HF_HUB_OFFLINE="1").stdout.strip() == str(snapshot)


@pytest.mark.parametrize("how", ["offline", "closed port"])
def test_out_of_reach_is_one_line_within_ten_seconds_that_names_the_short_name(resolve, free_port, how):
    unreachable = {"HF_ENDPOINT": f"http://127.0.0.1:{free_port}"}
    start = time.monotonic()
    line = one_line(resolve("owner/name", **({"HF_HUB_OFFLINE": "1"} if how == "offline" else unreachable)))
    assert time.monotonic() - start < 10
    assert line.startswith("error: owner/name: ") and "no hub is in reach: use the packaged minilm" in line


def test_a_hub_that_accepts_no_connection_is_given_up_within_ten_seconds(resolve):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        full = []
        # With its waiting line full, a further connection gets no answer at all, as behind a firewall.
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
            full.append(waiting)
        start = time.monotonic()
        line = one_line(resolve("owner/name", HF_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}"))
        seconds = time.monotonic() - start
        for waiting in full:
            waiting.close()
    assert 4 < seconds < 10
    assert "use the packaged minilm" in line


@pytest.mark.parametrize("status", [404, 401, 500, 200, None])
def test_a_hub_that_refuses_or_talks_nonsense_is_one_line(resolve, hub_answering, status):
    """Regression: an answer that is no JSON and a hang-up gave tracebacks, a bare 404 three lines."""
    line = one_line(resolve("owner/name", HF_ENDPOINT=hub_answering(status)))
    assert line.startswith("error: owner/name: the hub refused it (")
    assert "check the name, or use minilm" in line


def test_a_proxy_written_without_its_scheme_counts_as_reachable(resolve, hub_answering):
    """Regression: `127.0.0.1:3128` was taken for a scheme, and the hub for out of reach."""
    proxy = hub_answering(403).removeprefix("http://")
    done = resolve("owner/name", HF_ENDPOINT="http://hub.invalid", http_proxy=proxy, NO_PROXY="", no_proxy="")
    assert "the hub refused it" in one_line(done)


@pytest.mark.parametrize("name", ["no such/name", "a/b/c", "owner/name..git", "--flag"])
def test_a_malformed_name_is_one_line(resolve, name):
    line = one_line(resolve(name, HF_HUB_OFFLINE="1"))
    assert line == f"error: {name}: no such path, short name or hub name: use for example minilm\n"
