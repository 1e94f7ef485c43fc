"""A page with what was found on it: its blocks, or an answer in its box."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from multimodal_llm.document_understanding.document import Page
from multimodal_llm.document_understanding.document_qa import Answer
from multimodal_llm.document_understanding.export import draw_overlay
from multimodal_llm.document_understanding.fields import Found

COLOURS = {"company": (31, 119, 180), "date": (44, 160, 44), "address": (148, 103, 189), "total": (214, 39, 40)}
ANSWER = (220, 30, 60)
VEIL = 0.35  # how much of the page's contrast the rest loses, so that the marked stands out


def drawn(picture: Any, page: Page, reply: Answer | None = None) -> Any:
    """The page's blocks with their order of reading; with an answer, that in a box instead. Both are PIL images."""
    if reply is None or reply.box is None or reply.page != page.number:
        return draw_overlay(np.asarray(picture), page)
    return boxed(picture, {"": (reply.box, ANSWER)})


def fields_drawn(picture: Any, page: Page, fields: Mapping[Any, Found]) -> Any:
    """The page with a coloured box around each field on it."""
    places = {name: (each.box, COLOURS[name]) for name, each in fields.items() if each.page == page.number}
    return boxed(picture, places)


def boxed(picture: Any, places: Mapping[str, tuple[Any, tuple[int, int, int]]]) -> Any:
    """The picture, paler but for the boxes, each with its name above it."""
    bright = np.asarray(picture.convert("RGB"))
    pale = (255 - (255 - bright.astype(np.float32)) * (1 - VEIL)).astype(np.uint8)
    margin = max(4, round(0.006 * max(bright.shape[:2])))
    frames = []
    for name, (box, colour) in places.items():
        left, top = (max(0, round(side) - margin) for side in box[:2])
        right, bottom = (round(side) + margin for side in box[2:])
        pale[top:bottom, left:right] = bright[top:bottom, left:right]
        frames.append((name, (left, top, right, bottom), colour))
    image = Image.fromarray(pale)
    pen = ImageDraw.Draw(image)
    size = max(14, round(0.018 * max(bright.shape[:2])))
    for name, (left, top, right, bottom), colour in frames:
        pen.rectangle((left, top, right, bottom), outline=colour, width=max(3, margin // 2))
        if name:
            pen.text((left, max(0, top - 1.3 * size)), name, fill=colour, font_size=size)
    return image
