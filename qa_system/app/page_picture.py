"""A page of a PDF as a picture, with places on it marked.

A page is drawn by a process of its own, with limits of time and memory: the PDF is a stranger's.
"""

import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from qa_system.document_processor.documents import Box
from shared.logging import get_logger

log = get_logger(__name__)

SCALE = 2.5  # pixels a point
MOST_PIXELS = 4_000_000  # a page may claim to be as large as a house
WITHIN_S, MEMORY_MB = 20.0, 1500
MARK = (255, 213, 0)
EDGE = (190, 190, 190)
MARGIN = 1.5  # points around a line
CLOSE_UP = 90.0  # points around what is marked


def page_picture(pdf: Path, page: int, boxes: Sequence[Box] = (), close_up: bool = False) -> bytes | None:
    """The page (from 1) as PNG with the boxes on it marked; only their surroundings as a close-up. None where the page
    cannot be drawn."""
    from PIL import Image, ImageChops, ImageDraw

    command = [sys.executable, "-c", "from qa_system.app.page_picture import draw; draw()", str(pdf), str(page)]
    try:
        drawn = subprocess.run(command, capture_output=True, timeout=WITHIN_S).stdout
        scale, _, png = drawn.partition(b"\n")
        picture, points = Image.open(io.BytesIO(png)).convert("RGB"), float(scale)
    except (subprocess.TimeoutExpired, ValueError, OSError) as error:
        log.warning("page %d is not drawn: %s", page, type(error).__name__)
        return None
    here = [box for box in boxes if box.page == page]
    marks = Image.new("RGB", picture.size, "white")
    pen = ImageDraw.Draw(marks)
    for box in here:
        corners = (box.left - MARGIN, box.top - MARGIN, box.right + MARGIN, box.bottom + MARGIN)
        pen.rounded_rectangle([points * each for each in corners], radius=2 * points, fill=MARK)
    picture = ImageChops.multiply(picture, marks)  # like a felt pen: what is black stays black
    ImageDraw.Draw(picture).rectangle((0, 0, picture.width - 1, picture.height - 1), outline=EDGE)
    if close_up and here:
        left, top = (min(getattr(box, side) for box in here) - CLOSE_UP for side in ("left", "top"))
        right, bottom = (max(getattr(box, side) for box in here) + CLOSE_UP for side in ("right", "bottom"))
        ends = (min(points * right, picture.width), min(points * bottom, picture.height))
        area = tuple(map(int, (max(points * left, 0), max(points * top, 0), *ends)))
        if area[0] < area[2] and area[1] < area[3]:  # text may stand beside the page, where nobody sees it
            picture = picture.crop(area)
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def draw() -> None:
    """What the process does: `PDF PAGE` as arguments; pixels a point and the PNG to standard output."""
    import os

    import pypdfium2

    from qa_system.document_processor.worker import limit_memory

    limit_memory(MEMORY_MB)
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand before the picture
    page = pypdfium2.PdfDocument(sys.argv[1])[int(sys.argv[2]) - 1]
    width, height = page.get_size()
    scale = min(SCALE, (MOST_PIXELS / max(width * height, 1)) ** 0.5)
    written = io.BytesIO()
    page.render(scale=scale).to_pil().convert("RGB").save(written, "PNG")
    output.write(b"%.6f\n" % scale + written.getvalue())
    output.close()
