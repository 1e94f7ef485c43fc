"""The blocks of a page: titles, paragraphs, tables, figures, captions, headers, footers, with box and confidence.

The model is a PicoDet (Yu et al. 2021, arXiv 2111.00902) of 7 MB that learned the Chinese papers of CDLA. It comes as
ONNX without what makes boxes of its numbers; that is here. At every point of four grids, 8 to 64 pixels wide, it gives
each class a score, and each side of a box a distribution over distances of 0 to 7 grid steps, whose mean is the
distance (Li et al. 2020, "Generalized Focal Loss", arXiv 2006.04388, equation 6).
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from multimodal_llm.document_understanding.document import BLOCK_KINDS, BlockKind
from shared.reading_order import Rectangle

HEIGHT, WIDTH = 800, 608  # pixels that the model wants, whatever the page's proportions
STRIDES = (8, 16, 32, 64)  # of the grids, in pixels
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)  # of ImageNet, red, green, blue
SPREAD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
LEAST_SCORE = 0.4
SAME = 0.5  # overlap (intersection over union) from which on two boxes of a class are one
CANDIDATES = 200  # boxes of a class that are compared with each other


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A block that the layout model sees, and how sure it is, 0 to 1."""

    kind: BlockKind
    box: Rectangle
    """In pixels of the picture."""
    score: float


def find_blocks(picture: np.ndarray, least_score: float = LEAST_SCORE, threads: int = 0) -> list[FoundBlock]:
    """The blocks in a picture, (height, width, 3) of RGB bytes, surest first; those of one class hardly overlap."""
    session = _model(threads)
    outputs = session.run(None, {"image": prepare(picture)})
    scores, boxes = decode([output[0] for output in outputs[:4]], [output[0] for output in outputs[4:]])
    scale = np.array([picture.shape[1] / WIDTH, picture.shape[0] / HEIGHT] * 2)
    found = []
    for label, kind in enumerate(BLOCK_KINDS):
        for number in suppress(boxes, scores[:, label], least_score):
            left, top, right, bottom = (boxes[number] * scale).tolist()
            found.append(FoundBlock(kind, (left, top, right, bottom), float(scores[number, label])))  # type: ignore[arg-type]
    return sorted(found, key=lambda block: -block.score)


@functools.lru_cache(maxsize=1)
def _model(threads: int) -> Any:
    import onnxruntime

    from shared.assets import asset_path

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    file = asset_path("layout") / "layout_cdla.onnx"
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    classes = session.get_modelmeta().custom_metadata_map["character"].split("\n")
    if tuple(classes) != BLOCK_KINDS:
        raise ValueError(f"{file}: its classes are {classes}, not {list(BLOCK_KINDS)}")
    return session


def prepare(picture: np.ndarray) -> np.ndarray:
    """(1, 3, 800, 608), centred and scaled as for ImageNet."""
    import cv2

    scaled = cv2.resize(picture, (WIDTH, HEIGHT)).astype(np.float32) / 255
    return ((scaled - MEAN) / SPREAD).transpose(2, 0, 1)[None]


def decode(scores: list[np.ndarray], distances: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Scores (points, classes) and boxes (points, 4) in the model's pixels, of all grids together.

    `scores` are (points, classes) and `distances` (points, 4 * steps), one of each a grid; the sides are left, top,
    right, bottom, each with a distribution over its steps.
    """
    boxes = []
    for stride, logits in zip(STRIDES, distances, strict=True):
        rows, columns = -(-HEIGHT // stride), -(-WIDTH // stride)
        y, x = np.mgrid[:rows, :columns].reshape(2, -1) + 0.5  # (points,): the middle of each field of the grid
        shares = logits.reshape(len(x), 4, -1)
        shares = np.exp(shares - shares.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)  # (points, 4, steps)
        left, top, right, bottom = (shares @ np.arange(shares.shape[2])).T  # each (points,)
        boxes.append(stride * np.stack([x - left, y - top, x + right, y + bottom], axis=1))
    limits = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
    return np.concatenate(scores), np.clip(np.concatenate(boxes), 0, limits)


def suppress(boxes: np.ndarray, scores: np.ndarray, least_score: float) -> list[int]:
    """Numbers of the boxes (n, 4) to keep, surest first by scores (n,): of those that are the same, only the surest
    (non-maximum suppression)."""
    rest = np.flatnonzero(scores > least_score)
    rest = rest[np.argsort(-scores[rest], kind="stable")][:CANDIDATES]
    kept = []
    while len(rest):
        kept.append(int(rest[0]))
        rest = rest[1:][overlaps(boxes[rest[0]], boxes[rest[1:]]) <= SAME]
    return kept


def overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with others (n, 4)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return shared / np.maximum((box[2:] - box[:2]).prod() + areas - shared, 1e-9)
