"""A parser with files that it can read, for tools/fuzz.py to damage."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from shared.errors import UserError


class Parser(NamedTuple):
    """A function that reads what is in a folder."""

    name: str
    files: tuple[str, ...]
    """Those that are damaged, one at a time."""
    build: Callable[[Path], Any]
    """Lays down files that it can read."""
    read: Callable[[Path], Any]
    allowed: tuple[type[Exception], ...] = (UserError,)
    """What it documents to raise."""


def text_file(name: str, file: str, content: str, read: Callable[[Path], Any]) -> Parser:
    """A parser of one file."""
    return Parser(name, (file,), lambda folder: (folder / file).write_text(content), lambda folder: read(folder / file))
