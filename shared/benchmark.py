"""`python -m PROJECT.benchmark NAME`: one measurement by name, a table for people, one JSON line for programs.

A project's benchmark.py is a table of `Benchmark`s and a call of `run_benchmarks`. With `--save` the result goes to
PROJECT/results/NAME.json with command, date, commit and hardware, and `make readme` makes the README's tables of it.
"""

import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from shared.config import check, first_line, parse_command
from shared.errors import UserError
from shared.files import write_json
from shared.logging import get_logger, print_result, print_table, setup_logging
from shared.runs import provenance
from shared.timing import Timer

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What every benchmark can be told."""

    seed: int = 0
    """Seed of everything random."""
    threads: int | None = None
    """Processor threads; by default one a core."""
    save: bool = False
    """Keep the result in results/NAME.json, from which the README's tables are made."""

    @property
    def variant(self) -> str:
        """What follows NAME in that file's name, so that runs on several sets are kept side by side."""
        return ""

    def __post_init__(self) -> None:
        check(self.threads is None or self.threads >= 1, "threads", self.threads, "give at least 1")


@dataclass(frozen=True, kw_only=True)
class AllConfig(BenchmarkConfig):
    """Run every benchmark of the project, one after another."""

    data: str | None = None
    """Folder with the measuring sets, laid out as docs/data.md says; without it those that need one are left out."""
    full: bool = False
    """Everything whole, trainings too: hours, which an interrupt does not lose. Else the long ones take a sample."""


class Outcome(NamedTuple):
    """A benchmark's JSON line, and its table where it has more to show than that line."""

    result: dict[str, Any]
    rows: list[dict[str, Any]] | None = None
    printed: list[dict[str, Any]] | None = None
    """What a terminal shows in place of `rows`, where those hold more than fits."""


class Benchmark(NamedTuple):
    """A measurement: its settings, and the function that takes it."""

    config_class: type[BenchmarkConfig]
    measure: Callable[[Any], Outcome]
    data: str | None = None
    """The set that it needs below the data folder, if any."""
    sample: Mapping[str, Any] | None = None
    """Settings that make it short: `all` takes them unless it is to be full, and keeps nothing of a sample."""
    long: bool = False
    """Half an hour or more that no sample could shorten: `all` leaves it out unless it is to be full."""


def run_benchmarks(folder: Path, benchmarks: Mapping[str, Benchmark], argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line names, or `all`. Raises UserError for a name or value it cannot take."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    program = f"python -m {folder.name}.benchmark"
    commands = {name: benchmark.config_class for name, benchmark in benchmarks.items()} | {"all": AllConfig}
    name, config = parse_command(commands, arguments, prog=program)
    setup_logging()
    if name != "all":
        result = _run(folder, name, benchmarks[name], config, f"{program} {shlex.join(arguments)}")
    else:
        result = {}
        for each, benchmark in benchmarks.items():
            chosen, flags = _for_all(benchmark, config)
            if chosen is None:
                log.info("%s is left out: %s", each, flags)
                continue
            kept = "" if chosen.save == config.save else " (a sample, not kept)"
            log.info("%s: %s%s", each, first_line(benchmark.config_class), kept)
            result[each] = _run(folder, each, benchmark, chosen, f"{program} {each}{flags}")
    print_result(result)


def _for_all(benchmark: Benchmark, config: AllConfig) -> tuple[BenchmarkConfig | None, str]:
    """A benchmark's own settings under `all`, with the flags that would give the same; or None, and what is missing."""
    if benchmark.long and not config.full:
        return None, "it trains for long, --full true runs it"
    known = {field.name for field in fields(benchmark.config_class)}
    values: dict[str, Any] = {"seed": config.seed, "threads": config.threads, "save": config.save}
    flags = ""
    if benchmark.data is not None:
        file = Path(config.data or "") / benchmark.data
        if config.data is None:
            return None, f"it needs --data with {benchmark.data} in it"
        if not file.exists():
            raise UserError(f"--data {config.data}: holds no {benchmark.data}: lay it out as docs/data.md says")
        values["data"], flags = str(file), f" --data $DATA/{benchmark.data}"
    if config.full and "train" in known:
        values["train"], flags = True, f"{flags} --train"
    for field in fields(benchmark.config_class):
        if field.name not in values and field.default is MISSING:
            return None, f"it needs --{field.name}, run it by name"
    if benchmark.sample and not config.full:
        values |= {"save": False, **benchmark.sample}
        flags += "".join(f" --{name} {value}" for name, value in benchmark.sample.items())
    return benchmark.config_class(**values), flags


def _run(folder: Path, name: str, benchmark: Benchmark, config: BenchmarkConfig, command: str) -> dict[str, Any]:
    import torch

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with Timer() as timer:
        outcome = benchmark.measure(config)
    result = {"seconds": timer.seconds, "seed": config.seed, "threads": torch.get_num_threads(), **outcome.result}
    print_table(name, outcome.printed or outcome.rows or [result])
    if config.save:
        kept = {
            "benchmark": f"{name}{config.variant}",
            "command": _portable(command, benchmark, config),
            **provenance(),
        }
        kept |= {"result": result, "rows": outcome.rows or [outcome.result]}
        file = f"{name}{config.variant}.json"
        write_json(folder / "results" / file, kept)
        log.info("kept in %s/results/%s", folder.name, file)
    return result


def _portable(command: str, benchmark: Benchmark, config: BenchmarkConfig) -> str:
    """The command as a README prints it: `$DATA` for the data folder, in every setting, and no `--save`.

    Of any other absolute path only the last name stays: a README must not tell of the machine that it was measured on.
    """
    data = str(Path(getattr(config, "data", None) or ""))
    folder = f"{data}/".rpartition(f"/{Path(benchmark.data).parts[0]}/")[0] if benchmark.data else ""
    if folder:
        command = command.replace(f"{folder}/", "$DATA/")
    command = re.sub(r"(?<=[ =])(['\"]?)/(?:[^ /'\"]+/)*([^ /'\"]+)", r"\1\2", command)
    return command.replace(" --save true", "").replace(" --save", "")
