"""Disturbs real work in every way that happens to programs, and looks whether anything is lost or half-trusted.

python -m tools.faults                                  # some 250 kills, full disks, clocks that jump, two at once
python -m tools.faults --trial kill --only photos --kills 40 --seed 3
python -m tools.faults --save true                      # keep the table in tools/results/faults.json

kill    SIGKILL at a random moment, then the same command again, until it ends: the end must be that of undisturbed work
full    the disk is full after a random number of bytes: one clear line, and with room again the same end
clock   the wall clock jumps by up to a year, back and forth: the same end
two     two processes do the same work in the same folder at once: the same end, or one is refused in a clear line
serve   SIGKILL to a server under requests: right answers, and all that was acknowledged, after every new start

The work is listed in tools/fault_jobs.py, the servers in tools/fault_servers.py. Heavy packages are loaded once; every
disturbed process is a fork of this one.
"""

import ctypes
import io
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from shared.config import check, parse_config
from shared.errors import UserError, describe_os_error, run_program
from shared.files import write_json
from shared.logging import get_logger, print_result, print_table, progress_bar, setup_logging
from shared.runs import provenance
from shared.timing import Timer
from tools.fault_jobs import JOBS, Job
from tools.fault_servers import SERVERS, serve

log = get_logger(__name__)
RESULT = Path(__file__).parent / "results" / "faults.json"
TRIALS = ("kill", "full", "clock", "two")  # of the jobs; the servers' is "serve"
MOST_S = 120.0  # of one process: more is a hang
YEAR_S = 365 * 24 * 3600.0
MOUNT_DETACH = 2


@dataclass(frozen=True, kw_only=True)
class FaultsConfig:
    """Disturb real work and count what is lost, half-trusted, or hangs."""

    trial: Literal["all", "kill", "full", "clock", "two", "serve"] = "all"
    """Which disturbance."""
    only: str | None = None
    """Which work, with commas between; by default all of it."""
    kills: int = 30
    """Kills for each work."""
    rounds: int = 5
    """Full disks, jumping clocks, and pairs of processes for each work."""
    seed: int = 0
    """Seed of the moments."""
    save: bool = False
    """Put the rows into tools/results/faults.json, in the place of those of the same trial and work."""

    def __post_init__(self) -> None:
        for name in ("kills", "rounds"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")
        for name in self.only.split(",") if self.only else ():
            check(name in (*JOBS, *SERVERS), "only", name, f"choose among {', '.join((*JOBS, *SERVERS))}")


class Child:
    """A fork that does something, and whatever it says or gives."""

    def __init__(self, do: Callable[[], Any], notes: Path) -> None:
        self.notes = notes
        self.notes.unlink(missing_ok=True)
        self.pid = os.fork()
        if self.pid == 0:
            self._run(do)
        self.fd = os.pidfd_open(self.pid)

    def _run(self, do: Callable[[], Any]) -> None:
        os.setsid()  # what it starts in turn is known by this
        with open(os.devnull, "r+b") as nothing:
            for stream in (0, 1, 2):
                os.dup2(nothing.fileno(), stream)
        try:
            told = {"gave": do()}
        except UserError as error:
            told = {"refused": str(error)}
        except OSError as error:
            told = {"refused": describe_os_error(error)}
        except BaseException:
            told = {"fault": traceback.format_exc()[-1500:]}
        self.notes.write_text(json.dumps(told))
        os._exit(0)

    def wait(self, kill_after: float | None = None) -> dict[str, Any]:
        """What it gave, or how it ended: gave, refused, fault, killed or hung. Nothing of it runs on."""
        ended, _, _ = select.select([self.fd], [], [], MOST_S if kill_after is None else kill_after)
        if not ended:
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)
        left = self._what_runs_on()
        if left:
            return {"fault": f"left processes behind: {left}"}
        if not ended:
            return {"hung": MOST_S} if kill_after is None else {"killed": kill_after}
        return json.loads(self.notes.read_text()) if self.notes.exists() else {"fault": "ended without a word"}

    def _what_runs_on(self) -> str:
        """Processes of its session that do not end within five seconds; they are then ended."""
        for _ in range(100):
            left = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _session(pid) == self.pid]
            if not left:
                return ""
            time.sleep(0.05)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return str(left)


def _session(pid: int) -> int:
    with suppress(OSError):
        state, _, _, session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
        return 0 if state == "Z" else int(session)
    return 0


class Bench:
    """One work with the end that it should have."""

    def __init__(self, job: Job, folder: Path, draw: random.Random) -> None:
        self.job, self.folder, self.draw = job, folder, draw
        self.given, self.n = folder / "given", 0
        self.given.mkdir()
        job.begin(self.given)
        with redirect_stdout(io.StringIO()):  # once here: what it loads and compiles every fork then has
            job.work(self.given, self.new_folder())
        setup_logging()
        whole = self.new_folder()
        started = time.monotonic()
        told = self.start(whole).wait()
        self.seconds = time.monotonic() - started
        self.right = self.outcome(whole)
        if "gave" not in told or "gave" not in self.right:
            raise UserError(f"{job.name}: does not even end undisturbed: {told} {self.right}")
        self.size = sum(file.stat().st_size for file in whole.rglob("*") if file.is_file())

    def new_folder(self) -> Path:
        self.n += 1
        path = self.folder / f"round-{self.n}"
        path.mkdir()
        return path

    def start(self, folder: Path, first: Callable[[], None] = lambda: None) -> Child:
        def do() -> None:
            first()
            self.job.work(self.given, folder)

        return Child(do, self.folder / f"notes-{self.n}-{time.monotonic_ns()}")

    def outcome(self, folder: Path) -> dict[str, Any]:
        return Child(lambda: self.job.outcome(folder), self.folder / "notes-outcome").wait()

    def look(self, folder: Path) -> dict[str, Any]:
        return Child(lambda: self.job.look(folder), self.folder / "notes-look").wait()

    def end_of(self, folder: Path) -> list[str]:
        """What is wrong with the end in this folder."""
        found = self.outcome(folder)
        if found == self.right:
            return []
        other = [k for k in self.right["gave"] if found.get("gave", {}).get(k) != self.right["gave"][k]]
        return [f"another end: {other} {found if 'gave' not in found else ''}"]


def kill(bench: Bench, times: int, update: Callable[[int], None]) -> tuple[int, list[str]]:
    done, wrong = 0, []
    while done < times:
        folder, gone_on = bench.new_folder(), 0
        while True:
            within = bench.seconds * bench.draw.uniform(0, 0.9 if gone_on == 0 else 0.5)
            told = bench.start(folder).wait(within if done < times else None)
            if "killed" not in told:
                break
            done, gone_on = done + 1, gone_on + 1
            update(done)
            if "gave" not in (seen := bench.look(folder)):
                wrong.append(f"after a kill at {within:.3f} s: {seen}")
                break
            if gone_on > 12:  # else a work without checkpoints would never end
                told = bench.start(folder).wait()
                break
        wrong += bench.end_of(folder) if "gave" in told else [f"does not go on: {told}"]
        shutil.rmtree(folder)
    return done, wrong


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[], None]]:
    """The folder as a disk of its own of this size; the call makes it large. Without leave to mount: UserError."""
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(options: str, flags: int = 0) -> None:
        if libc.mount(b"small", str(folder).encode(), b"tmpfs", flags, options.encode()):
            raise UserError(f"a small disk cannot be mounted ({os.strerror(ctypes.get_errno())}): run it as root")

    mount(f"size={size}")
    try:
        yield lambda: mount("size=1g", 32)  # MS_REMOUNT
    finally:
        libc.umount2(str(folder).encode(), MOUNT_DETACH)


def full(bench: Bench, times: int, update: Callable[[int], None]) -> tuple[int, list[str]]:
    wrong = []
    for number in range(times):
        folder = bench.new_folder()
        with small_disk(folder, 4096 * round(bench.draw.uniform(1, 1.2 * bench.size / 4096 + 2))) as enlarge:
            told = bench.start(folder).wait()
            if "fault" in told or "hung" in told:
                wrong.append(f"on a full disk: {told}")
            enlarge()
            if "gave" not in (seen := bench.look(folder)):
                wrong.append(f"after a full disk: {seen}")
            told = bench.start(folder).wait()
            wrong += bench.end_of(folder) if "gave" in told else [f"does not go on after a full disk: {told}"]
        update(number + 1)
    return times, wrong


def jump(seed: int) -> None:
    """From here on the clock of this process jumps at every look at it."""
    draw, real = random.Random(seed), time.time
    time.time = lambda: real() + draw.uniform(-YEAR_S, YEAR_S)
    time.time_ns = lambda: int(time.time() * 1e9)


def clock(bench: Bench, times: int, update: Callable[[int], None]) -> tuple[int, list[str]]:
    wrong = []
    for number in range(times):
        folder, seed = bench.new_folder(), bench.draw.randrange(10**6)
        bench.start(folder, partial(jump, seed)).wait(bench.seconds * bench.draw.uniform(0, 1))
        told = bench.start(folder, partial(jump, seed + 1)).wait()
        wrong += bench.end_of(folder) if "gave" in told else [f"with a jumping clock: {told}"]
        update(number + 1)
    return times, wrong


def two(bench: Bench, times: int, update: Callable[[int], None]) -> tuple[int, list[str]]:
    wrong = []
    for number in range(times):
        folder, children = bench.new_folder(), []
        for _ in range(2):
            children.append(bench.start(folder))
            time.sleep(bench.draw.uniform(0, bench.seconds / 2))
        told = [child.wait() for child in children]
        wrong += [f"one of two: {each}" for each in told if "fault" in each or "hung" in each]
        if all("refused" in each for each in told):
            told.append(bench.start(folder).wait())
        wrong += bench.end_of(folder)
        update(number + 1)
    return times, wrong


def main(argv: list[str] | None = None) -> None:
    config = parse_config(FaultsConfig, argv, prog="python -m tools.faults")
    setup_logging()
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    rows, total = [], Timer()
    with total:
        # The servers last: they put stand-ins in the place of models.
        for name in [name for name in (*JOBS, *SERVERS) if name in (config.only or name).split(",")]:
            if config.trial in ("all", "serve" if name in SERVERS else config.trial):
                rows += (found := _serve(name, config) if name in SERVERS else _disturb(name, config))
                if config.save:
                    save(found)
    print_table("what was disturbed", rows)
    wrong = sum(row["wrong"] for row in rows)
    print_result({"cases": sum(row["cases"] for row in rows), "wrong": wrong, "seconds": total.seconds})
    sys.exit(1 if wrong else 0)


def _disturb(name: str, config: FaultsConfig) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        bench = Bench(JOBS[name], Path(folder), random.Random(config.seed))
        for trial in TRIALS if config.trial == "all" else (config.trial,):
            times = config.kills if trial == "kill" else config.rounds
            with progress_bar(f"{trial} {name}", times) as update:
                cases, wrong = globals()[trial](bench, times, update)
            rows.append(_row(trial, name, cases, wrong, config))
    return rows


def _serve(name: str, config: FaultsConfig) -> list[dict[str, Any]]:
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as folder,
        progress_bar(f"serve {name}", config.kills) as update,
    ):
        fork = partial(Child, notes=Path(folder) / "notes")
        wrong, asked = serve(name, Path(folder), config.kills, random.Random(config.seed), fork, update)
    return [{**_row("serve", name, config.kills, wrong, config), "requests": asked}]


def _row(trial: str, name: str, cases: int, wrong: list[str], config: FaultsConfig) -> dict[str, Any]:
    for line in wrong:
        log.error("%s %s: %s", trial, name, line)
    return {"trial": trial, "work": name, "cases": cases, "wrong": len(wrong), "seed": config.seed}


def save(rows: list[dict[str, Any]]) -> None:
    """Keep the rows; those of other trials and works stay."""
    kept = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.exists() else []
    new = {(row["trial"], row["work"]) for row in rows}
    rows = sorted(
        [row for row in kept if (row["trial"], row["work"]) not in new] + rows, key=lambda r: (r["trial"], r["work"])
    )
    write_json(RESULT, {"rows": rows, "cases": sum(row["cases"] for row in rows), **provenance()})


if __name__ == "__main__":
    run_program(main)
