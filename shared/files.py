"""Files that are whole or absent: write beside the target, then rename over it."""

import errno
import glob
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# torch does not say why it could not: it is hardly ever anything but a full disk.
TORCH_CANNOT_WRITE = ("inline_container", "iostream error")


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write to; it takes the target's place only if the block succeeds.

    Raises OSError where the disk is at fault, whoever wrote.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent, f".{glob.escape(target.name)}.*.draft")
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    try:
        try:
            yield draft
        except Exception as error:
            raise_os_error(error, target)
            raise
        # Without this a power cut after the rename could leave an empty file under the final name.
        with open(draft, "rb") as written:
            os.fsync(written.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def is_draft(file: Path) -> bool:
    """Whether this is what a killed process left of a file that it was writing."""
    return file.name.startswith(".") and file.suffix == ".draft"


def sweep(folder: Path, pattern: str) -> None:
    """Remove files and folders that killed processes left half-made, once nobody has written to them for an hour."""
    for leftover in folder.glob(pattern):
        try:
            old = time.time() - leftover.stat().st_mtime > 3600
            if old and not leftover.is_dir():
                leftover.unlink()
        except OSError:  # the process it belongs to has just removed it
            continue
        if old:
            shutil.rmtree(leftover, ignore_errors=True)


def raise_os_error(error: Exception, file: Path) -> None:
    """Raise as an OSError what the system said to a library of Rust (safetensors, tokenizers) or to torch.save."""
    if isinstance(error, OSError):
        return
    number = re.search(r"\(os error (\d+)\)", str(error))
    if number or any(words in str(error) for words in TORCH_CANNOT_WRITE):
        code = int(number[1]) if number else errno.ENOSPC
        raise OSError(code, os.strerror(code), str(file)) from error


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(target) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(target: Path, value: object) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    write_text(target, as_json(value, indent=2) + "\n")


def as_json(value: object, indent: int | None = None) -> str:
    """`value` as JSON that people read, and that UTF-8 can hold: half of a surrogate pair stays an escape."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def parse_json(text: str | bytes) -> Any:
    """The value of a text that somebody else may have written.

    Raises JSONDecodeError also where Python's parser raises something else: for what is nested a thousand deep, a
    number of thousands of digits, and bytes that are no UTF-8.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", "", 0) from error
    except ValueError as error:
        raise json.JSONDecodeError(str(error).partition(";")[0], "", 0) from error


def as_cell(text: str) -> str:
    """A text for a spreadsheet's cell: behind an apostrophe where the spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def read_yaml(file: Path) -> Any:
    """The value of a YAML file that comes with us, through the parser in C, which is nine times as fast."""
    import yaml

    return yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)


def kept_json(file: Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the file holds; where it is not there yet, computed and written first.

    Long work that is made of such parts goes on, after a kill, with the first part that was not finished.
    """
    if not file.exists():
        write_json(file, compute())
    return json.loads(file.read_text(encoding="utf-8"))
