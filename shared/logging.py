"""Messages and progress bars: rich on stderr for people, JSON lines in the run folder for programs.

Stdout is kept for a script's result, whose last line is one JSON object.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from shared.files import as_json

console = Console(stderr=True)
output = Console()

_ROOT = "laptop_llm"

# Where torchao is installed transformers imports it, and without a GPU it would warn at every start of its kernels.
for _noisy in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_noisy).setLevel(logging.ERROR)


def get_logger(name: str) -> logging.Logger:
    """The logger of a module: `log = get_logger(__name__)`. It prints nothing until a script's `main` sets it up."""
    return logging.getLogger(f"{_ROOT}.{name}")


def setup_logging(run_folder: Path | None = None, level: int = logging.INFO) -> None:
    """Send messages to the console and, with a run folder, as JSON lines to its `log.jsonl`. Only `main` calls this."""
    root = logging.getLogger(_ROOT)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    root.propagate = False
    root.addHandler(RichHandler(console=console, show_path=False, show_level=False, log_time_format="%H:%M:%S"))
    if run_folder is not None:
        run_folder.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(run_folder / "log.jsonl", encoding="utf-8")
        file.setFormatter(_JsonLines())
        root.addHandler(file)


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": self.formatTime(record), "level": record.levelname, "message": record.getMessage()}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


@contextmanager
def progress_bar(description: str, total: float | None, *, done: float = 0, shown: bool = True) -> Iterator[Any]:
    """A bar with count, elapsed time and time left. Yields `update(done=..., note=...)`.

    >>> with progress_bar("counting", 3, shown=False) as update:
    ...     for number in range(3):
    ...         update(done=number + 1)
    """
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    # Off a terminal a bar would print only its last state; the log lines tell the progress there.
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bars:
        task = bars.add_task(description, total=total, completed=done, note="")

        def update(done: float, note: str = "") -> None:
            bars.update(task, completed=done, note=note)

        yield update


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows with the same keys as a table on stdout."""
    # Text, since rich would take [square brackets] in a plain string for markup.
    table = Table(title=Text(title), title_justify="left")
    for column in rows[0] if rows else ():
        table.add_column(Text(column))
    for row in rows:
        table.add_row(*(Text(format_cell(value)) for value in row.values()))
    output.print(table)


def format_cell(value: Any) -> str:
    """A value as tables show it: below 0.001 3 significant digits, below 100 3 decimals, then none, with commas."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value == 0 or 1e-3 <= abs(value) < 100:
            return f"{value:.3f}"
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2e}"
    return str(value)


def print_result(result: dict[str, Any]) -> None:
    """Print a script's result as the one JSON line that ends its output."""
    print(as_json(result), flush=True)
