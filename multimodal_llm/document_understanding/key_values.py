"""What a page says of what: keys and their values in forms, receipts and tables, by their places alone.

A value stands behind its key's colon, to the right of it, or below it; in a table it stands in the row of one name and
the column of another. No word is known here, so any form's fields are found, in any language with such marks.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from multimodal_llm.document_understanding.document import Page
from multimodal_llm.document_understanding.rows import Piece, Row, compact, is_chinese, overlap, page_rows, part, united
from multimodal_llm.document_understanding.written_values import find_amounts, find_dates
from shared.reading_order import Rectangle

MOST_KEY_WORDS = 5
MOST_KEY_CHARACTERS = 14  # of a Chinese key
MOST_VALUE_LINES = 5
QUANTITY = re.compile(r"\d{1,3}\s*[xX]?")
Kind = Literal["colon", "right", "below", "cell"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A key and its value with the value's place; `kind` says how they belong together."""

    key: str
    value: str
    kind: Kind
    page: int
    box: Rectangle
    key_box: Rectangle
    score: float


# A key in the midst of a line begins behind white and has no digit; a clock's colon stands between digits. A Chinese
# colon is wide and needs no white.
KEY = re.compile(
    r"(?:^|(?<=\s))(?P<key>[^\W\d][^:：\d]{0,30}?[#.)\]]{0,2}|[^\s:：]{0,12}[\u3400-\u9fff][^\s:：]{0,6})"
    r"\s*[:：](?!//)(?!\d\d\b(?=[:： ]|$))"
)


def find_pairs(pages: Sequence[Page]) -> list[Pair]:
    """All keys and values, page by page from top to bottom. A value may be found by two ways."""
    pairs: list[Pair] = []
    for page in pages:
        rows = [row for row in page_rows(page) if row]
        start = len(pairs)
        for number, row in enumerate(rows):
            for place, piece in enumerate(row):
                pairs += _with_colon(rows, number, place, piece)
            pairs += _amount_at_the_end(row)
            pairs += _cells(rows, number)
            pairs += _below(rows, number, page.width)
        pairs[start:] = _told_apart(pairs[start:], rows)
    return pairs


def _told_apart(pairs: Sequence[Pair], rows: Sequence[Row]) -> list[Pair]:
    """Keys that occur twice on a page, such as a buyer's and a seller's name, after the heading above each."""
    times = Counter(pair.key for pair in pairs if pair.kind == "colon")
    pieces = [piece for row in rows for piece in row]
    told = []
    for pair in pairs:
        if pair.kind == "colon" and times[pair.key] > 1:
            above = [
                piece
                for piece in pieces
                if piece.box[3] <= pair.key_box[1] + 1 and not re.search(r"[:：\d]", piece.text) and _is_key(piece.text)
                and abs(piece.box[0] - pair.key_box[0]) < 3 * piece.height
            ]  # fmt: skip
            if above:
                pair = replace(pair, key=f"{max(above, key=lambda piece: piece.box[3]).text} {pair.key}")
        told.append(pair)
    return told


def _with_colon(rows: Sequence[Row], number: int, place: int, piece: Piece) -> Iterator[Pair]:
    text = piece.text
    keys = list(KEY.finditer(text))
    row = rows[number]
    for at, match in enumerate(keys):
        end = keys[at + 1].start("key") if at + 1 < len(keys) else len(text)
        key, value = match["key"], text[match.end() : end].strip(" |")
        start = match.start("key")
        if at and (words := key.split()) and len(words) > 1 and not is_chinese(key):
            # Behind another value nothing tells where that ends and this key begins: its last word is surely the key.
            key, start = words[-1], match.end("key") - len(words[-1])
        if not _is_key(key):
            continue
        place_of_key = part(piece, start, match.end("key"))
        if value:
            first = match.end() + len(text[match.end() :]) - len(text[match.end() :].lstrip())
            place_of_value = part(piece, first, first + len(value))
            yield Pair(key, value, "colon", piece.page, place_of_value.box, place_of_key.box, piece.score)
        elif at + 1 == len(keys):
            yield from _to_the_right(row, place, key, place_of_key) or _lines_below(rows, number, key, place_of_key)
    if not keys and place + 1 < len(row) and _is_key(text) and re.match(r"\s*[:：]\s*", row[place + 1].text):
        value_piece = row[place + 1]
        value = value_piece.text.lstrip(" :：")
        if value:
            yield Pair(text, value, "colon", piece.page, value_piece.box, piece.box, value_piece.score)
        elif place + 2 < len(row):  # the colon is a piece of its own
            after = row[place + 2]
            yield Pair(text, after.text, "colon", piece.page, after.box, piece.box, after.score)


def _to_the_right(row: Row, place: int, key: str, key_piece: Piece) -> list[Pair]:
    rest = row[place + 1 :]
    if not rest or KEY.match(rest[0].text):
        return []
    value = rest[0]
    text = value.text.lstrip(" :：")
    return [Pair(key, text, "right", value.page, value.box, key_piece.box, value.score)] if text else []


def _lines_below(rows: Sequence[Row], number: int, key: str, key_piece: Piece) -> list[Pair]:
    """What stands below a key that ends with a colon: lines without white between them, such as an address."""
    lines: list[Piece] = []
    floor = key_piece.box[3]
    for row in rows[number + 1 : number + 1 + MOST_VALUE_LINES]:
        under = [
            p
            for p in row
            if abs(p.box[0] - key_piece.box[0]) < 2 * key_piece.height or overlap(p.box, key_piece.box) > 0.5
        ]
        if not under or under[0].box[1] - floor > 1.2 * key_piece.height or KEY.match(under[0].text):
            break
        lines.append(under[0])
        floor = under[0].box[3]
    if not lines:
        return []
    whole = united(lines)
    return [Pair(key, whole.text, "below", whole.page, whole.box, key_piece.box, whole.score)]


def _amount_at_the_end(row: Row) -> Iterator[Pair]:
    """ "Subtotal    41.15" or "2   Rye loaf   6.50   13.00": words, and a number or a date at the end of the row."""
    if len(row) > 2 and QUANTITY.fullmatch(row[0].text.strip()):
        row = row[1:]
    first, last = row[0], row[-1]
    if len(row) == 1:
        amounts = list(find_amounts(first.text))
        if len(amounts) != 1 or amounts[0].start < 3:
            return
        name = re.sub(r"[\s:：.]*(RM|[$€£¥￥])?\s*$", "", first.text[: amounts[0].start])
        if _is_key(name):
            place = part(first, amounts[0].start, amounts[0].end)
            key_box = part(first, 0, len(name)).box
            yield Pair(name, amounts[0].text, "right", first.page, place.box, key_box, first.score)
    elif is_value(last.text) and not is_value(first.text) and not KEY.search(first.text):
        names = [piece for piece in row[:-1] if not is_value(piece.text)]
        name = re.sub(r"^\d+\s*[xX]?\s+", "", " ".join(piece.text for piece in names)).rstrip(" :：")
        if _is_key(name, most_words=8):
            yield Pair(name, last.text.lstrip(" :："), "right", last.page, last.box, united(names).box, last.score)


def _cells(rows: Sequence[Row], number: int) -> Iterator[Pair]:
    """Values of a table's row, each under the heading of its column: "Travel, Price" is 142.50."""
    row = rows[number]
    if len(row) < 3 or sum(is_value(piece.text) for piece in row) < 2:
        return
    names = [piece for piece in row if re.search(r"[^\W\d]{2}", piece.text) and not is_value(piece.text)]
    headings = _headings(rows, number)
    if not names or headings is None:
        return
    name = max(names, key=lambda piece: len(piece.text))
    for piece in row:
        above = [h for h in headings if overlap(h.box, piece.box) > 0.3] or [
            h for h in headings if abs(h.box[2] - piece.box[2]) < 1.5 * piece.height
        ]
        if piece is not name and above:
            key = f"{name.text} {above[0].text}"
            yield Pair(key, piece.text, "cell", piece.page, piece.box, name.box, piece.score)


def _headings(rows: Sequence[Row], number: int) -> Row | None:
    """The nearest row above that has at least three pieces and no value among them."""
    for row in reversed(rows[max(0, number - 40) : number]):
        if len(row) >= 3 and not any(is_value(piece.text) or KEY.search(piece.text) for piece in row):
            return row
    return None


def _below(rows: Sequence[Row], number: int, width: float) -> Iterator[Pair]:
    """A short label and what stands right below it, left edges in line: boxes of a form that has no colons."""
    if number + 1 >= len(rows):
        return
    for place, piece in enumerate(rows[number]):
        after = rows[number][place + 1 : place + 2]
        if after and (is_value(after[0].text) or re.match(r"\s*[:：]", after[0].text)):
            continue  # its value stands to the right
        words = piece.text.split()
        if len(words) > 4 or re.search(r"\d|[:：,;]$", piece.text) or not _is_key(piece.text):
            continue
        if piece.box[2] - piece.box[0] > 0.5 * width:
            continue
        for under in rows[number + 1]:
            near = under.box[1] - piece.box[3] < 1.2 * piece.height
            in_line = abs(under.box[0] - piece.box[0]) < 0.8 * piece.height
            if near and in_line and not KEY.match(under.text):
                yield Pair(piece.text, under.text, "below", under.page, under.box, piece.box, under.score)


def _is_key(text: str, most_words: int = MOST_KEY_WORDS) -> bool:
    if is_chinese(text):
        return len(compact(text)) <= MOST_KEY_CHARACTERS
    return 1 <= len(text.split()) <= most_words and bool(re.search(r"[^\W\d]{2}|[^\W\d]\d|#", text))


def is_value(text: str) -> bool:
    """Whether a piece is a number, an amount, a share or a date rather than words."""
    bare = re.sub(r"^[\s:：]*(RM|USD|SGD|CNY|RMB|EUR|[$€£¥￥])?\s*[-+(]?|\s*(SR|ZR|[A-Z]|元|%|\))?\s*$", "", text)
    return bool(re.fullmatch(r"[\d.,]+%?", bare)) or any(
        len(d.text) > 0.7 * len(text.strip()) for d in find_dates(text)
    )
