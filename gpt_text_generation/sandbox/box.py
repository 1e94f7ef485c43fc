"""The box: what a process gives up before it runs a program that nobody has read.

Two processes of ours stand before the program. The *keeper* is started by keeper.py; it opens the namespaces, forks,
and waits. The fork, the *boxed* process, gives up everything named below, for good, and then runs the program. Once
that ends, or the keeper's standard input is closed (by our own death too), the keeper kills what is left.

| guard        | what the program is left with                                                                  |
|--------------|------------------------------------------------------------------------------------------------|
| user         | no privilege: root becomes user 65533, and no file gives a privilege back                       |
| files        | Python's library and the C libraries, read-only; an empty folder in memory, small, of few files |
| network      | no interface, not even loopback                                                                 |
| processes    | it sees and signals its own only; they all die with the first of them                           |
| ipc          | shared memory, semaphores and message queues of its own                                         |
| system_calls | those of system_calls.py are refused                                                            |
| limits       | processor time, memory, processes, open files, sizes of files                                   |

As root the namespaces are root's, and the program becomes user 65533 in them, since the limit on processes does not
bind root. For any other user they hang on a user namespace, where the system allows one.

Source: the manual pages namespaces(7), user_namespaces(7), pivot_root(2), capabilities(7), setrlimit(2), prctl(2).
"""

import contextlib
import importlib
import json
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from gpt_text_generation.sandbox import linux
from gpt_text_generation.sandbox.system_calls import refuse_system_calls

GUARDS = ("user", "files", "network", "processes", "ipc", "system_calls", "limits")
NOBODY = 65533  # a user that no system gives anything to; 65534 owns files here and there
FOLDER = "/tmp"  # noqa: S108 - the program's own, inside the box

_NAMESPACES = {
    "files": linux.NEW_MOUNTS,
    "network": linux.NEW_NETWORK,
    "processes": linux.NEW_PROCESSES,
    "ipc": linux.NEW_IPC,
}
# What Python's own modules load that are written in C; and the time zones.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/etc/ld.so.cache", "/usr/share/zoneinfo")
_ROOT = "/proc"  # where the box's root is put together: the one folder in which no Python lies
_LIMITS = {
    "cpu_seconds": "RLIMIT_CPU",
    "memory": "RLIMIT_AS",
    "processes": "RLIMIT_NPROC",
    "open_files": "RLIMIT_NOFILE",
    "file_size": "RLIMIT_FSIZE",
}


def main() -> None:
    """The keeper: read the job, a line of JSON on standard input; keep its box; tell how it ended on `status`.

    The job has role (candidate, judge or probe: a module here whose `run(job)` is boxed), guards, limits, the number of
    the descriptor `status`, the `descriptors` that the role uses, and what else the role needs.
    """
    job = json.loads(_first_line_of_input())
    # Loaded while the files are in sight; afterwards nothing of ours is on the path.
    run = importlib.import_module(f"gpt_text_generation.sandbox.{job['role']}").run
    del sys.path[0]
    try:
        _open_namespaces(job["guards"])
    except OSError as error:
        _tell(job, {"setup": str(error)})
        return
    _tell(job, _keep(job, run))


def _first_line_of_input() -> bytes:
    line = b""
    while not line.endswith(b"\n") and (block := os.read(0, 1 << 16)):
        line += block
    return line


def _tell(job: dict[str, Any], line: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(job["status"], json.dumps(line).encode() + b"\n")


def _open_namespaces(guards: list[str]) -> None:
    flags = sum(flag for name, flag in _NAMESPACES.items() if name in guards)
    if not flags:
        return
    user, group = os.getuid(), os.getgid()
    if user == 0:
        linux.unshare(flags)
        return
    linux.unshare(flags | linux.NEW_USER)
    for name, text in ("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1"):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _keep(job: dict[str, Any], run: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run the program in a fork, which is process 1 of its namespace, and give how it ended once nothing is left."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)  # a child's end makes `woken` readable
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(woken)
        os.close(wake)
        _boxed(job, run)
    for descriptor in (1, 2, *job["descriptors"].values()):
        os.close(descriptor)  # so that whoever reads them sees the program's end
    ended = 0
    while not ended:
        ready, _, _ = select.select([0, woken], [], [])
        if 0 in ready:
            _kill(child)
        else:
            os.read(woken, 1 << 10)
        ended, status, used = os.wait4(child, 0 if 0 in ready else os.WNOHANG)
    _kill(child)  # its group, where it has no namespace that died with it
    how = os.waitstatus_to_exitcode(status)
    return {
        "exit_code": how if how >= 0 else None,
        "signal": -how if how < 0 else None,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "memory_mb": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6,
    }


def _kill(child: int) -> None:
    for kill in os.kill, os.killpg:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)


def _boxed(job: dict[str, Any], run: Callable[[dict[str, Any]], None]) -> None:
    """Enter the box and run; never return into the keeper's code."""
    code = 1
    try:
        try:
            _enter(job["guards"], job["limits"])
        except (OSError, ValueError) as error:
            _tell(job, {"setup": str(error)})
            return
        os.close(job["status"])
        run(job)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _enter(guards: list[str], limits: dict[str, int]) -> None:
    """Give up, in this order, what the guards take: each step may still need what a later one takes."""
    os.setsid()
    os.umask(0o022)
    if sys.platform == "linux":
        # Where the machine runs out of memory, this goes first.
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    with open(os.devnull, "r+b", buffering=0) as nothing:
        os.dup2(nothing.fileno(), 0)
    if "files" in guards:
        _show_only_libraries(limits)
    if "limits" in guards:
        _set_limits(limits)
    if "user" in guards:
        _become_nobody()
    if sys.platform == "linux":
        linux.prctl(linux.DEATH_SIGNAL, signal.SIGKILL)  # a change of user would have unset it
    if "system_calls" in guards:
        refuse_system_calls()


def _show_only_libraries(limits: dict[str, int]) -> None:
    linux.mount("none", "/", "none", linux.RECURSIVE | linux.PRIVATE)  # nothing done here reaches the system
    linux.mount("box", _ROOT, "tmpfs", linux.NO_SUID | linux.NO_DEVICES, "size=1m,mode=755")
    for path in (*_LIBRARIES, *sys.path):
        if os.path.exists(path) and not os.path.lexists(_ROOT + path):
            _show(path)
    os.makedirs(_ROOT + FOLDER, exist_ok=True)
    linux.make_read_only(_ROOT)
    most = f"size={limits['folder_size']},nr_inodes={limits['folder_files']},mode=777"
    linux.mount("box", _ROOT + FOLDER, "tmpfs", linux.NO_SUID | linux.NO_DEVICES, most)
    linux.enter_root(_ROOT)
    os.chdir(FOLDER)


def _show(path: str) -> None:
    """Let a path of the system be seen in the box under the same name."""
    target = _ROOT + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.mkdir(target)
    else:
        open(target, "x").close()
    linux.mount(path, target, "none", linux.BIND | linux.RECURSIVE)


def _set_limits(limits: dict[str, int]) -> None:
    for name, kind in _LIMITS.items():
        number = getattr(resource, kind)
        _, most = resource.getrlimit(number)
        value = limits[name] if most == resource.RLIM_INFINITY else min(limits[name], most)
        # At the soft limit of time comes a signal that a program may ignore, at the hard one it is killed.
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some; the probe tells what does not hold
            resource.setrlimit(number, (value, value + (name == "cpu_seconds")))
    for kind in "RLIMIT_CORE", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE":
        if hasattr(resource, kind):
            resource.setrlimit(getattr(resource, kind), (0, 0))


def _become_nobody() -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if sys.platform == "linux":
        linux.drop_capabilities()
        linux.prctl(linux.NO_NEW_PRIVILEGES, 1)
        linux.prctl(linux.DUMPABLE, 0)  # no core file, and /proc shows nothing of it to its own kind
