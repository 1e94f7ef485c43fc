"""The pages of a file as pictures, and a PDF's own text where it has one: one at a time, whatever the file holds."""

import ctypes
import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multimodal_llm.document_understanding.document import Line, Word
from shared.errors import UserError, describe_os_error
from shared.ocr_recognition import is_unspaced
from shared.pdf_pages import is_scan, picture_of
from shared.reading_order import around

LEVEL = math.radians(5)  # text that runs at a larger angle is not level
MOST_TURNED = 0.3  # share of a page's letters that may run otherwise than level; beyond, the page is read as a picture
MOST_UNKNOWN = 0.1  # share of letters whose font does not say what they are; beyond, it is read as a picture too
WORD_GAP = 0.2  # white between letters, in their height, from which on they are two words, whatever the PDF says
LINE_GAP = 1.0  # from which on they are two lines: two columns, or two cells of a table


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page before it is read."""

    number: int
    picture: np.ndarray | None = None
    """(height, width, 3) of RGB bytes; None where the page is broken."""
    lines: tuple[Line, ...] | None = None
    """Of its text layer, in the picture's pixels; None where there is none to be trusted."""
    fault: str = ""


def open_sheets(path: str | Path, password: str | None = None, numbers: range | None = None) -> Iterator[Sheet]:
    """The pages of a picture, a TIFF of several, or a PDF; of these only `numbers`, from 1, if given.

    Raises UserError, before the first page, for a file that is missing, is of no known kind, is damaged as a whole or
    wants another password. A broken page is a Sheet with its fault.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file: give a picture or a PDF") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: a folder: `python -m multimodal_llm.read_documents` takes those") from error
    except OSError as error:
        raise UserError(describe_os_error(error)) from error
    if b"%PDF-" in start:
        return _pdf_sheets(path, _open_pdf(path, password), numbers)
    return _picture_sheets(path, numbers)


def count_sheets(path: str | Path, password: str | None = None) -> int:
    """How many pages a file has. Raises UserError as `open_sheets` does."""
    path = Path(path)
    with path.open("rb") as file:
        is_pdf = b"%PDF-" in file.read(1024)
    if is_pdf:
        pdf = _open_pdf(path, password)
        count = len(pdf)
        pdf.close()
        return count
    return _frames(path)


def _picture_sheets(path: Path, numbers: range | None) -> Iterator[Sheet]:
    from PIL import Image

    from multimodal_llm.images import load_image

    if _frames(path) == 1:
        picture = np.asarray(load_image(path))
        return iter([Sheet(1, picture)] if numbers is None or 1 in numbers else [])

    def sheets() -> Iterator[Sheet]:
        with Image.open(path) as file:
            for number in range(1, file.n_frames + 1):
                if numbers is not None and number not in numbers:
                    continue
                try:
                    file.seek(number - 1)
                    yield Sheet(number, np.asarray(load_image(file)))
                except Exception as error:  # Pillow's decoders raise whatever they run into on damaged bytes
                    yield Sheet(number, fault=f"the page is damaged ({error})")

    return sheets()


def _frames(path: Path) -> int:
    """The pages of a TIFF; 1 for other pictures, animations included, and for what is no picture."""
    from PIL import Image

    try:
        with Image.open(path, formats=("TIFF",)) as file:
            return file.n_frames
    except Exception:  # load_image says what is wrong with it
        return 1


def _open_pdf(path: Path, password: str | None) -> Any:
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(path, password=password)
    except pypdfium2.PdfiumError as error:
        if "assword" in str(error):
            wrong = "its password is another" if password else "it is encrypted"
            raise UserError(f"{path}: {wrong}: give it with --password") from error
        raise UserError(f"{path}: the PDF is damaged: repair it or print it to a new one") from error
    if len(pdf) == 0:
        raise UserError(f"{path}: the PDF has no pages")
    return pdf


def _pdf_sheets(path: Path, pdf: Any, numbers: range | None) -> Iterator[Sheet]:
    import pypdfium2

    try:
        for number in range(1, len(pdf) + 1):
            if numbers is not None and number not in numbers:
                continue
            try:
                page = pdf[number - 1]
                try:
                    yield _pdf_sheet(page, number)
                finally:
                    page.close()
            except pypdfium2.PdfiumError as error:
                yield Sheet(number, fault=f"the page is damaged ({error})")
    finally:
        pdf.close()


def _pdf_sheet(page: Any, number: int) -> Sheet:
    width, height = page.get_size()
    if not (width > 0 and height > 0):
        return Sheet(number, fault="the page has no size")
    picture, _ = picture_of(page)
    letters, turned = _letters(page, picture.shape[1] / width)
    unknown = sum(letter in ("\ufffd", "\x00") for letter, _ in letters)
    shown = len(letters) + turned
    if not shown or is_scan(page, shown) or turned > MOST_TURNED * shown or unknown > MOST_UNKNOWN * shown:
        return Sheet(number, np.ascontiguousarray(picture))
    return Sheet(number, np.ascontiguousarray(picture), tuple(join_letters(letters)))


Letter = tuple[str, tuple[float, float, float, float]]


def _letters(page: Any, scale: float) -> tuple[list[Letter], int]:
    """The letters that run level, with their boxes in pixels; a space has none of its own. And how many run otherwise.

    A box is as high as the font's lines, so that "a" and "f" are of one height.
    """
    from pypdfium2 import raw

    text = page.get_textpage()
    turn = page.get_rotation()
    left, bottom, right, top = page.get_bbox()
    found: list[Letter] = []
    turned = 0
    loose = raw.FS_RECTF()
    for index in range(text.count_chars()):
        code = raw.FPDFText_GetUnicode(text, index)
        letter = chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
        if 0xFB00 <= code < 0xFB07 or 0x2E80 <= code < 0x2FE0:  # ligatures, and radicals that stand for characters
            letter = unicodedata.normalize("NFKC", letter)
        if letter in "\r\n\x02\xad" or letter.isspace():  # pdfium's own marks among them, and soft hyphens
            found.append((("-" if letter in "\x02\xad" else letter), (0, 0, 0, 0)))
            continue
        angle = raw.FPDFText_GetCharAngle(text, index) + math.radians(turn)
        if abs(math.remainder(angle, 2 * math.pi)) > LEVEL:
            turned += 1
            continue
        raw.FPDFText_GetLooseCharBox(text, index, ctypes.byref(loose))
        x1, y1, x2, y2 = loose.left, loose.bottom, loose.right, loose.top
        box = {
            0: (x1 - left, top - y2, x2 - left, top - y1),
            90: (y1 - bottom, x1 - left, y2 - bottom, x2 - left),
            180: (right - x2, y1 - bottom, right - x1, y2 - bottom),
            270: (top - y2, right - x2, top - y1, right - x1),
        }[turn]
        found.append((letter, tuple(edge * scale for edge in box)))
    text.close()
    return found, turned


def join_letters(letters: list[Letter]) -> list[Line]:
    """Letters that follow each other as lines of words."""
    lines: list[list[list[Letter]]] = []  # lines of words of letters
    white, last = True, None
    for letter, box in letters:
        if box == (0, 0, 0, 0):
            if letter == "-" and lines and last:  # at the end of a line, where pdfium would join the halves
                lines[-1][-1].append(("-", (last[2], last[1], last[2], last[3])))
            white = True
            continue
        height = max(box[3] - box[1], 1e-6)
        gap = max(box[0] - last[2], last[0] - box[2]) / height if last else 0.0  # Arabic runs to the left
        beside = last is not None and min(last[3], box[3]) - max(last[1], box[1]) > 0.3 * height
        if not beside or gap > LINE_GAP:
            lines.append([[]])
        elif lines[-1][-1] and (white or gap > WORD_GAP or _apart(lines[-1][-1][-1][0], letter)):
            lines[-1].append([])
        lines[-1][-1].append((letter, box))
        white, last = False, box
    return [_line(words) for words in lines]


def _apart(letter: str, following: str) -> bool:
    """Of scripts without white between words each letter is a word, as in recognised lines."""
    return is_unspaced(letter) or is_unspaced(following)


def _line(words: list[list[Letter]]) -> Line:
    found = [Word("".join(letter for letter, _ in word), around(box for _, box in word), 1.0) for word in words]
    text = found[0].text
    for before, word in zip(found, found[1:], strict=False):
        close = word.box[0] - before.box[2] < WORD_GAP * (word.box[3] - word.box[1])
        text += word.text if close and _apart(before.text[-1], word.text[0]) else f" {word.text}"
    return Line(text, around(box for word in words for _, box in word), 1.0, tuple(found))
