"""Run every project's quickstart and put what they found into one page, outputs/demo/report.html.

python demo.py
python demo.py --only transformer_from_scratch,qa_system

The same command goes on after an interrupt or a failure: what is finished is kept until its code changes.
`--fresh true`, or `make demo FRESH=true`, runs all anew.
"""

import ast
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

from rich.markup import escape

from shared.config import check, parse_config
from shared.errors import INTERRUPTED, UserError, describe_os_error, run_program
from shared.files import write_json, write_text
from shared.logging import console, print_result
from shared.phrases import both
from shared.report import SECTION, Text, read_section, write_report
from shared.runs import provenance, read_json
from shared.timing import Timer
from tools.projects import PROJECTS

ROOT = Path(__file__).absolute().parent
GRACE = 10  # seconds a quickstart has to end by itself after Ctrl-C
SMOKE_SECONDS = 10.0  # about what one takes with --smoke
UNKNOWN_SECONDS = 60.0  # for a quickstart that does not say how long it takes
FINISHED = "finished.json"


@dataclass(frozen=True)
class DemoConfig:
    """Run every project's quickstart and write one page with their pictures, numbers and samples."""

    output: str = "outputs/demo"
    """Folder for the page and the projects' outputs; what an earlier demo left there is kept or replaced."""
    only: str = ""
    """Projects to run, with commas between them; by default all that are here."""
    smoke: bool = False
    """A few steps of tiny models: seconds, to see that all works."""
    fresh: bool = False
    """Run all anew; else only what is missing and what has changed since an earlier demo."""

    def __post_init__(self) -> None:
        for name in self.names():
            check(name in PROJECTS, "only", name, f"choose from {', '.join(PROJECTS)}")

    def names(self) -> list[str]:
        return [name.strip() for name in self.only.split(",") if name.strip()]


class Failure(Exception):
    """A quickstart did not end well. Its `why` is the reason in one line."""

    def __init__(self, why: Text) -> None:
        super().__init__(why if isinstance(why, str) else why["en"])
        self.why = why


class Finished:
    """What has been finished so far, noted in a file, so that the same command runs what is missing or has changed."""

    def __init__(self, config: DemoConfig, output: Path, root: Path) -> None:
        self.output, self.root = output, root
        self.file = output / FINISHED
        self.settings = {"only": config.names(), "smoke": config.smoke}
        self.projects: dict[str, dict[str, Any]] = {}  # name -> the code it ran with, its seconds
        if config.fresh:
            self.file.unlink(missing_ok=True)
        if self.file.exists():
            earlier = read_json(self.file)
            self.projects = earlier["projects"] if earlier["settings"] == self.settings else {}

    def section(self, name: str) -> dict[str, Any] | None:
        """A finished project's section, with its seconds; None where it is missing or its code has changed."""
        project = self.projects.get(name)
        if project is None or project["code"] != code_hash(self.root, name):
            return None
        try:
            return {**read_section(self.output / name), "seconds": project["seconds"]}
        except UserError:  # its folder was removed or damaged
            return None

    def add(self, name: str, code: str, seconds: float) -> None:
        self.projects[name] = {"code": code, "seconds": seconds}
        write_json(self.file, {"settings": self.settings, "projects": self.projects})


def run_demo(config: DemoConfig, root: Path, command: str = "python demo.py") -> dict[str, Any]:
    """Run the quickstarts below `root` and write the page, whatever becomes of each. Returns the result line."""
    output = Path(config.output).absolute()
    wanted = wanted_projects(config, root)
    expected = {name: expected_seconds(root / name / "quickstart.py") for name in wanted}
    if config.smoke:
        expected = dict.fromkeys(wanted, SMOKE_SECONDS)
    finished = Finished(config, output, root)
    sections = {name: section for name in wanted if (section := finished.section(name))}
    missing = [name for name in wanted if name not in sections]
    kept_seconds = sum(section["seconds"] for section in sections.values())
    if sections:
        console.print(f"Finished before, and kept: {', '.join(sections)}. To run all anew: make demo FRESH=true")
    failures: list[dict[str, Any]] = []
    interrupted = False
    with Timer() as whole:
        for number, name in enumerate(missing, start=1):
            left = time_left([expected[later] for later in missing[number - 1 :]], expected, taken(sections))
            console.print(f"[bold]{number} of {len(missing)}: {name}[/], about {left} left in all")
            log, code = output / f"{name}.log", code_hash(root, name)
            try:
                with Timer() as timer:
                    section = run_quickstart(name, root, output / name, log, config.smoke)
                sections[name] = {**section, "seconds": round(timer.seconds, 1)}
                finished.add(name, code, sections[name]["seconds"])
            except (Failure, UserError, OSError) as error:
                reason = describe_os_error(error) if isinstance(error, OSError) else str(error)
                failures.append({"project": name, "why": getattr(error, "why", reason), "log": shown(log, root)})
                console.print(f"[red]{name} failed:[/] {escape(reason)}\n  see {escape(shown(log, root))}")
            except KeyboardInterrupt:
                interrupted = True
                why = both("report.interrupted")
                failures += [{"project": later, "why": why, "log": ""} for later in missing[number - 1 :]]
                break
    in_order = [{**sections[name], "command": f"python -m {name}.quickstart"} for name in wanted if name in sections]
    facts = {**provenance(), "seconds": f"{kept_seconds + whole.seconds:.0f}", "command": command}
    write_report(output / "report.html", in_order, failures, facts)
    return {
        "report": shown(output / "report.html", root),
        "projects": {name: taken(sections).get(name) for name in wanted},
        "failed": [failure["project"] for failure in failures],
        "interrupted": interrupted,
        "seconds": round(kept_seconds + whole.seconds, 1),
    }


def wanted_projects(config: DemoConfig, root: Path) -> list[str]:
    """The projects to run, in the roadmap's order. Raises UserError where one that was asked for is not here."""
    here = [name for name in PROJECTS if (root / name / "quickstart.py").exists()]
    for name in config.names():
        if name not in here:
            raise UserError(f"--only {name}: not in this copy yet: choose from {', '.join(here) or 'none'}")
    return [name for name in here if not config.only or name in config.names()]


def run_quickstart(name: str, root: Path, folder: Path, log: Path, smoke: bool) -> dict[str, Any]:
    """Run one quickstart into a fresh folder, which takes the old one's place only if all went well.

    Returns its section of the report. Raises Failure with the reason in one line; `log` has all it printed.
    """
    draft = folder.with_name(f".{folder.name}.draft")
    if draft.exists():
        shutil.rmtree(draft)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"{name}.quickstart", "--output", shown(draft, root)]
    try:
        with open(log, "wb", buffering=0) as kept:
            code = run_child(command + (["--smoke", "true"] if smoke else []), root, kept)
    finally:
        text = readable(log.read_bytes().decode("utf-8", errors="replace"))
        write_text(log, text)
    if code == 0 and not (draft / SECTION).is_file():
        raise Failure(both("report.no_section", file=SECTION))
    if code < 0:
        raise Failure(both("report.killed", signal=signal.Signals(-code).name))
    if code != 0:
        raise Failure(last_words(text) or both("report.unsaid", code=code))
    # The section may name the folder it was made in, for example in a command to go on with.
    section = (draft / SECTION).read_text(encoding="utf-8")
    write_text(draft / SECTION, section.replace(shown(draft, root), shown(folder, root)))
    read_section(draft)
    if folder.exists():
        shutil.rmtree(folder)
    draft.rename(folder)
    return read_section(folder)


def run_child(command: list[str], root: Path, log: BinaryIO) -> int:
    """Run a command from `root`, its messages and bars on the terminal too; returns its exit code.

    It gets a process group of its own, so that it ends together with whatever it has started.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    if console.is_terminal:
        # Its stderr is a pipe to us; this is how rich knows that a terminal is at the other end.
        environment |= {"FORCE_COLOR": "1", "TTY_INTERACTIVE": "1", "COLUMNS": str(console.width)}
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.PIPE}
    child = subprocess.Popen(command, cwd=root, env=environment, start_new_session=True, **streams)
    copier = Thread(target=copy, args=(child.stderr, log), daemon=True)
    copier.start()
    try:
        return child.wait()
    except KeyboardInterrupt:
        os.killpg(child.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
        raise
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # what it may have left running
        child.wait()
        copier.join(GRACE)


def copy(source: BinaryIO, log: BinaryIO) -> None:
    """Pass on what a child says, to our stderr and to its log."""
    for piece in iter(lambda: os.read(source.fileno(), 65536), b""):
        # A full disk or a closed terminal must not stop the child, which waits until it is read.
        for target in (log, sys.stderr.buffer):
            with suppress(OSError, ValueError):
                target.write(piece)
                target.flush()
    source.close()


def readable(log: str) -> str:
    """A log without colours, and of every progress bar only its last state."""
    lines = log.replace("\r\n", "\n").split("\n")
    lines = [re.split(r"\r|\x1b\[2K", line)[-1] for line in lines]
    return "\n".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in lines)


def last_words(log: str) -> str:
    """The line that says why: the last `error: ...`, else the last that names an exception, else the last."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    exceptions = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)\b", line)]
    return (errors or exceptions or lines or [""])[-1].strip()


def expected_seconds(quickstart: Path) -> float:
    """The measured constant SECONDS of a quickstart, read without importing it."""
    try:
        body = ast.parse(quickstart.read_text(encoding="utf-8")).body
    except (SyntaxError, ValueError):
        return UNKNOWN_SECONDS  # running it will say what is wrong
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "SECONDS":
            with suppress(ValueError, TypeError):
                return float(ast.literal_eval(node.value))
    return UNKNOWN_SECONDS


def taken(sections: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {name: section["seconds"] for name, section in sections.items()}


def code_hash(root: Path, name: str) -> str:
    """Hash of the Python and YAML files that a project's quickstart may run or read."""
    digest = hashlib.sha256()
    for file in sorted(file for folder in (name, "shared") for file in (root / folder).rglob("*")):
        if file.suffix in (".py", ".yaml"):
            digest.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return digest.hexdigest()


def time_left(ahead: Sequence[float], expected: dict[str, float], done: dict[str, float]) -> str:
    """What is ahead, in words, corrected by how this machine did with those behind."""
    pace = sum(done.values()) / sum(expected[name] for name in done) if done else 1.0
    left = sum(ahead) * pace
    return f"{max(left, 1):.0f} s" if left < 90 else f"{left / 60:.0f} min"


def shown(path: Path, root: Path) -> str:
    """The path as commands run from `root` can use it: short where it is below."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


@contextmanager
def endings_as_interrupts() -> Iterator[None]:
    """Within the block, a closed terminal or a polite kill ends the demo as Ctrl-C does, its children included."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> None:
    arguments = list(sys.argv[1:] if argv is None else argv)
    config = parse_config(DemoConfig, arguments, prog="python demo.py")
    with endings_as_interrupts():
        result = run_demo(config, root, shlex.join(["python", "demo.py", *arguments]))
    link = (root / result["report"]).as_uri()
    console.print(f"\nThe report: {escape(result['report'])}\nOpen it in a browser: {escape(link)}", soft_wrap=True)
    if result["failed"]:
        console.print("The same command goes on with what is missing.")
    print_result(result)
    if result["interrupted"]:
        sys.exit(INTERRUPTED)
    if result["failed"]:
        sys.exit(1)


if __name__ == "__main__":
    run_program(main)
