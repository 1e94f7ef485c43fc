"""Start a keeper (box.py) from here, hear what its program prints, and end it with all that it started."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gpt_text_generation.sandbox.box import FOLDER, NOBODY

_CODE = Path(__file__).parents[2]
# -S -s -P and an environment of our own leave nothing else that Python would find or run at its start.
_START = "import sys; sys.path.insert(0, sys.argv[1]); from gpt_text_generation.sandbox.box import main; main()"
_SECONDS_TO_END = 10
_MB = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a program may use."""

    seconds: float = 10.0
    """Of the clock on the wall, for all tests together: more than of processor time, for a machine that is busy."""
    cpu_seconds: int = 5
    """Of processor time, for each process."""
    memory_mb: int = 256
    """For each process, Python included."""
    processes: int = 8
    """And threads; of all boxes that run at once."""
    open_files: int = 64
    file_mb: int = 4
    folder_mb: int = 8
    """All its files together."""
    folder_files: int = 200
    output_kb: int = 256
    """Printed, on both streams together."""

    def numbers(self) -> dict[str, int]:
        """What box.py sets, in bytes and counts."""
        return {
            "cpu_seconds": self.cpu_seconds,
            "memory": self.memory_mb * _MB,
            "processes": self.processes,
            "open_files": self.open_files,
            "file_size": self.file_mb * _MB,
            "folder_size": self.folder_mb * _MB,
            "folder_files": self.folder_files,
        }


class Keeper:
    """A role (candidate, judge or probe) in a box of its own. As a context it leaves no process and no file behind."""

    def __init__(
        self, role: str, guards: Iterable[str], limits: Limits, descriptors: Mapping[str, int], **job: Any
    ) -> None:
        """The descriptors are handed over: they are closed here. `job` is what else the role needs."""
        self._stack = ExitStack()
        self._status, status = os.pipe()
        self._stack.callback(os.close, self._status)
        try:
            folder = self._folder(guards)
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-s", "-P", "-B", "-u", "-c", _START, str(_CODE), f"kept-for-{os.getpid()}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(status, *descriptors.values()),
                env={"PYTHONHASHSEED": "0", "HOME": folder or FOLDER, "LANG": "C.UTF-8"},
                cwd=folder or "/",
                start_new_session=True,
            )
        except BaseException:
            self._stack.close()
            raise
        finally:
            for descriptor in (status, *descriptors.values()):
                os.close(descriptor)
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None and stdout is not None and stderr is not None  # they are pipes
        self._stdin, self.stdout, self.stderr = stdin, stdout, stderr
        job |= {"role": role, "guards": list(guards), "limits": limits.numbers()}
        job |= {"status": status, "descriptors": dict(descriptors)}
        with suppress(BrokenPipeError):  # of a keeper that did not start, `end` tells
            stdin.write(json.dumps(job).encode() + b"\n")
            stdin.flush()

    def _folder(self, guards: Iterable[str]) -> str | None:
        """A box without files of its own, in memory, gets an empty folder of the system's."""
        if "files" in guards:
            return None
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-", ignore_cleanup_errors=True))
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        return folder

    def end(self) -> dict[str, Any]:
        """Kill whatever still runs, and give how the program ended: exit_code or signal, cpu_seconds, memory_mb.

        Or `setup`: why the box could not be made. Nothing where the keeper itself did not come so far.
        """
        with suppress(BrokenPipeError):
            self._stdin.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        lines = os.read(self._status, 1 << 16).splitlines()
        return json.loads(lines[0]) if lines else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for stream in self._stdin, self.stdout, self.stderr:
            with suppress(BrokenPipeError):
                stream.close()
        self._stack.close()
