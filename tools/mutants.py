"""Puts one small fault after the other into code that decides numbers: a test must fail at each.

python -m tools.mutants                                # all of tools/mutants.yaml
python -m tools.mutants --only retrieval_metrics       # those of files with this in the path
python -m tools.mutants --save true                    # keep the table in tools/results/mutants.json

No file is changed: each fault is tried in a fork of this process, which imports the module from the changed text.
Packages of others are loaded once. A fault that no test fails at lives, and is one that we could make unseen.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from shared.config import parse_config
from shared.errors import UserError, run_program
from shared.files import write_json
from shared.logging import get_logger, print_result, print_table, progress_bar, setup_logging
from shared.runs import provenance
from shared.timing import Timer
from tools.projects import CHECKOUT

log = get_logger(__name__)
LIST = Path(__file__).with_name("mutants.yaml")
RESULT = Path(__file__).parent / "results" / "mutants.json"
OTHERS = (
    "torch transformers accelerate scipy.stats sklearn.metrics sklearn.decomposition faiss hypothesis onnxruntime PIL"
)
PASSED, FAILED = 0, 1  # pytest's


@dataclass(frozen=True, kw_only=True)
class MutantsConfig:
    """Put small faults into code and see that tests fail."""

    only: str = ""
    """Part of the path of the files to try; by default all."""
    save: bool = False
    """Put the rows into tools/results/mutants.json, in the place of those of the same faults."""


class Mutant(NamedTuple):
    file: str
    tests: list[str]
    was: str
    becomes: str


class Changed(importlib.machinery.SourceFileLoader):
    """Loads a module from another text than its file's."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> Any:
        return compile(self.text, self.path, "exec", dont_inherit=True)


class Finder(importlib.abc.MetaPathFinder):
    """Finds one module, changed."""

    def __init__(self, mutant: Mutant) -> None:
        path = CHECKOUT / mutant.file
        self.name = ".".join(Path(mutant.file).with_suffix("").parts)
        self.loader = Changed(self.name, str(path), changed_text(mutant))

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return importlib.util.spec_from_loader(name, self.loader) if name == self.name else None


def read_mutants(file: Path = LIST) -> list[Mutant]:
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [
        Mutant(group["file"], group["tests"].split(), each["was"], each["becomes"])
        for group in found
        for each in group["mutants"]
    ]


def changed_text(mutant: Mutant) -> str:
    """The file's text with the fault. Raises UserError where the place is not there exactly once."""
    text = (CHECKOUT / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.was) != 1:
        raise UserError(f"{LIST.name}: {mutant.was!r} stands {text.count(mutant.was)} times in {mutant.file}: mend it")
    return text.replace(mutant.was, mutant.becomes)


def is_killed(mutant: Mutant | None, tests: list[str]) -> bool:
    """Whether the tests fail with the fault. Raises UserError where they cannot even be run."""
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for stream in (1, 2):
                os.dup2(said.fileno(), stream)
            os._exit(_run(mutant, tests))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said.seek(0)
        if code not in (PASSED, FAILED):
            raise UserError(
                f"{' '.join(tests)}: pytest ends with {code}: {said.read()[-2000:].decode(errors='replace')}"
            )
    return code == FAILED


def _run(mutant: Mutant | None, tests: list[str]) -> int:
    import pytest

    os.chdir(CHECKOUT)
    if mutant:
        sys.meta_path.insert(0, Finder(mutant))
    return int(pytest.main([*tests, "-x", "-q", "-p", "no:cacheprovider", "--timeout", "120"]))


def rows(mutants: list[Mutant]) -> Iterator[dict[str, Any]]:
    with progress_bar("mutants", len(mutants)) as update:
        for number, mutant in enumerate(mutants, 1):
            killed = is_killed(mutant, mutant.tests)
            if not killed:
                log.error("lives: %s: %s -> %s", mutant.file, mutant.was, mutant.becomes)
            yield {"file": mutant.file, "was": mutant.was, "becomes": mutant.becomes, "killed": killed}
            update(number, note=mutant.file)


def main(argv: list[str] | None = None) -> None:
    config = parse_config(MutantsConfig, argv, prog="python -m tools.mutants")
    setup_logging()
    mutants = [mutant for mutant in read_mutants() if config.only in mutant.file]
    if not mutants:
        raise UserError(f"--only {config.only}: in no path of {LIST.name}: give a part of one")
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    for name in OTHERS.split():
        with suppress(ImportError):
            importlib.import_module(name)
    found: list[dict[str, Any]] = []
    with Timer() as timer:
        for tests in dict.fromkeys(tuple(mutant.tests) for mutant in mutants):
            if is_killed(None, list(tests)):
                raise UserError(f"{' '.join(tests)}: fails without any fault: mend that first")
            for row in rows([mutant for mutant in mutants if tuple(mutant.tests) == tests]):
                found.append(row)
                if config.save:
                    save(found)
    print_table("faults", [{**row, "file": Path(row["file"]).name} for row in found])
    killed = sum(row["killed"] for row in found)
    print_result({"tried": len(found), "killed": killed, "seconds": timer.seconds})
    sys.exit(0 if killed == len(found) else 1)


def save(found: list[dict[str, Any]]) -> None:
    """Keep the rows; those of other faults that are still on the list stay."""
    kept = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.exists() else []
    both = {(row["file"], row["was"], row["becomes"]): row for row in (*kept, *found)}
    now = [both[key] for m in read_mutants() if (key := (m.file, m.was, m.becomes)) in both]
    write_json(RESULT, {"rows": now, "tried": len(now), "killed": sum(row["killed"] for row in now), **provenance()})


if __name__ == "__main__":
    run_program(main)
