"""What judge and candidate say to each other: one JSON object a line, and plain values in it.

A value crosses as what it is made of: None, booleans, numbers, text, bytes, lists, tuples, sets and dictionaries. An
object of a class that the candidate made up, one that is equal to everything, say, never reaches the judge.
Nothing is pickled.
"""

import json
import os
from typing import Any

LONGEST = 4_000_000  # bytes of a line; a longer one ends the conversation
_LARGE = 1 << 53  # beyond it JSON's readers may round, and Python refuses to print very long decimals


class NotPlain(Exception):
    """What cannot cross. Not one of Python's own exceptions, which a test may expect of the program."""


class Channel:
    """Lines to and from the other side, over two pipes."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = os.fdopen(read, "rb"), os.fdopen(write, "wb")

    def send(self, message: dict[str, Any]) -> None:
        """Raises BrokenPipeError where nobody reads any more, and NotPlain for a message that is too long."""
        line = json.dumps(message).encode() + b"\n"
        if len(line) > LONGEST:
            raise NotPlain(f"more than {LONGEST} bytes")
        self._write.write(line)
        self._write.flush()

    def receive(self) -> dict[str, Any] | None:
        """The next message, or None at the end. Raises ValueError for what is none."""
        line = self._read.readline(LONGEST + 1)
        if not line:
            return None
        if not line.endswith(b"\n"):
            raise ValueError(f"a line of over {LONGEST} bytes" if len(line) > LONGEST else "half a line")
        try:
            message = json.loads(line)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(message, dict):
            raise ValueError("not a message")
        return message


def encode(value: Any) -> Any:
    """A plain value as JSON's own kinds. Raises NotPlain for any other."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(int(value)) < _LARGE else {"int": hex(value)}
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, bytes | bytearray):
        return {type(value).__name__: value.hex()}
    if isinstance(value, list):
        return [encode(each) for each in value]
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(held)] for key, held in value.items()]}
    for kind in tuple, set, frozenset:
        if isinstance(value, kind):
            return {kind.__name__: [encode(each) for each in value]}
    raise NotPlain(f"{type(value).__name__} is no plain value")


def decode(value: Any) -> Any:
    """The plain value that `encode` was given. Raises ValueError for what it cannot have written."""
    if isinstance(value, list):
        return [decode(each) for each in value]
    if not isinstance(value, dict):
        return value
    try:
        ((kind, held),) = value.items()
        return _DECODE[kind](held)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a plain value") from error


_DECODE = {
    "int": lambda held: int(held, 16),
    "complex": lambda held: complex(*held),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "dict": lambda held: {decode(key): decode(each) for key, each in held},  # type: ignore[str-unpack]
    "tuple": lambda held: tuple(decode(each) for each in held),
    "set": lambda held: {decode(each) for each in held},
    "frozenset": lambda held: frozenset(decode(each) for each in held),
}
