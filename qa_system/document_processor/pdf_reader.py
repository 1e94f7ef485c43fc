"""PDF pages as lines in reading order, from their text layer or, where they are scans, by character recognition.

pdfium gives each character with its place; characters that follow each other closely are pieces, pieces become lines
(page_lines.py). A page that is shown turned, or whose text runs upwards or downwards, is brought upright first; boxes
are those of the page as it is shown. One page at a time is in memory.

This is what the worker process runs (worker.py). Use `reader.read_document`, which survives what happens here.
"""

import ctypes
import math
import re
import statistics
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from qa_system.document_processor.documents import PageStatus
from qa_system.document_processor.errors import Unreadable
from qa_system.document_processor.page_lines import Line, Piece, lines_in_order
from shared.pdf_pages import is_scan, picture_of
from shared.reading_order import Rectangle, around

UNREADABLE_SHARE = 0.3  # of the characters, from which on a text layer is taken for rubbish
PIECE_GAP = 0.8  # white between two pieces, in letter sizes
FAINTEST_INK = 16  # of 255 shades of grey
LINE_END_HYPHEN = "\x02"  # pdfium's mark for a hyphen at the end of a line
UNKNOWN = "\ufffd"  # stands for a character whose font does not say what it is
SYMBOLS = {"\uf0b7": "•", "\uf0a7": "▪", "\uf0d8": "➢", "\uf0fc": "✓"}  # of the fonts that Word makes lists with
BOLD = re.compile(r"bold|black|heavy|medi\b|cmbx|-bd", re.IGNORECASE)
QUARTER = math.pi / 2


class ReadPage(NamedTuple):
    """A page as the worker found it: its size in points as shown, and its lines."""

    number: int
    width: float
    height: float
    status: PageStatus
    reason: str
    lines: list[Line]


def open_pdf(path: Path, password: str | None = None) -> Any:
    """The open document. Raises Unreadable where it is none, is damaged or wants another password."""
    import pypdfium2

    with path.open("rb") as file:
        start = file.read(1024)
    if b"%PDF-" not in start:
        raise Unreadable("malformed", "it does not begin as a PDF does: check that the file is whole")
    try:
        pdf = pypdfium2.PdfDocument(path, password=password)
    except pypdfium2.PdfiumError as error:
        if "assword" in str(error):
            wrong = "the password is wrong" if password else "it is encrypted"
            raise Unreadable("password", f"{wrong}: give its password") from error
        raise Unreadable("malformed", "its structure is damaged: repair it or print it to a new PDF") from error
    if len(pdf) == 0:
        raise Unreadable("malformed", "it has no pages")
    return pdf


def read_pages(pdf: Any, first: int = 1, ocr: bool = True) -> Iterator[ReadPage]:
    """The pages from number `first` on. A page that cannot be read is one with the status failed."""
    import pypdfium2

    for number in range(first, len(pdf) + 1):
        try:
            page = pdf[number - 1]
        except pypdfium2.PdfiumError as error:
            yield ReadPage(number, 0, 0, "failed", f"the page is damaged ({error})", [])
            continue
        try:
            yield _read_page(page, number, ocr)
        except pypdfium2.PdfiumError as error:
            width, height = page.get_size()
            yield ReadPage(number, width, height, "failed", f"the page is damaged ({error})", [])
        finally:
            page.close()


def _read_page(page: Any, number: int, ocr: bool) -> ReadPage:
    width, height = page.get_size()
    found = _pieces(page, width, height)
    text = "".join(piece.text for pieces in found.values() for piece in pieces)
    letters = sum(not letter.isspace() for letter in text)
    rubbish = text.count(UNKNOWN)
    why = ""
    if rubbish > UNREADABLE_SHARE * letters:
        why = "the fonts of its text layer do not say which letters they draw"
    elif is_scan(page, letters):
        why = "the page is a picture"
    elif letters == 0 and ocr and not _is_blank(page):
        why = "the page is drawn, without text"
    if why and ocr:
        read = _recognise(page, width, height)
        if sum(len(line.text) for line in read) > letters - rubbish:
            return ReadPage(number, width, height, "ocr", why, read)
    lines = _lines(found, width, height)
    if not lines:
        return ReadPage(number, width, height, "empty", why or "the page is blank", [])
    return ReadPage(number, width, height, "text", "", lines)


def _pieces(page: Any, width: float, height: float) -> dict[int, list[Piece]]:
    """The text layer by the way its text runs: quarter turns counter-clockwise that make it upright on the shown page.

    Boxes are those of the page turned so, from its upper left corner.
    """
    from pypdfium2 import raw

    text = page.get_textpage()
    to_shown = _to_shown(page)
    turned = page.get_rotation() // 90
    found: dict[int, list[Piece]] = {}
    # Asked thrice for each character: pypdfium2's own object, and a name looked up in a module, cost a sixth of all.
    handle, loose = text.raw, raw.FS_RECTF()
    place = ctypes.byref(loose)
    unicode_of, box_of, angle_of = raw.FPDFText_GetUnicode, raw.FPDFText_GetLooseCharBox, raw.FPDFText_GetCharAngle
    letters: list[str] = []
    boxes: list[Rectangle] = []
    indices: list[int] = []
    quarter, broken = 0, True

    def finish() -> None:
        words = "".join(letters).strip()
        if words:
            middle = indices[len(indices) // 2]  # the first may be the small number of a footnote
            size, bold = _letter_size(text, middle), _is_bold(text, middle)
            box = turn_box(around(boxes), quarter, width, height)
            found.setdefault(quarter, []).append(Piece(words, box, size or box[3] - box[1], bold))
        for gathered in (letters, boxes, indices):
            gathered.clear()

    for index in range(text.count_chars()):
        letter = clean(unicode_of(handle, index))
        if letter in ("", "\n"):
            broken = broken or letter == "\n"
            continue
        if letter == " ":
            letters.append(" ")  # white space has no place of its own
            continue
        box_of(handle, index, place)
        box = to_shown(loose.left, loose.bottom, loose.right, loose.top)
        runs = (round(angle_of(handle, index) / QUARTER) + turned) % 4
        if runs == 0 and boxes and not broken and _is_below(boxes[-1], box):
            # Written downwards: columns from right to left are rows once the page is turned.
            runs = 1
            quarter = 1 if len(boxes) == 1 else quarter
        if broken or runs != quarter or boxes and _is_apart(boxes[-1], box, quarter):
            finish()
            quarter, broken = runs, False
        letters.append(letter)
        boxes.append(box)
        indices.append(index)
    finish()
    text.close()
    return found


@cache
def clean(code: int) -> str:
    """A character as it goes into the text: ligatures and radicals spelled out, what has no meaning left out."""
    if code in (0x0A, 0x0D):
        return "\n"
    letter = chr(code) if code < 0xD800 or 0xE000 <= code <= 0x10FFFF else UNKNOWN
    if letter in (LINE_END_HYPHEN, "\xad"):
        return LINE_END_HYPHEN
    if letter in SYMBOLS:
        return SYMBOLS[letter]
    if 0x20 < code < 0x7F or 0x4E00 <= code < 0xA000:
        return letter
    if 0x2E80 <= code < 0x2FE0 or 0xF900 <= code < 0xFB07 or 0xFB13 <= code < 0xFE00 or 0xFE70 <= code < 0xFEFF:
        return unicodedata.normalize("NFKC", letter)
    if letter.isspace():
        return " "
    kind = unicodedata.category(letter)
    return UNKNOWN if kind in ("Cc", "Co", "Cn", "Cs") else "" if kind == "Cf" else letter


def _to_shown(page: Any) -> Callable[[float, float, float, float], Rectangle]:
    """From pdfium's left, bottom, right, top to the page as shown, from its upper left corner."""
    left, bottom, right, top = page.get_bbox()
    return {
        0: lambda x1, y1, x2, y2: (x1 - left, top - y2, x2 - left, top - y1),
        90: lambda x1, y1, x2, y2: (y1 - bottom, x1 - left, y2 - bottom, x2 - left),
        180: lambda x1, y1, x2, y2: (right - x2, y1 - bottom, right - x1, y2 - bottom),
        270: lambda x1, y1, x2, y2: (top - y2, right - x2, top - y1, right - x1),
    }[page.get_rotation()]


def turn_box(box: Rectangle, quarters: int, width: float, height: float) -> Rectangle:
    """The box after the page of this size is turned counter-clockwise."""
    for _ in range(quarters % 4):
        left, top, right, bottom = box
        box = (top, width - right, bottom, width - left)
        width, height = height, width
    return box


def _is_below(before: Rectangle, box: Rectangle) -> bool:
    size = before[3] - before[1]
    return box[1] > before[3] - 0.3 * size and before[0] < (box[0] + box[2]) / 2 < before[2]


def _is_apart(before: Rectangle, box: Rectangle, quarter: int) -> bool:
    """Whether a character does not stand beside the one before it, in its own line."""
    along, across = (0, 1) if quarter % 2 == 0 else (1, 0)
    size = max(before[across + 2] - before[across], box[across + 2] - box[across], 1e-6)
    gap = max(box[along] - before[along + 2], before[along] - box[along + 2])
    shared = min(before[across + 2], box[across + 2]) - max(before[across], box[across])
    return gap > PIECE_GAP * size or shared < 0.3 * size


def _letter_size(text: Any, index: int) -> float:
    from pypdfium2 import raw

    matrix = raw.FS_MATRIX()
    raw.FPDFText_GetMatrix(text, index, ctypes.byref(matrix))
    return raw.FPDFText_GetFontSize(text, index) * math.hypot(matrix.c, matrix.d)


def _is_bold(text: Any, index: int) -> bool:
    from pypdfium2 import raw

    name = ctypes.create_string_buffer(128)
    raw.FPDFText_GetFontInfo(text, index, name, len(name), ctypes.byref(ctypes.c_int()))
    return BOLD.search(name.value.decode("utf-8", "replace")) is not None


def _lines(found: dict[int, list[Piece]], width: float, height: float) -> list[Line]:
    """The lines that run as most of the page does, then those in the margin that do not."""
    lines: list[Line] = []
    for rank, (quarter, pieces) in enumerate(
        sorted(found.items(), key=lambda each: -sum(len(piece.text) for piece in each[1]))
    ):
        pieces = [piece._replace(text=piece.text.replace(UNKNOWN, "")) for piece in pieces]
        size = (width, height) if quarter % 2 == 0 else (height, width)
        for line in lines_in_order(pieces):
            assert line.box is not None  # on a page each has one
            line.box = turn_box(line.box, -quarter, *size)
            line.size = line.size if rank == 0 else 0.0  # a stamp in the margin is no heading
            lines.append(line)
    return lines


def _is_blank(page: Any) -> bool:
    import numpy as np

    return bool(np.ptp(page.render(scale=0.5, grayscale=True).to_numpy()) < FAINTEST_INK)


def _recognise(page: Any, width: float, height: float) -> list[Line]:
    from shared.ocr import read_picture

    picture, scale = picture_of(page)
    read = read_picture(picture)
    size = (width, height) if read.turns % 2 == 0 else (height, width)
    boxes: list[Any] = [tuple(edge / scale for edge in line.box) for line in read.lines]
    usual = statistics.median([bottom - top for _, top, _, bottom in boxes] or [0])
    pieces = []
    for line, box in zip(read.lines, boxes, strict=True):
        high = box[3] - box[1]  # which varies with the letters of a line: "gypsy" stands higher than "once"
        pieces.append(Piece(line.text, box, usual if 0.7 * usual < high < 1.4 * usual else high))
    lines = lines_in_order(pieces)
    for each in lines:
        assert each.box is not None  # on a page each has one
        each.box = turn_box(each.box, -read.turns, *size)
    return lines
