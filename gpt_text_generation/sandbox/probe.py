"""Does a guard hold? Tried from inside a box that has it: each attempt does what the guard is there to prevent."""

import importlib
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from gpt_text_generation.sandbox.linux import NEW_USER, unshare

HELD = "held"
IPC = "/proc/self/ns/ipc"  # a link that names the namespace
_PAGE = 4096  # memory comes in whole pages


def run(job: dict[str, Any]) -> None:
    """Print HELD, or what went through.

    The job has guard and limits, and of the caller outside_file, port, process and ipc.
    """
    try:
        fault = _ATTEMPTS[job["guard"]](job)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    sys.stdout.write(fault or HELD)


def _user(job: dict[str, Any]) -> str | None:
    if 0 in (os.getuid(), os.getgid(), *os.getgroups()):
        return "it is root"
    if not _refused(os.setuid, 0):
        return "it can become root"
    if not _refused(os.chroot, "/"):
        return "it has a privilege of root"
    return None


def _files(job: dict[str, Any]) -> str | None:
    if os.path.exists(job["outside_file"]):
        return "a file outside is seen"
    if not _refused(open, os.path.join(os.path.dirname(os.__file__), "written"), "w"):
        return "Python's library can be written"
    most = job["limits"]["folder_size"]
    written = sum(_fill(f"file{number}", most // 4) for number in range(6))
    if written > most + _PAGE:
        return f"{written} bytes were written where {most} are allowed"
    importlib.import_module("colorsys")  # what is not loaded yet can be
    return None


def _network(job: dict[str, Any]) -> str | None:
    with socket.socket() as caller:
        caller.settimeout(2)
        return "loopback is reached" if not _refused(caller.connect, ("127.0.0.1", job["port"])) else None


def _processes(job: dict[str, Any]) -> str | None:
    if os.getpid() != 1:
        return "it is not process 1 of its own"
    try:
        os.kill(job["process"], 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "a process outside is seen"


def _ipc(job: dict[str, Any]) -> str | None:
    # Not tried with a segment of the caller's: one that is left when the caller is killed stays until the next start.
    return "shared memory outside is seen" if os.readlink(IPC) == job["ipc"] else None


def _system_calls(job: dict[str, Any]) -> str | None:
    if not _refused(socket.socket):
        return "a socket can be opened"
    if not _refused(unshare, NEW_USER):
        return "a namespace can be opened"
    if not _refused(os.execv, sys.executable, [sys.executable, "-c", "raise SystemExit(1)"]):
        return "another program can be started"
    return None


def _limits(job: dict[str, Any]) -> str | None:
    limits = job["limits"]
    try:
        bytearray(limits["memory"])
    except MemoryError:
        pass
    else:
        return "more memory than allowed is given"
    if _fill("large", limits["file_size"] + 1) > limits["file_size"]:
        return "a larger file than allowed is written"
    started = 0
    for started in range(limits["processes"] + 1):  # noqa: B007 - how many there were is the answer
        try:
            if os.fork() == 0:
                time.sleep(5)
                os._exit(0)
        except BlockingIOError:
            return None
    return f"{started + 1} processes are started where {limits['processes']} are allowed"


def _refused(act: Callable[..., Any], *arguments: Any) -> bool:
    try:
        act(*arguments)
    except OSError:
        return True
    return False


def _fill(path: str, size: int) -> int:
    """Write a file of that size, and give how much of it could be written."""
    try:
        with open(path, "wb", buffering=0) as file:
            for _ in range(-(-size // (1 << 16))):
                file.write(bytes(1 << 16))
    except OSError:
        pass
    return os.path.getsize(path) if os.path.exists(path) else 0


_ATTEMPTS = {
    "user": _user,
    "files": _files,
    "network": _network,
    "processes": _processes,
    "ipc": _ipc,
    "system_calls": _system_calls,
    "limits": _limits,
}
