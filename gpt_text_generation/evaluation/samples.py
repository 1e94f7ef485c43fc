"""Texts to judge, as a file: one JSON object a line with `text`, and where known its `prompt` and its `source`.

The source is who or what wrote it: a strategy, a model, a person.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from shared.datasets import read_text
from shared.errors import UserError
from shared.files import parse_json

_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair, as badly escaped JSON has: no tokenizer or file takes one


class Sample(NamedTuple):
    text: str
    prompt: str = ""
    source: str = ""


def read_samples(file: str | Path) -> list[Sample]:
    """The samples of a JSONL file. Raises UserError naming the line for what is not one, and for a file without any."""
    samples = []
    for number, line in enumerate(read_text(Path(file)).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{file}, line {number}: not valid JSON ({error.msg}): write one object a line") from error
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise UserError(
                f'{file}, line {number}: no text in it: write {{"text": ..., "prompt": ..., "source": ...}}'
            )
        values = {name: row.get(name) or "" for name in Sample._fields}
        if wrong := [name for name, value in values.items() if not isinstance(value, str)]:
            raise UserError(f"{file}, line {number}: its {wrong[0]} is no text: put it in quotation marks")
        samples.append(Sample(**{name: _HALF.sub("\ufffd", value) for name, value in values.items()}))
    if not samples:
        raise UserError(f"{file}: holds no texts: write one JSON object a line, each with a text")
    return samples


def by_source(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The samples of each source, in the order of the file."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.source, []).append(sample)
    return groups
