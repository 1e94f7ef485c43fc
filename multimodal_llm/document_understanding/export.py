"""A read document as Markdown, as JSON, and as a picture with its blocks drawn on it."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from multimodal_llm.document_understanding.document import RUNNING, Block, Line, Page
from multimodal_llm.document_understanding.tables import to_markdown as table_to_markdown
from shared.ocr_recognition import is_unspaced
from shared.reading_order import rows_of

RUNNING_TEXT = 16  # lines' heights that a block of running text is wide; in narrower ones lines are kept apart
LIST_MARK = re.compile(r"(\d+[.)]|[a-z]\)|[•▪●○·–*-])\s")
FULL_LINE = 0.8  # of its block's width: what is shorter ends a paragraph, or is a line of its own
COLOURS = {
    "text": (31, 119, 180),
    "title": (214, 39, 40),
    "figure": (44, 160, 44),
    "figure_caption": (152, 223, 138),
    "table": (148, 103, 189),
    "table_caption": (197, 176, 213),
    "header": (127, 127, 127),
    "footer": (127, 127, 127),
    "reference": (140, 86, 75),
    "equation": (255, 127, 14),
}


def to_markdown(pages: Iterable[Page]) -> str:
    """Titles as headings, tables as tables, captions in italics; running headers and footers left out."""
    return "\n\n".join(filter(None, (page_to_markdown(page) for page in pages))) + "\n"


def page_to_markdown(page: Page) -> str:
    """A page's part of it; of one that could not be read, a comment that says why."""
    if page.status == "failed":
        return f"<!-- page {page.number}: {page.reason} -->"
    return "\n\n".join(filter(None, (_block_to_markdown(block) for block in page.blocks)))


def _block_to_markdown(block: Block) -> str:
    if block.kind in RUNNING:
        return ""
    if block.table is not None:
        return table_to_markdown(block.table)
    text = flowing_text(block)
    if block.kind == "figure":
        return f"> [figure] {' '.join(text.split())}".rstrip()
    if not text:
        return ""
    if block.kind == "title":
        return "## " + " ".join(text.split())
    if block.kind.endswith("caption"):
        return "*" + " ".join(text.split()).strip("*") + "*"
    return _escaped(text)


def flowing_text(block: Block) -> str:
    """A block's text with lines joined where they fill its width, and words put together that end a line hyphened."""
    lines = _rows(block.lines)
    right = max((line.box[2] for line in lines), default=0)
    width = max(right - min((line.box[0] for line in lines), default=0), 1e-6)
    text = ""
    for line, before in zip(lines, [None, *lines], strict=False):
        full = before is not None and before.box[2] - block.box[0] > FULL_LINE * width
        wide = block.kind == "title" or width > RUNNING_TEXT * (line.box[3] - line.box[1])
        if before is None:
            text = line.text
        elif not (full and wide and block.score) or LIST_MARK.match(line.text):
            text += "\n" + line.text
        elif text.endswith("-") and text[-2:-1].islower() and line.text[:1].islower():
            text = text[:-1] + line.text
        else:
            spaced = not (is_unspaced(text[-1:] or " ") and is_unspaced(line.text[:1] or " "))
            text += (" " if spaced else "") + line.text
    return text


def _rows(lines: Sequence[Line]) -> list[Line]:
    """What stands in one row as one line, with two spaces between."""
    joined = []
    for row in rows_of([line.box for line in lines]):
        parts = [lines[number] for number in row]
        lefts, tops, rights, bottoms = zip(*(part.box for part in parts), strict=True)
        box = (min(lefts), min(tops), max(rights), max(bottoms))
        words = tuple(word for part in parts for word in part.words)
        joined.append(Line("  ".join(part.text for part in parts), box, min(part.score for part in parts), words))
    return joined


def _escaped(text: str) -> str:
    """Lines that Markdown would take for headings, quotes or rules are text; a line break is one."""
    lines = [
        f"\\{line}" if line[:1] in "#>|" or set(line.strip()) <= set("-=*_ ") else line for line in text.split("\n")
    ]
    return "  \n".join(lines)


def write_json_pages(file: IO[str], about: dict[str, Any], pages: Iterable[Page]) -> None:
    """A JSON object of `about` and `pages`, a line each, written as they come: `Document.from_dict` reads it back."""
    head = json.dumps(about, ensure_ascii=False)[:-1]
    file.write(f'{head}{", " if about else ""}"pages": [')
    for number, page in enumerate(pages):
        file.write(",\n" if number else "\n")
        file.write(json.dumps(asdict(page), ensure_ascii=False))
    file.write("\n]}\n")


def draw_overlay(picture: np.ndarray, page: Page) -> Any:
    """A PIL image: the upright picture with a box around each block, its number in the order of reading and its kind.

    Lines within are drawn thin. `picture`, (height, width, 3) bytes, is the upright one, see `layout_analysis.upright`.
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture).convert("RGB")
    draw = ImageDraw.Draw(image, "RGBA")
    size = max(10, round(max(image.size) / 100))
    font = ImageFont.load_default(size)
    for number, block in enumerate(page.blocks, 1):
        colour = COLOURS[block.kind]
        for line in block.lines:
            draw.rectangle(line.box, outline=(*colour, 90))
        for cell in block.table.cells if block.table else ():
            draw.rectangle(cell.box, fill=(*colour, 40))
        draw.rectangle(block.box, outline=(*colour, 255), width=max(2, size // 6))
        label = f"{number} {block.kind.replace('_', ' ')}"
        left, top = block.box[0], max(0, block.box[1] - size - 4)
        draw.rectangle((left, top, left + draw.textlength(label, font) + 6, top + size + 4), fill=(*colour, 230))
        draw.text((left + 3, top + 1), label, fill="white", font=font)
    return image
