"""The verdicts of a stream as one HTML page that needs no network, in both languages."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_optimization.monitoring import drift_figures as figures
from model_optimization.monitoring.readings import Readings
from shared.phrases import LANGUAGES, both
from shared.report import Section, read_section, write_report
from shared.runs import provenance

if TYPE_CHECKING:
    from model_optimization.monitoring.drift_detection import DriftConfig

REPORT = "report.html"
SHOWN = 30  # windows in the table


def write(
    folder: Path,
    lines: Sequence[dict[str, Any]],
    reference: Readings,
    source: str,
    config: "DriftConfig",
    seconds: float,
) -> None:
    """Write report.html, and section.json, of which it is made. `lines` are those of windows.jsonl."""
    n_drifted = sum(line["drift"] for line in lines)
    known = reference.labelled
    accuracy = float(known.right.mean()) if len(known) else None
    counts = {"n": len(lines), "drifted": n_drifted, "window": config.window}
    section = Section(both("optimization.drift.stream", file=config.file), both("optimization.drift.summary", **counts))
    section.numbers(
        [
            (both("optimization.drift.number.windows"), len(lines)),
            (both("optimization.drift.number.drifted"), n_drifted),
            (both("optimization.drift.number.expected"), f"{config.alpha * len(lines):.2g}"),
            (both("optimization.drift.number.estimate"), f"{lines[-1]['estimated_accuracy']:.1%}"),
            (both("optimization.drift.number.reference"), "–" if accuracy is None else f"{accuracy:.1%}"),
        ]
    )
    compared = {"source": source, "n": f"{len(reference):,}", "alpha": f"{config.alpha:g}"}
    section.text(both("optimization.drift.explain.verdict", **compared))
    section.figure(
        lambda each: figures.p_values(lines, config.alpha, each), both("optimization.drift.caption.p_values")
    )
    section.figure(
        lambda each: figures.accuracies(lines, accuracy, each), both("optimization.drift.caption.accuracies")
    )
    section.figure(lambda each: figures.tenths_map(lines, "score", each), both("optimization.drift.caption.scores"))
    section.figure(lambda each: figures.tenths_map(lines, "length", each), both("optimization.drift.caption.lengths"))
    section.table([_row(line) for line in lines[-SHOWN:]], both("optimization.drift.caption.table", n=SHOWN))
    section.save(folder)
    command = f"python -m model_optimization.monitoring.drift_detection --file {shlex.quote(config.file)}"
    facts = {**provenance(), "seconds": f"{seconds:.0f}", "command": command}
    shown = {**read_section(folder), "command": command, "seconds": seconds}
    write_report(folder / REPORT, [shown], [], facts, "optimization.drift.title", "optimization.drift.lead")


def _row(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "window": line["window"],
        "first": line["first"],
        "last": line["last"],
        "drift": both(f"optimization.{'yes' if line['drift'] else 'no'}"),
        "because": {each: figures.test_names(line["because"], each) or "–" for each in LANGUAGES},
        "estimated_accuracy": line["estimated_accuracy"],
        "accuracy": line["accuracy"],
    }
