"""A run folder holds all there is to know of one run, and is never overwritten.

config.json       the resolved settings
metrics.jsonl     one line of numbers a logged step
log.jsonl         the messages
model.safetensors the weights, with the tokenizer beside them
summary.json      the outcome: scores, seed, commit, hardware, seconds
"""

import datetime
import fcntl
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from shared.errors import UserError
from shared.files import is_draft, parse_json, write_json, write_text

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"


class RunFolder:
    """Reads and writes the files of one run under `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: str | Path | None, project: str, config: dict[str, Any]) -> "RunFolder":
        """Make a new folder and save the settings in it; without a path, `runs/PROJECT/DATE-TIME`.

        Raises UserError where the folder already holds something: results are never overwritten.
        """
        if path is None:
            path = _free_name(Path("runs") / project / f"{datetime.datetime.now():%Y%m%d-%H%M%S}")
        folder = Path(path)
        if folder.exists() and (not folder.is_dir() or not all(map(is_draft, folder.iterdir()))):
            raise UserError(f"--output {folder}: already holds a run: name another folder, or continue it by --resume")
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder)
        write_json(folder / CONFIG, config)
        return run

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Open an existing run. Raises UserError where there is none."""
        folder = Path(path)
        if not (folder / CONFIG).is_file():
            raise UserError(f"{folder}: no run here ({CONFIG} is missing): give the folder that a training printed")
        return cls(folder)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Within the block no other process may claim this run. Raises UserError where one has."""
        with open(self.path / CONFIG, "rb") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"{self.path}: another process works on this run: wait until it has ended") from error
            yield

    def config(self) -> dict[str, Any]:
        """The settings the run was made with. Raises UserError where the file is damaged."""
        return read_json(self.path / CONFIG)

    def summary(self) -> dict[str, Any]:
        """What the finished run came to. Raises UserError where the file is missing or damaged."""
        return read_json(self.path / SUMMARY)

    def log_metrics(self, metrics: dict[str, Any]) -> None:
        """Add a line to the run's metrics."""
        with open(self.path / METRICS, "a+b") as file:
            # A line that a full disk cut short must not swallow the next.
            file.truncate(_end_of_last_line(file))
            file.write(json.dumps(metrics).encode() + b"\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The logged lines; a last line cut short by a kill is left out. Raises UserError for any other damage."""
        file = self.path / METRICS
        if not file.exists():
            return []
        lines = file.read_bytes().splitlines(keepends=True)
        try:
            return [parse_json(line) for line in lines if line.endswith(b"\n")]
        except json.JSONDecodeError as error:
            raise UserError(f"{file}: damaged, a line is not valid JSON: remove that line") from error

    def forget_metrics_after(self, step: int) -> None:
        """Drop lines past `step`, which a resumed run will log again."""
        self.keep_metrics(lambda line: line["step"] <= step)

    def keep_metrics(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Drop all other lines."""
        kept = [line for line in self.metrics() if wanted(line)]
        write_text(self.path / METRICS, "".join(json.dumps(line) + "\n" for line in kept))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Say what the run came to, with date, commit and hardware; with that it is finished."""
        write_json(self.path / SUMMARY, {**summary, **provenance()})


def _end_of_last_line(file: IO[bytes]) -> int:
    """The bytes before what follows the last line break."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(end - 4096, 0)
        file.seek(start)
        if found := file.read(end - start).rfind(b"\n") + 1:
            return start + found
        end = start
    return 0


def read_json(path: Path) -> Any:
    """Parsed JSON. Raises UserError where the file is missing or damaged."""
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing: the run was not finished, or this is not a run folder") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: damaged, not valid JSON: restore it or make the run anew") from error


def provenance() -> dict[str, Any]:
    """Date, commit and hardware, to stand beside every result."""
    return {
        "date": f"{datetime.date.today():%Y-%m-%d}",
        "commit": git_commit(),
        "hardware": hardware(),
        "python": platform.python_version(),
    }


def git_commit() -> str:
    """Short hash of the code's commit, with `+` when files differ from it; `unknown` outside a checkout."""
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "--short", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ":/*.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


def hardware() -> str:
    """The processor in words, with its cores, and the GPU where torch is loaded and sees one."""
    import sys

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    words = f"{name}, {os.cpu_count()} cores"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        words += f", {torch.cuda.get_device_name()}"
    return words


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def _free_name(path: Path) -> Path:
    candidate, number = path, 2
    while candidate.exists():
        candidate, number = path.with_name(f"{path.name}-{number}"), number + 1
    return candidate
