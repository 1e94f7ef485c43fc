"""Watch a stream of texts for drift: a verdict a window, and how often the classifier is still right, without labels.

python -m model_optimization.monitoring.drift_detection --file texts.csv
python -m model_optimization.monitoring.drift_detection --file texts.jsonl --reference FOLDER --window 500

The texts are taken in the order of the file, in windows of one size. The output folder keeps the state: the same
command on a file that has grown goes on with what is new, and so does one that was killed. Texts are not kept.

windows.jsonl  a line a window: the verdict, p-values, estimated accuracy     report.html  the same as pictures
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_optimization.config import PROJECT, REFERENCE, SUBJECT
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.logging import get_logger, print_result, print_table, progress_bar, setup_logging

log = get_logger(__name__)

SHOWN = 20  # windows in the table on the screen


@dataclass(frozen=True)
class DriftConfig:
    """Say of each window of a stream of texts whether it has drifted from the reference."""

    file: str
    """The texts: .csv, .tsv, .jsonl, .json or .txt, in the order in which they came; labels are welcome."""
    reference: str = REFERENCE
    """Folder that make_reference wrote; by default film reviews that the classifier was not trained on."""
    run: str = SUBJECT
    """Folder of the classifier, or a hub name; the one with which the reference was made."""
    output: str = f"runs/{PROJECT}/drift"
    """Folder for verdicts, report and state. A stream that was begun there goes on."""
    window: int = 200
    """Texts of a window. Larger ones show smaller shifts, and show them later."""
    alpha: float = 0.05
    """The share of windows that may raise a false alarm, over all tests together."""
    permutations: int = 499
    """Random splits behind the p-values of the tests on vectors."""
    seed: int = 0
    """Seed of these splits."""

    def __post_init__(self) -> None:
        check(self.window >= 20, "window", self.window, "give at least 20: fewer texts show nothing")
        check(0 < self.alpha < 1, "alpha", self.alpha, "give a share between 0 and 1")
        # Six tests: below 6 / alpha splits no p-value is small enough to pass the correction.
        least = round(6 / self.alpha)
        check(self.permutations >= least, "permutations", self.permutations, f"give at least {least} for this alpha")


def detect(config: DriftConfig) -> dict[str, Any]:
    """Judge what is new in the file, and write the report. Gives all lines, and how many of them are new.

    Raises UserError for a file with fewer texts than a window, and for one that is not the stream that was begun.
    """
    from model_optimization.monitoring.drift_report import write
    from model_optimization.monitoring.make_reference import load_classifier, read_examples
    from model_optimization.monitoring.readings import load
    from model_optimization.monitoring.stream import EMPTY, Stream, chain
    from shared.datasets import load_examples
    from shared.timing import Timer

    if not Path(config.file).is_file():
        raise UserError(f"--file {config.file}: no such file: give the texts that came in")
    examples = load_examples(config.file)
    texts = [example.text for example in examples]
    if len(texts) < config.window:
        few = f"{len(texts)} texts, fewer than a window of {config.window}"
        raise UserError(f"--file {config.file}: has {few}: give more texts, or a smaller --window")
    subject, about = load_classifier(config.run)
    reference, about_reference = load(Path(config.reference), about["classifier"])
    folder = Path(config.output)
    rules = (config.window, config.alpha, config.permutations, config.seed, about_reference["sha256"])
    stream = Stream(reference, folder, *rules)
    if stream.seen > len(texts) or chain(EMPTY, texts[: stream.seen]) != stream.digest:
        raise UserError(f"{folder}: holds the stream of another file, or this one was changed: give another --output")
    n_before, n_new = len(stream.lines), len(texts) - stream.seen
    with progress_bar("texts", len(texts), done=stream.seen) as update, Timer() as timer:
        # Once more than there are parts: what was full when a run was killed is judged though nothing is new.
        for start in range(stream.seen, len(texts) + config.window, config.window):
            part = slice(start, start + config.window)
            stream.add(read_examples(subject, examples[part]), texts[part])
            update(done=stream.seen)
            for line in stream.judge_full():
                words = f"drift ({', '.join(line['because'])})" if line["drift"] else "no drift"
                log.info("window %d, texts %d to %d: %s", line["window"], line["first"], line["last"], words)
    write(folder, stream.lines, reference, about_reference["source"], config, timer.seconds)
    return {
        "lines": stream.lines,
        "n_new": n_new,
        "n_judged": len(stream.lines) - n_before,
        "waiting": len(stream.pending),
    }


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(DriftConfig, argv, prog=f"python -m {PROJECT}.monitoring.drift_detection")
    setup_logging()
    found = detect(config)
    lines = found.pop("lines")
    shown = ("window", "first", "last", "drift", "estimated_accuracy", "accuracy")
    rows = [
        {name: line[name] for name in shown} | {"because": ", ".join(line["because"]) or None}
        for line in lines[-SHOWN:]
    ]
    print_table(f"the last {len(rows)} windows of {len(lines)}", rows)
    print_result(
        {
            "windows": len(lines),
            "drifted": sum(line["drift"] for line in lines),
            "false_alarms_expected": round(config.alpha * len(lines), 3),
            **found,
            "estimated_accuracy": lines[-1]["estimated_accuracy"],
            "verdicts": f"{config.output}/windows.jsonl",
            "report": f"{config.output}/report.html",
        }
    )


if __name__ == "__main__":
    run_program(main)
