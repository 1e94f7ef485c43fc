"""What every test of the repository runs under: no network, and on request an empty asset cache or a demo page."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Threads that wait for each other spin: on a busy machine the tests' tiny models would take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "", None)


def _refuse_outside(address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else None  # a Unix socket's address is a path
    host = host.decode() if isinstance(host, bytes) else host
    if host not in LOOPBACK and not str(host).startswith("127."):
        # As on a machine without a network, so that code under test shows its offline side.
        raise OSError(errno.ENETUNREACH, f"tests have no network (wanted {host}); mark the test `network` if it must")


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    """Let sockets reach this machine only, and pip nothing, unless the test is marked `network`."""
    if request.node.get_closest_marker("network"):
        return
    for name in ("connect", "connect_ex"):
        real = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any, _real: Any = real) -> Any:
            _refuse_outside(address)
            return _real(self, address)

        monkeypatch.setattr(socket.socket, name, guarded)
    real_look_up = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **named: Any) -> Any:
        _refuse_outside((host,))
        return real_look_up(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    # Child processes have sockets of their own; pip is the one that the code under test starts.
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An asset cache folder that does not exist yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LAPTOP_LLM_CACHE", str(folder))
    return folder


@pytest.fixture
def run_page() -> Callable[..., Any]:
    """`run_page(file, "zh")`: a project's page, run once in this language."""
    from streamlit.testing.v1 import AppTest

    def run(file: Path, language: str = "en") -> Any:
        page = AppTest.from_file(str(file), default_timeout=120)
        page.query_params["lang"] = language
        return page.run()

    return run
