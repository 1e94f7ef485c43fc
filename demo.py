"""Run every project's quickstart and put what they found into one page, outputs/demo/report.html.

python demo.py
python demo.py --only transformer_from_scratch
"""

import ast
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.config import check, parse_config
from shared.errors import INTERRUPTED, run_program
from shared.logging import console, print_result
from shared.report import read_section, write_report
from shared.runs import provenance
from shared.timing import Timer

PROJECTS = (
    "transformer_from_scratch",
    "bert_sentiment_analysis",
    "gpt_text_generation",
    "qa_system",
    "model_optimization",
    "multimodal_llm",
)
LOG = "quickstart.log"


@dataclass(frozen=True)
class DemoConfig:
    """Run every project's quickstart and write one page with their pictures, numbers and samples."""

    output: str = "outputs/demo"
    """Folder for the page and the projects' outputs; an earlier demo there is replaced, project by project."""
    only: list[str] = field(default_factory=list)
    """Projects to run; by default all that are here."""
    smoke: bool = False
    """A few steps of tiny models: seconds, to see that all works."""

    def __post_init__(self) -> None:
        for name in self.only:
            check(name in PROJECTS, "only", name, f"choose from {', '.join(PROJECTS)}")


class Failure(Exception):
    """A quickstart did not end well. Its text is the reason in one line."""


def run_demo(config: DemoConfig, root: Path) -> dict[str, Any]:
    """Run the quickstarts below `root` and write the page, whatever becomes of each. Returns the result line."""
    output = Path(config.output).absolute()
    wanted = [name for name in PROJECTS if (root / name / "quickstart.py").exists()]
    wanted = [name for name in wanted if not config.only or name in config.only]
    expected = {name: expected_seconds(root / name / "quickstart.py") for name in wanted}
    seconds: dict[str, float | None] = dict.fromkeys(wanted)
    sections: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    interrupted = False
    with Timer() as whole:
        for number, name in enumerate(wanted, start=1):
            left = sum(expected[later] for later in wanted[number - 1 :])
            console.print(
                f"[bold]{number} of {len(wanted)}: {name}[/], about {max(left / 60, 0.1):.1f} min left in all"
            )
            command = [sys.executable, "-m", f"{name}.quickstart"] + (["--smoke"] if config.smoke else [])
            shown = f"python -m {name}.quickstart"
            try:
                with Timer() as timer:
                    run_quickstart(command, root, output / name)
                sections.append({**read_section(output / name), "command": shown, "seconds": timer.seconds})
                seconds[name] = round(timer.seconds, 1)
            except Failure as failure:
                failures.append({"project": name, "why": str(failure), "log": str(output / f"{name}.log")})
                console.print(f"[red]{name} failed:[/] {failure}", markup=True, highlight=False)
            except KeyboardInterrupt:
                interrupted = True
                failures += [
                    {"project": later, "why": "stopped by Ctrl-C", "log": "-"} for later in wanted[number - 1 :]
                ]
                break
    facts = {**provenance(), "seconds": f"{whole.seconds:.0f}", "command": "make demo"}
    write_report(output / "report.html", sections, failures, facts)
    return {
        "report": str(output / "report.html"),
        "projects": seconds,
        "failed": [failure["project"] for failure in failures],
        "interrupted": interrupted,
        "seconds": round(whole.seconds, 1),
    }


def run_quickstart(command: list[str], root: Path, folder: Path) -> None:
    """Run one quickstart into a fresh folder, which takes the old one's place only if all went well.

    Raises Failure with the reason in one line; what it printed is then in FOLDER.log.
    """
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    log = folder.with_name(f"{folder.name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    with open(log, "wb") as kept:
        # Stderr goes through this process, to the terminal and to the log alike, bar and all.
        environment |= {"FORCE_COLOR": "1", "TTY_INTERACTIVE": "1"} if console.is_terminal else {}
        child = subprocess.Popen(
            [*command, "--output", str(draft)], cwd=root, stdout=kept, stderr=subprocess.PIPE, env=environment
        )
        try:
            assert child.stderr is not None
            while piece := os.read(child.stderr.fileno(), 65536):
                kept.write(piece)
                sys.stderr.buffer.write(piece)
                sys.stderr.buffer.flush()
            child.wait()
        except KeyboardInterrupt:
            # The terminal has sent Ctrl-C to the child too; it saves and ends by itself, or is made to.
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
            raise
        finally:
            if child.stderr is not None:
                child.stderr.close()
    if child.returncode == 0:
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
        return
    shutil.rmtree(draft, ignore_errors=True)
    if child.returncode < 0:
        raise Failure(f"killed by {signal.Signals(-child.returncode).name}")
    raise Failure(last_words(log.read_text(encoding="utf-8", errors="replace")))


def last_words(log: str) -> str:
    """The line that says why: the last `error: ...`, else the last line that is not indented, as an exception's."""
    lines = [line.rstrip() for line in log.replace("\r", "\n").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    plain = [line for line in lines if not line.startswith((" ", "\t"))]
    return (errors or plain or ["it printed nothing"])[-1].removeprefix("error: ")


def expected_seconds(quickstart: Path) -> float:
    """The measured constant SECONDS of a quickstart, read without importing it; a minute where there is none."""
    for node in ast.parse(quickstart.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "SECONDS":
            return float(ast.literal_eval(node.value))
    return 60.0


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(DemoConfig, argv, prog="python demo.py")
    result = run_demo(config, Path(__file__).parent)
    console.print(f"\nThe report: [bold]{result['report']}[/]  (open it in a browser)", soft_wrap=True)
    print_result(result)
    if result["interrupted"]:
        sys.exit(INTERRUPTED)
    if result["failed"]:
        sys.exit(1)


if __name__ == "__main__":
    run_program(main)
