"""Gives every parser of what users bring damaged files, and looks whether anything but one clear line comes of it.

python -m tools.fuzz                                        # 300 files for each parser
python -m tools.fuzz --only squad,story --examples 5000 --seed 2
python -m tools.fuzz --save true                            # keep the table in tools/results/fuzz.json

A parser starts from files that it can read. One of them is damaged: bytes, lines or words changed, cut, doubled or
swapped for what parsers stumble over, a value of its JSON replaced by one of another kind, or wholly made up. Then the
parser must give something or raise what it documents (UserError, for documents Unreadable), within seconds and without
filling the memory. The parsers are listed in tools/fuzz_parsers.py; an example is found again by its number and seed.
"""

import json
import logging
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from shared.config import check, parse_config
from shared.errors import run_program
from shared.files import write_json
from shared.logging import get_logger, print_result, print_table, progress_bar, setup_logging
from shared.runs import provenance
from shared.timing import Timer
from tools.fuzz_case import Parser
from tools.fuzz_parsers import PARSERS

log = get_logger(__name__)
RESULT = Path(__file__).parent / "results" / "fuzz.json"
MOST_S = 20
MOST_GROWTH_MB = 600
ODD_VALUES: list[Any] = [None, True, -1, 0, 3, 1.5, 10**9, 10**30, 1e308, "", "x", "\ud800", "../../x", [], {}, [[]]]
ODD_VALUES += [[None], {"a": None}, ["x"], "9" * 5000, float("nan"), float("inf")]
ODD_BYTES = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\n",
    b"\r",
    b"\t",
    b",",
    b'"',
    b"'",
    b"\\",
    b"-1",
    b"0",
    b"NaN",
]
ODD_BYTES += [b"1e999", b"9" * 5000, b"null", b"true", b"[]", b"{}", b"[" * 3000, b'{"a":' * 3000, b"- " * 500, b"%s"]
ODD_BYTES += [
    "\u2028".encode(),
    "灯".encode(),
    b"\xed\xa0\x80",
    b"../../x",
    b"&a *a",
    b"<!--",
    b"-->",
    b"!!python/name:os",
]


@dataclass(frozen=True, kw_only=True)
class FuzzConfig:
    """Damage what parsers read, and count what else than a clear line comes of it."""

    only: str | None = None
    """Which parsers, with commas between; by default all of them."""
    examples: int = 300
    """Damaged files for each parser."""
    seed: int = 0
    """Seed of the damage."""
    save: bool = False
    """Put the rows into tools/results/fuzz.json, in the place of those of the same parsers."""

    def __post_init__(self) -> None:
        check(self.examples >= 1, "examples", self.examples, "give at least 1")
        for name in self.only.split(",") if self.only else ():
            check(name in PARSERS, "only", name, f"choose among {', '.join(PARSERS)}")


def damaged(content: bytes, draw: random.Random) -> bytes:
    """The content, damaged in one to four places, or something wholly made up."""
    if draw.random() < 0.03:
        return draw.choice(ODD_BYTES) * draw.randrange(1, 4) + draw.randbytes(draw.randrange(60))
    if draw.random() < 0.5 and (changed := _damaged_json(content, draw)) is not None:
        return changed
    for _ in range(draw.randrange(1, 5)):
        at = draw.randrange(len(content) + 1)
        to = min(len(content), at + draw.choice((0, 1, 4, 30, 300, len(content))))
        kind = draw.randrange(5)
        if kind == 0:
            content = content[:at] + content[to:]
        elif kind == 1:
            content = content[:at] + draw.choice(ODD_BYTES) + content[at:]
        elif kind == 2:
            content = content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]
        elif kind == 3:
            content = content[:to] + content[at:to] + content[to:]
        else:
            words = content.split(separator := draw.choice((b" ", b"\n", b",", b":", b"\t")))
            words[draw.randrange(len(words))] = draw.choice(ODD_BYTES)
            content = separator.join(words)
    return content


def _damaged_json(content: bytes, draw: random.Random) -> bytes | None:
    """With a value of the JSON, or of a line of JSON, or of a safetensors' head replaced; None where there is none."""
    if len(content) > 8 and 2 <= (n := int.from_bytes(content[:8], "little")) < len(content) and content[8:9] == b"{":
        head = _damaged_json(content[8 : 8 + n], draw)
        return None if head is None else len(head).to_bytes(8, "little") + head + content[8 + n :]
    try:
        return _dumped(_replaced(json.loads(content), draw))
    except (ValueError, RecursionError):
        lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    try:
        lines[at] = _dumped(_replaced(json.loads(lines[at]), draw))
    except (ValueError, RecursionError):
        return None
    return b"\n".join(lines)


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _replaced(value: Any, draw: random.Random) -> Any:
    """With something within replaced by an odd value, left out, or doubled."""
    if isinstance(value, dict | list) and value and draw.random() < 0.9:
        key = draw.choice(list(value)) if isinstance(value, dict) else draw.randrange(len(value))
        within = value[key]
        if isinstance(within, dict | list) and draw.random() < 0.8:
            value[key] = _replaced(within, draw)
        elif draw.random() < 0.2:
            del value[key]
        elif isinstance(within, int) and draw.random() < 0.4:
            value[key] = within + draw.choice((-1, 1, -within, 1000))
        else:
            value[key] = draw.choice(ODD_VALUES)
        return value
    return draw.choice(ODD_VALUES)


class Hang(BaseException):
    """No Exception, so that no parser takes it for a fault of the file."""


def _hang(*_: object) -> None:
    raise Hang


def fuzz(parser: Parser, examples: Iterable[int], seed: int, folder: Path) -> list[str]:
    """What was wrong with how it took the examples of these numbers, each once for a place in the code."""
    whole, tried = folder / "whole", folder / "tried"
    whole.mkdir(parents=True)
    parser.build(whole)
    parser.read(whole)  # else every example would be refused
    files = {name: (whole / name).read_bytes() for name in parser.files}
    wrong: dict[str, str] = {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGPROF, _hang)
    for number in examples:
        draw = random.Random(f"{parser.name} {seed} {number}")
        name = draw.choice(list(files))
        shutil.rmtree(tried, ignore_errors=True)
        shutil.copytree(whole, tried)
        (tried / name).write_bytes(damaged(files[name], draw))
        signal.setitimer(signal.ITIMER_PROF, MOST_S)  # of the processor: others may be at work
        try:
            with redirect_stdout(StringIO()):
                parser.read(tried)
        except parser.allowed:  # shown in one line by run_program, whatever the file put into it
            pass
        except Hang:
            wrong.setdefault("hang", f"example {number}: longer than {MOST_S} s")
        except Exception as error:
            ours = [
                frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename
            ]
            where = f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}"
            wrong.setdefault(where, f"example {number}, {name}: {where}: {str(error)[:160]!r}")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    if grown > MOST_GROWTH_MB:
        wrong["memory"] = f"{grown:.0f} MB more than before"
    return list(wrong.values())


def main(argv: list[str] | None = None) -> None:
    config = parse_config(FuzzConfig, argv, prog="python -m tools.fuzz")
    setup_logging(None, logging.ERROR)  # each refusal is logged otherwise
    rows: list[dict[str, Any]] = []
    total = Timer()
    names = config.only.split(",") if config.only else list(PARSERS)
    with total, progress_bar("parsers", len(names)) as update:
        for number, name in enumerate(names, 1):
            with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
                wrong = fuzz(PARSERS[name], range(config.examples), config.seed, Path(folder))
            for line in wrong:
                log.error("%s: %s", name, line)
            rows.append({"parser": name, "examples": config.examples, "wrong": len(wrong), "seed": config.seed})
            update(number, note=name)
    print_table("damaged files", rows)
    if config.save:
        kept = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.exists() else []
        both = {row["parser"]: row for row in (*kept, *rows)}
        examples = sum(row["examples"] for row in both.values())
        write_json(RESULT, {"rows": list(both.values()), "examples": examples, **provenance()})
    n_wrong = sum(row["wrong"] for row in rows)
    print_result({"examples": config.examples * len(rows), "wrong": n_wrong, "seconds": total.seconds})
    sys.exit(1 if n_wrong else 0)


if __name__ == "__main__":
    run_program(main)
