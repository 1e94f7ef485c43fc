"""Pages of photos, scans and PDFs as blocks of text in the order of reading.

    for page in read_document("report.pdf"):
        print(page.number, page.status, page.text)

A page is brought upright, its words come from the PDF's own text or from character recognition, its blocks from a
layout model (block_detector.py); assemble.py brings both together. One page at a time is in memory, and a page that
cannot be read is a Page with the status "failed", which stops nothing.
"""

from typing import Any

import numpy as np

from multimodal_llm.document_understanding.assemble import put_together
from multimodal_llm.document_understanding.block_detector import find_blocks
from multimodal_llm.document_understanding.document import Line, Page, Word
from shared.ocr import OcrLine
from shared.ocr import read_picture as recognise

FAINTEST_INK = 16  # of 255 shades of grey: less is a blank page
SLIMMEST = 4.0  # sides' ratio of a strip, which squeezed into the layout model's shape would be nothing
FEWEST_LETTERS = 2  # letters and digits on a page that has text at all


def read_picture(picture: Any, number: int = 1, threads: int = 0) -> Page:
    """Read a photo or scan of a page: a PIL image, or an array (height, width, 3) of RGB bytes.

    `threads` 0 takes as many as OMP_NUM_THREADS says, else every core. Boxes are those of `upright(picture, page)`.
    """
    picture = as_array(picture)
    height, width = picture.shape[:2]
    if int(np.ptp(picture)) < FAINTEST_INK:
        return Page(number, width, height, "empty", "the page is blank")
    read = recognise(picture, threads)
    picture = np.rot90(picture, read.turns)
    height, width = picture.shape[:2]
    lines = tuple(_line(line) for line in read.lines)
    if sum(letter.isalnum() for line in lines for letter in line.text) < FEWEST_LETTERS:
        return Page(number, width, height, "empty", "no text was found on the picture")
    slim = max(height, width) > SLIMMEST * min(height, width)
    blocks = put_together(lines, [] if slim else find_blocks(np.ascontiguousarray(picture), threads=threads))
    return Page(number, width, height, "ocr", turns=read.turns, blocks=blocks)


def as_array(picture: Any) -> np.ndarray:
    """(height, width, 3) of RGB bytes."""
    if isinstance(picture, np.ndarray):
        return picture
    from multimodal_llm.images import load_image

    return np.asarray(load_image(picture))


def _line(line: OcrLine) -> Line:
    words = tuple(Word(word.text, word.box, word.score) for word in line.words)
    return Line(line.text, line.box, line.score, words)
