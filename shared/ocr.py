"""Text from pictures: the lines and words of a scanned page, Chinese and English, with their places.

PP-OCR (PaddleOCR) through rapidocr, whose models lie in its package: nothing is downloaded. It finds lines in any
direction but cannot tell which way up a page is; therefore all lines vote, and a page that lies on its side or its head
is turned and read again.
"""

import functools
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.ocr_recognition import read_lines
from shared.reading_order import Rectangle

LEAST_SCORE = 0.5  # lines read with less confidence are noise, pictures, handwriting
LONGEST_SIDE = 2000  # pixels; larger pictures are made smaller
MOST_PIXELS = 3_000_000  # of a picture as it is looked at, since memory grows with them: A4 at 175 dots an inch
SHORTEST_SIDE = 736  # smaller pictures are made larger, but never beyond the longest side: strips stay strips
# Degrees: with less, boxes hardly overlap; with more, the lines are no page's. Of four receipts turned by 4 degrees a
# third of the letters was wrong or out of order as they lay, a fifth when levelled.
LEAST_SKEW, MOST_SKEW = 1.0, 20.0
MANY_LINES = 300  # more may be dots or hatching: first a few of them are read, spread over the page
FEW_LINES = 40
MOST_VOTERS = 24  # longest lines that are asked which way up the page is


@dataclass(frozen=True, slots=True)
class OcrWord:
    """A word, or one Chinese character: its text, its place in pixels of the upright picture, its score (0 to 1)."""

    text: str
    box: Rectangle
    score: float


@dataclass(frozen=True, slots=True)
class OcrLine:
    """A line: its text, its place in pixels of the upright picture, how sure the model is (0 to 1)."""

    text: str
    box: Rectangle
    score: float
    words: tuple[OcrWord, ...] = ()


@dataclass(frozen=True, slots=True)
class OcrPage:
    """The lines of a picture, in no order that means anything; see shared.reading_order."""

    lines: tuple[OcrLine, ...]
    turns: int
    """Quarter turns counter-clockwise that make the picture upright; boxes are those of the upright picture."""
    skew: float = 0.0
    """Degrees clockwise by which its lines then fell; boxes are those of the picture levelled by as many."""


def read_picture(picture: np.ndarray, threads: int = 0, straighten: bool = False) -> OcrPage:
    """Find and read the lines of a picture, `(height, width, 3)` of RGB bytes, whichever way it lies.

    `threads` 0 takes as many as OMP_NUM_THREADS says, else every core. `straighten` levels a photo whose lines fall or
    rise, so that boxes of neighbouring lines do not overlap. Raises ValueError for an array of another kind.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise ValueError(f"picture of shape {picture.shape} and type {picture.dtype}: give (height, width, 3) bytes")
    engine = _engine(threads)
    picture = np.ascontiguousarray(picture[:, :, ::-1])  # OpenCV's order of colours
    crops, corners = _find_lines(engine, picture)
    turns = _turns(engine, crops, corners)
    if turns:
        picture = np.ascontiguousarray(np.rot90(picture, turns))
        crops, corners = _find_lines(engine, picture)
    skew = _skew(corners) if straighten else 0.0
    if skew:
        picture = level(picture, skew)
        crops, corners = _find_lines(engine, picture)
    if len(crops) > MANY_LINES and not _has_text(crops[:: len(crops) // FEW_LINES], threads):
        return OcrPage((), turns, skew)
    lines = []
    for quad, read in zip(corners, read_lines(crops, _threads(threads)), strict=True):
        if read.text and read.score >= LEAST_SCORE:
            words = tuple(OcrWord(word.text, _part(quad, word.start, word.end), word.score) for word in read.words)
            lines.append(OcrLine(read.text, _around(quad), read.score, words))
    return OcrPage(tuple(lines), turns, skew)


def level(picture: np.ndarray, skew: float) -> np.ndarray:
    """The picture (height, width, 3) turned counter-clockwise by so many degrees, on a sheet large enough, filled up
    with its edge."""
    import cv2

    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), skew, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = round(width * cosine + height * sine), round(width * sine + height * cosine)
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    turned = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(turned)


def _skew(corners: np.ndarray) -> float:
    """Degrees clockwise by which most lines fall, 0 where it is too little to matter or they do not agree."""
    along, across = corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]  # (n, 2)
    long = np.linalg.norm(along, axis=1) > 4 * np.linalg.norm(across, axis=1)
    if long.sum() < 3:
        return 0.0
    angles = np.degrees(np.arctan2(along[long, 1], along[long, 0]))
    middle = float(np.median(angles))
    agree = np.abs(angles - middle) < 1.5
    return middle if LEAST_SKEW < abs(middle) < MOST_SKEW and agree.mean() > 0.5 else 0.0


def _has_text(crops: list[np.ndarray], threads: int) -> bool:
    """Whether some of the lines are any: a page of dots has a thousand that are none, which took a minute to read."""
    found = read_lines(crops, _threads(threads))
    return any(read.score >= LEAST_SCORE and any(map(str.isalnum, read.text)) for read in found)


def _part(quad: np.ndarray, start: float, end: float) -> Rectangle:
    """The box around a part of a line with these corners (4, 2): upper left, upper right, lower right, lower left."""
    if np.linalg.norm(quad[0] - quad[3]) >= 1.5 * np.linalg.norm(quad[0] - quad[1]):
        quad = quad[[1, 2, 3, 0]]  # rapidocr turns a tall line counter-clockwise: it begins at its upper edge
    upper, lower = quad[1] - quad[0], quad[2] - quad[3]
    ends = [quad[0] + share * upper for share in (start, end)] + [quad[3] + share * lower for share in (start, end)]
    return _around(np.array(ends))


def _around(points: np.ndarray) -> Rectangle:
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom


@functools.lru_cache(maxsize=1)
def _engine(threads: int) -> Any:
    from rapidocr import RapidOCR

    settings = {"Global.log_level": "critical", "Det.limit_type": "max", "Det.limit_side_len": LONGEST_SIDE}
    return RapidOCR(params=settings | {"EngineConfig.onnxruntime.intra_op_num_threads": _threads(threads) or -1})


def _threads(threads: int) -> int:
    return threads or int(os.environ.get("OMP_NUM_THREADS") or 0)  # that ONNX Runtime itself does not heed


def _find_lines(engine: Any, picture: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The lines cut out, tall ones turned counter-clockwise, and their corners in the picture, (n, 4, 2)."""
    import cv2
    from rapidocr.main import RapidOCRError
    from rapidocr.utils.process_img import map_boxes_to_original

    height, width = picture.shape[:2]
    scale = min(max(1.0, SHORTEST_SIDE / min(height, width)), LONGEST_SIDE / max(height, width))
    scale = min(scale, (MOST_PIXELS / (height * width)) ** 0.5)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    record: dict[str, Any] = {}  # rapidocr notes here the margin that it puts around strips
    try:
        crops, found = engine.detect_and_crop(scaled, record)
    except RapidOCRError:  # nothing is found
        return [], np.zeros((0, 4, 2))
    return crops, map_boxes_to_original(found.boxes, record, size[1], size[0]) / scale


def _turns(engine: Any, crops: list[np.ndarray], corners: np.ndarray) -> int:
    """Quarter turns counter-clockwise that make the page upright, by a vote of its lines, long ones counting more."""
    if not crops:
        return 0
    sizes = np.ptp(corners, axis=1)  # (n, 2): width, height
    tall = sizes[:, 1] > 1.5 * sizes[:, 0]
    sideways = bool(sizes.max(axis=1)[tall].sum() > 0.5 * sizes.max(axis=1).sum())
    voters = sorted(np.flatnonzero(tall == sideways), key=lambda each: -sizes[each].max())[:MOST_VOTERS]
    _, votes = engine.cls_and_rotate([crops[number] for number in voters])
    flipped = sum(score if label == "180" else -score for label, score in votes.cls_res) > 0
    return int(sideways) + 2 * int(flipped)
