"""A server as a child process on this machine, which ends with whoever started it, however that ended.

python -m shared.server_process MODULE FLAG...      runs a module until standard input ends

A parent that is killed cannot end its children. But then its end of their standard input is closed, which they notice.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from shared.errors import UserError

START_WITHIN_S = 120.0


def module_command(name: str, **flags: object) -> list[str]:
    """The command that runs a module as such a child."""
    command = [sys.executable, "-m", "shared.server_process", name]
    return command + [f"--{flag}={value}" for flag, value in flags.items()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def share_cores() -> tuple[list[int], int | None]:
    """Cores for the server, and one for the generator; the same for both where there is one only, or no pinning."""
    if not hasattr(os, "sched_getaffinity"):
        return [], None
    cores = sorted(os.sched_getaffinity(0))
    return cores[:-1] or cores, cores[-1]


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    cores: Sequence[int] = (),
    settings: Mapping[str, str] | None = None,
    *,
    path: str = "/readyz",
    body: bytes | None = None,
) -> Iterator[subprocess.Popen]:
    """Within the block the server runs and answers, on these cores, with these in its environment.

    It runs as soon as it answers a request for `path` with 200; one with a body is a POST of JSON. Raises UserError
    where it does not start.
    """
    with tempfile.TemporaryFile() as said:
        # A session of its own, so that the processes which a server starts end with it.
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": said, "stderr": said}
        environment = {**os.environ, **(settings or {})}
        process = subprocess.Popen(command, env=environment, start_new_session=True, **streams)
        try:
            if cores:
                os.sched_setaffinity(process.pid, cores)
            give_up = time.monotonic() + START_WITHIN_S
            while not _answers(f"http://127.0.0.1:{port}{path}", body):
                if process.poll() is not None or time.monotonic() > give_up:
                    said.seek(0)
                    last = (said.read().decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
                    name = command[3] if command[2] == "shared.server_process" else " ".join(command[1:3])
                    raise UserError(f"{name}: does not start ({last}): mend that, then try again")
                time.sleep(0.2)
            yield process
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                    process.wait(10)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
            process.wait()
            assert process.stdin is not None  # it is a pipe
            process.stdin.close()


def _answers(url: str, body: bytes | None) -> bool:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status == 200
    except OSError:
        return False


def when_input_ends(do: Callable[[], None]) -> None:
    """Do this, in a thread of its own, as soon as standard input ends. What comes before is passed over."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        do()

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    import runpy

    if sys.argv[1:2] in ([], ["-h"], ["--help"]):
        sys.stdout.write("python -m THIS MODULE [FLAGS]: run a module that ends when its standard input does\n")
        sys.exit()
    when_input_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
