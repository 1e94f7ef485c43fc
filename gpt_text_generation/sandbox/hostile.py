"""Programs that mean harm, each run in the sandbox, and a look from outside at what became of the world around it.

python -m gpt_text_generation.sandbox.hostile                    all of them, one at a time: about a minute
python -m gpt_text_generation.sandbox.hostile --name "fork bomb"

What a program says of its own success counts for nothing. There are things outside that only serve to be attacked:
files that every user may read and write, a secret in the home folder and in the environment, services on loopback, a
sleeping process of the program's own user. After each run `escapes` looks at all of them, and at what is left behind.
"""

import contextlib
import hashlib
import os
import resource
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gpt_text_generation.sandbox.box import NOBODY
from gpt_text_generation.sandbox.guards import guards_to_use
from gpt_text_generation.sandbox.keeper import Limits
from gpt_text_generation.sandbox.runner import Result, run_tests
from shared.config import check, parse_config
from shared.errors import run_program
from shared.files import read_yaml
from shared.logging import print_result, print_table, progress_bar, setup_logging

ENTRY_POINT = "answer"
TEST = "assert candidate(17) == 306\nassert [candidate(x) for x in (4, 5)] == [20, 30]"
LIMITS = Limits(seconds=2, cpu_seconds=2)
_SECONDS_OF_GRACE = 20  # to start and to end, on a machine that is busy
_HERE = Path(__file__).parent


class HostileProgram(NamedTuple):
    """A program, what it tries, and the tests it is judged by: its code has names between @ signs to be filled in."""

    name: str
    tries: str
    code: str
    test: str = TEST


@dataclass(frozen=True, kw_only=True)
class HostileConfig:
    """Run the hostile programs in the sandbox, and see from outside whether one got out."""

    name: str | None = None
    """Run only the one of this name."""

    def __post_init__(self) -> None:
        names = [program.name for program in hostile_programs()]
        check(self.name is None or self.name in names, "name", self.name, f"choose one of {', '.join(names)}")


def hostile_programs() -> list[HostileProgram]:
    return [HostileProgram(**each) for each in read_yaml(_HERE / "hostile_programs.yaml")]


def run_hostile(program: HostileProgram, guards: Sequence[str] | None = None) -> tuple[Result, list[str]]:
    """Run it in the sandbox, by default with every guard, which must be there. Gives the result and the escapes."""
    used = guards_to_use(allow_missing=False) if guards is None else guards
    with outside() as world:
        before = _look(world)
        start = time.monotonic()
        code = world.fill(program.code)
        result = run_tests(code, ENTRY_POINT, program.test, limits=LIMITS, guards=used)
        seconds = time.monotonic() - start
        return result, escapes(world, before, result, seconds)


class World(NamedTuple):
    """What is outside to be attacked."""

    folder: Path
    home_file: Path
    token: str
    """In the names of whatever a program leaves behind."""
    secret: str
    """No program must ever print it."""
    services: list[socket.socket]
    bystander: subprocess.Popen
    key: int
    """Of shared memory that a program may leave behind."""

    def fill(self, code: str) -> str:
        for name, value in {
            "FOLDER": self.folder,
            "HOME": self.home_file.parent,
            "HARNESS": _HERE / "box.py",
            "TOKEN": self.token,
            "PORT": self.services[0].getsockname()[1],
            "PARENT": os.getpid(),
            "BYSTANDER": self.bystander.pid,
            "KEY": self.key,
        }.items():
            code = code.replace(f"@{name}@", str(value))
        return code


@contextlib.contextmanager
def outside() -> Iterator[World]:
    """Set up what is to be attacked, and take it away again, whatever happened to it."""
    token, secret = secrets.token_hex(8), secrets.token_hex(16)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canary-", ignore_cleanup_errors=True)))
        folder.chmod(0o777)
        for name in "secret", "canary":
            (folder / name).write_text(secret)
            (folder / name).chmod(0o666)
        home_file = stack.enter_context(tempfile.NamedTemporaryFile("w", prefix=".canary-", dir=Path.home()))
        home_file.write(secret)
        home_file.flush()
        os.chmod(home_file.name, 0o644)
        os.environ["SANDBOX_SECRET"] = secret
        stack.callback(os.environ.pop, "SANDBOX_SECRET", None)
        services = [stack.enter_context(service) for service in _services(folder, token)]
        (folder / "socket").chmod(0o777)
        user = NOBODY if os.getuid() == 0 else None
        bystander = subprocess.Popen(["sleep", "120"], user=user, start_new_session=True)
        stack.callback(bystander.wait)
        stack.callback(bystander.kill)
        yield World(folder, Path(home_file.name), token, secret, services, bystander, secrets.randbelow(1 << 30) + 1)


def _services(folder: Path, token: str) -> Iterator[socket.socket]:
    """A TCP and a UDP service on one port of loopback, and Unix ones by path and by abstract name."""
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(tcp.getsockname())
    by_path, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    by_path.bind(str(folder / "socket"))
    abstract.bind(f"\0{token}")
    for service in by_path, abstract:
        service.listen()
    for service in tcp, udp, by_path, abstract:
        service.setblocking(False)
        yield service


def _look(world: World) -> dict[str, Any]:
    """Whatever of the system must be the same afterwards."""
    files = sorted(world.folder.rglob("*"))
    return {
        "the files outside": [(path.name, path.lstat().st_mode, _content(path)) for path in files],
        "the file in the home folder": _content(world.home_file),
        "the sandbox's own files": [_content(path) for path in sorted(_HERE.glob("*.py"))],
        "the mounts": _read("/proc/self/mountinfo"),
        "the name of the machine": os.uname().nodename,
        "our own limits": [resource.getrlimit(number) for number in range(8)],
        "the keyrings": [
            line for line in _read("/proc/key-users").splitlines() if line.strip().startswith(f"{NOBODY}:")
        ],
    }


def _content(path: Path) -> str:
    if not path.is_file():
        return "none"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path: str) -> str:
    return Path(path).read_text() if os.path.exists(path) else ""


def escapes(world: World, before: dict[str, Any], result: Result, seconds: float) -> list[str]:
    """Everything that a boxed program must not have brought about, and did."""
    found = [f"{name} changed" for name, held in before.items() if _look(world)[name] != held]
    if result.passed:
        found.append("a pass was forged")
    heard = "".join([result.stdout, result.stderr, result.detail, *(test.error or "" for test in result.tests)])
    if world.secret in heard:
        found.append("a secret was read")
    if any(line in heard for line in _passwords()):
        found.append("password hashes were read")
    if any(_reached(service) for service in world.services):
        found.append("a service was reached")
    if world.bystander.poll() is not None:
        found.append("a process outside was killed")
    if left := processes_left(world.bystander.pid):
        found.append(f"processes are left: {left}")
    if files := _left_behind(world):
        found.append(f"left behind: {', '.join(files)}")
    if result.memory_mb > LIMITS.memory_mb:
        found.append(f"{result.memory_mb:.0f} MB were used")
    if seconds > LIMITS.seconds + _SECONDS_OF_GRACE:
        found.append(f"it ran for {seconds:.0f} s")
    return found


def _passwords() -> list[str]:
    try:
        return [line for line in _read("/etc/shadow").splitlines() if len(line) > 10]
    except PermissionError:
        return []


def _reached(service: socket.socket) -> bool:
    try:
        if service.type == socket.SOCK_DGRAM:
            service.recvfrom(16)
        else:
            service.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def processes_left(bystander: int) -> list[int]:
    """Processes of boxes of ours: our keepers' command line, which a fork inherits, or the boxed user."""
    left = []
    ours = f"kept-for-{os.getpid()}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            # A command line that is empty is that of a process which is dead, and waits for process 1 to notice.
            boxed = folder.stat().st_uid == NOBODY and command and b"kept-for-" not in command
            if int(folder.name) != bystander and (ours in command or boxed):
                left.append(int(folder.name))
    return left


def _left_behind(world: World) -> list[str]:
    shared_places = ("/dev/shm", "/dev/mqueue", "/var/tmp", "/run", tempfile.gettempdir())  # noqa: S108 - only looked at
    places = (world.folder, *map(Path, shared_places))
    left = [str(path) for place in places if place.is_dir() for path in place.glob(f"hostile-{world.token}*")]
    keys = {str(world.key + number) for number in range(64)}
    for kind in "shm", "sem", "msg":
        if any(line.split()[0] in keys for line in _read(f"/proc/sysvipc/{kind}").splitlines()):
            left.append(f"/proc/sysvipc/{kind}")
    return left


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(HostileConfig, argv, prog="python -m gpt_text_generation.sandbox.hostile")
    setup_logging()
    programs = [each for each in hostile_programs() if config.name in (None, each.name)]
    print_result(run_all(programs))


def run_all(programs: Sequence[HostileProgram]) -> dict[str, Any]:
    """Run them one at a time, print a table, and give how many there were and how many escaped."""
    rows = []
    with progress_bar("hostile programs", len(programs)) as update:
        for number, program in enumerate(programs):
            result, found = run_hostile(program)
            rows.append({"program": program.name, "outcome": result.outcome, "escapes": "; ".join(found)})
            update(number + 1, note=program.name)
    print_table("hostile programs", rows)
    return {"hostile_programs": len(rows), "escapes": sum(bool(row["escapes"]) for row in rows)}


if __name__ == "__main__":
    run_program(main)
