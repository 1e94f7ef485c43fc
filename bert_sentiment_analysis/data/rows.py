"""A user's own texts, from a list or a file: every row is either used or skipped with its number and the reason.

Row numbers count from 1; the header of a table is not counted. One bad row never costs another one. `shared.datasets`
reads the same formats strictly, for data that should have no fault.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.cleaning import clean
from shared.datasets import LABEL_COLUMNS, LOCAL_FORMATS, TEXT_COLUMNS, Example, read_text
from shared.errors import UserError
from shared.files import parse_json

NAMED_ROWS = 5
# The words that stand in label columns, from bad to good. What is present is numbered in this order.
LABEL_WORDS = {"negative": -1, "neg": -1, "neutral": 0, "positive": 1, "pos": 1}

Cells = dict[str, object]


@dataclass(frozen=True)
class Rows:
    """What could be read. `numbers[i]` is the row of `examples[i]`; `skipped` says of every other row why not."""

    examples: list[Example] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)

    def describe_skipped(self) -> str:
        """One line for the reader, as "2 of 9 rows skipped: row 3 (no text), row 7 (blank)"; "" where all is well."""
        if not self.skipped:
            return ""
        named = [f"row {number} ({reason})" for number, reason in list(self.skipped.items())[:NAMED_ROWS]]
        more = [f"and {len(self.skipped) - NAMED_ROWS:,} more"] if len(self.skipped) > NAMED_ROWS else []
        total = len(self.examples) + len(self.skipped)
        return f"{len(self.skipped):,} of {total:,} rows skipped: {', '.join(named + more)}"


def check_texts(texts: Iterable[object]) -> Rows:
    """Sort a list of anything into texts and skipped rows: None, what is no string, and blank texts are skipped.

    Raises UserError for a single string, whose letters would otherwise be taken for texts.
    """
    if isinstance(texts, str | bytes):
        raise UserError("texts: one string: give a list of strings, [text] for a single one")
    return _sort_out({"text": text} for text in texts)


def read_rows(
    file: str | Path, text_column: str | None = None, label_column: str | None = None, *, labelled: bool | None = False
) -> Rows:
    """Read a .csv, .tsv, .json (list of objects or of strings), .jsonl or .txt file (one text a line).

    Without names the columns are the first of TEXT_COLUMNS and of LABEL_COLUMNS that are there. Labels are whole
    numbers or the LABEL_WORDS. With `labelled` the file must have labels, and a row without one is skipped; where it is
    None nobody asks for labels, and they are not looked at.
    Raises UserError for a file that cannot be read as a whole, lacks a column, or has no usable row.
    """
    path = Path(file)
    if not path.is_file():
        raise UserError(f"{path}: no such file: give a {', '.join(LOCAL_FORMATS)} file")
    parsed = list(_parse(path))
    columns = _columns(parsed)
    if not parsed:
        raise UserError(f"{path}: holds no rows: give a file with some")
    if columns:
        text_column = _find_column(path, columns, text_column, TEXT_COLUMNS, "text_column")
        wanted = labelled or label_column is not None
        known = [name for name in LABEL_COLUMNS if name in columns]
        if labelled is not None and (wanted or known):
            label_column = _find_column(path, columns, label_column, LABEL_COLUMNS, "label_column")
    rows = _sort_out(parsed, text_column or "text", label_column, labelled=bool(labelled))
    if not rows.examples:
        raise UserError(f"{path}: no usable row: {rows.describe_skipped()}: mend the file")
    return rows


def column_names(file: str | Path) -> list[str]:
    """The columns of a table or of JSON objects, in their order; none of a .txt file. Bare strings are "text".

    Raises UserError for a file that cannot be read as a whole.
    """
    path = Path(file)
    return [] if path.suffix == ".txt" else _columns(_parse(path))


def _columns(parsed: Iterable[Cells | str]) -> list[str]:
    return list(dict.fromkeys(name for cells in parsed if isinstance(cells, dict) for name in cells))


def _find_column(path: Path, columns: list[str], asked: str | None, usual: tuple[str, ...], option: str) -> str:
    name = asked or next((name for name in usual if name in columns), None)
    if name in columns:
        return name
    wanted = f"{name!r}" if name else option.replace("_", " ")
    raise UserError(f"{path}: no {wanted} among the columns {', '.join(columns)}: name the right one with --{option}")


def _sort_out(
    parsed: Iterable[Cells | str], text_column: str = "text", label_column: str | None = None, *, labelled: bool = False
) -> Rows:
    """Make an example of every row that is whole; a str in place of a row's cells says why there are none."""
    parsed = list(parsed)
    labels = [cells.get(label_column) for cells in parsed if isinstance(cells, dict)] if label_column else []
    ranks = _number_words(labels)
    rows = Rows()
    for number, cells in enumerate(parsed, start=1):
        reason = cells if isinstance(cells, str) else _fault(cells.get(text_column))
        cells = {} if isinstance(cells, str) else cells
        label = None
        if not reason and label_column:
            label, reason = _read_label(cells.get(label_column), ranks, required=labelled)
        elif not reason and labelled:
            reason = "no label"
        if reason:
            rows.skipped[number] = reason
        else:
            rows.examples.append(Example(str(cells[text_column]), label=label))
            rows.numbers.append(number)
    return rows


def _fault(text: object) -> str:
    if text is None:
        return "no text"
    if not isinstance(text, str):
        return f"{type(text).__name__}, not text"
    return "" if clean(text) else "blank"


def _number_words(labels: Iterable[object]) -> dict[str, int]:
    """The class of each word of LABEL_WORDS: neutral takes a number only where it occurs."""
    words = {label.strip().casefold() for label in labels if isinstance(label, str)}
    ranks = sorted({LABEL_WORDS[word] for word in words & LABEL_WORDS.keys()} | {-1, 1})
    return {word: ranks.index(rank) for word, rank in LABEL_WORDS.items() if rank in ranks}


def _read_label(label: Any, ranks: dict[str, int], *, required: bool) -> tuple[int | None, str]:
    """The class and "", or None and what is wrong with it."""
    word = label.strip().casefold() if isinstance(label, str) else label
    if word is None or word == "":
        return None, "no label" if required else ""
    if isinstance(word, str) and word in ranks:
        return ranks[word], ""
    try:
        number = float(word)  # pandas writes 1 as 1.0 in a column that has gaps
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if number < 0 or not number.is_integer():
        return None, f"label {str(label):.20} is no whole number from 0 and none of {', '.join(LABEL_WORDS)}"
    return int(number), ""


def _parse(path: Path) -> Iterator[Cells | str]:
    """The cells of every row, or what is wrong with it."""
    text = read_text(path)
    if path.suffix in (".csv", ".tsv"):
        yield from _parse_table(path, text)
    elif path.suffix == ".json":
        try:
            values = parse_json(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}: not valid JSON ({error}): mend the file") from error
        if not isinstance(values, list):
            raise UserError(f"{path}: not a list: write one string or one {{'text': …, 'label': …}} an example")
        yield from (_cells_of(value) for value in values)
    # Not str.splitlines: it also breaks at U+2028 and its like, which stand inside real texts.
    elif path.suffix == ".jsonl":
        yield from (_parse_line(line) for line in text.split("\n") if line.strip())
    else:
        yield from ({"text": line} for line in text.removesuffix("\n").split("\n"))  # type: ignore[misc]


def _parse_table(path: Path, text: str) -> Iterator[Cells | str]:
    """Read strictly, so that no broken row is guessed at, and start anew at the line after one.

    Going on where the reader stopped would lose more: a stray quote takes all rows up to the next quote with it.
    """
    lines = list(io.StringIO(text, newline=""))
    delimiter = "\t" if path.suffix == ".tsv" else ","
    header: list[str] | None = None
    start = 0
    while start < len(lines):
        reader = csv.reader((lines[i] for i in range(start, len(lines))), delimiter=delimiter, strict=True)
        n_read = 0
        try:
            for cells in reader:
                n_read = reader.line_num
                if header is None:
                    header = cells
                elif len(cells) > len(header):
                    yield f"{len(cells)} cells for {len(header)} columns: put a text with commas in quotes"
                elif cells:
                    yield dict(zip(header, cells, strict=False))
            return
        except csv.Error as error:
            start += n_read + 1
            if header is None:
                raise UserError(f"{path}: the header is no table row ({error}): mend the first line") from error
            yield f"line {start}: a quote opens or closes in the wrong place"


def _parse_line(line: str) -> Cells | str:
    try:
        return _cells_of(parse_json(line))
    except json.JSONDecodeError:
        return "not valid JSON"


def _cells_of(value: object) -> Cells | str:
    if isinstance(value, str):
        return {"text": value}
    return value if isinstance(value, dict) else "no object" if value is not None else "no text"
