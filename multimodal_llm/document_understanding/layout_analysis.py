"""Pages of photos, scans and PDFs as blocks of text in the order of reading.

    for page in read_document("report.pdf"):
        print(page.number, page.status, page.text)

A page is brought upright, its words come from the PDF's own text or from character recognition, its blocks from a
layout model (block_detector.py); assemble.py brings both together. One page at a time is in memory, and a page that
cannot be read is a Page with the status "failed", which stops nothing.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from multimodal_llm.document_understanding.assemble import put_together
from multimodal_llm.document_understanding.block_detector import find_blocks
from multimodal_llm.document_understanding.document import Line, Page, Word
from multimodal_llm.document_understanding.running_lines import mark_running
from multimodal_llm.document_understanding.sheets import Sheet, open_sheets
from shared.errors import UserError
from shared.ocr import OcrLine, level
from shared.ocr import read_picture as recognise

FAINTEST_INK = 16  # of 255 shades of grey: less is a blank page
SLIMMEST = 4.0  # sides' ratio of a strip, which squeezed into the layout model's shape would be nothing
FEWEST_LETTERS = 2  # letters and digits on a page that has text at all


def read_document(
    path: str | Path, password: str | None = None, pages: range | None = None, threads: int = 0
) -> Iterator[Page]:
    """The pages of a picture, a TIFF of several, or a PDF, one after another; of these only `pages`, from 1, if given.

    Lines at the edge that come back on neighbouring pages are headers and footers. Raises UserError, at once, for a
    file that is missing, is of no known kind, is damaged as a whole or wants another password.
    """
    sheets = open_sheets(path, password, pages)
    return mark_running(page for page, _ in read_sheets(sheets, threads))


def read_sheets(sheets: Iterator[Sheet], threads: int = 0) -> Iterator[tuple[Page, np.ndarray | None]]:
    """Each page with its picture, upright, in whose pixels the boxes are; None where the page is broken.

    Raises UserError where a model cannot be fetched.
    """
    for sheet in sheets:
        try:
            page = read_sheet(sheet, threads)
        except UserError:  # a model that cannot be fetched is no fault of the page
            raise
        except Exception as error:  # whatever is strange about one page, the others are read
            page = Page(sheet.number, 0, 0, "failed", f"the page cannot be read ({type(error).__name__}: {error})")
        yield page, None if sheet.picture is None else upright(sheet.picture, page)


def read_sheet(sheet: Sheet, threads: int = 0) -> Page:
    """Read one page: from its text layer, if it has one, else by character recognition."""
    if sheet.picture is None:
        return Page(sheet.number, 0, 0, "failed", sheet.fault)
    if sheet.lines is None:
        return read_picture(sheet.picture, sheet.number, threads)
    return _laid_out(sheet.picture, sheet.lines, "text", sheet.number, threads)


def read_picture(picture: Any, number: int = 1, threads: int = 0) -> Page:
    """Read a photo or scan of a page: a PIL image, or an array (height, width, 3) of RGB bytes.

    `threads` 0 takes as many as OMP_NUM_THREADS says, else every core. Boxes are those of `upright(picture, page)`.
    """
    picture = as_array(picture)
    height, width = picture.shape[:2]
    if int(np.ptp(picture)) < FAINTEST_INK:
        return Page(number, width, height, "empty", "the page is blank")
    read = recognise(picture, threads, straighten=True)
    lines = tuple(to_line(line) for line in read.lines)
    if sum(letter.isalnum() for line in lines for letter in line.text) < FEWEST_LETTERS:
        return Page(number, width, height, "empty", "no text was found on the picture")
    page = Page(number, width, height, "ocr", turns=read.turns, skew=read.skew)
    seen = _laid_out(upright(picture, page), lines, "ocr", number, threads)
    return replace(seen, turns=read.turns, skew=read.skew)


def _laid_out(
    picture: np.ndarray, lines: tuple[Line, ...], status: Literal["text", "ocr"], number: int, threads: int
) -> Page:
    height, width = picture.shape[:2]
    slim = max(height, width) > SLIMMEST * min(height, width)
    found = [] if slim else find_blocks(picture, threads=threads)
    return Page(number, width, height, status, blocks=put_together(lines, found, picture))


def upright(picture: Any, page: Page) -> np.ndarray:
    """A page's picture as its boxes see it: turned by quarters, then levelled. (height, width, 3) of RGB bytes."""
    turned = np.ascontiguousarray(np.rot90(as_array(picture), page.turns))
    return level(turned, page.skew) if page.skew else turned


def as_array(picture: Any) -> np.ndarray:
    """(height, width, 3) of RGB bytes."""
    if isinstance(picture, np.ndarray):
        return picture
    from multimodal_llm.images import load_image

    return np.asarray(load_image(picture))


def to_line(line: OcrLine) -> Line:
    """A recognised line as a document's."""
    words = tuple(Word(word.text, word.box, word.score) for word in line.words)
    return Line(line.text, line.box, line.score, words)
