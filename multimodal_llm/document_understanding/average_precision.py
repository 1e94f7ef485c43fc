"""Average precision of found boxes, as COCO scores detection (Lin et al. 2014; 101 recalls, one overlap)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from multimodal_llm.document_understanding.block_detector import overlaps

RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes of one class on one picture."""

    found: np.ndarray
    """(n, 4)"""
    scores: np.ndarray
    """(n,)"""
    right: np.ndarray
    """(m, 4), the labelled ones."""
    ignored: np.ndarray
    """(k, 4): labelled boxes that need not be found; what is found there is neither right nor wrong."""


def average_precision(pictures: Sequence[Picture], least_overlap: float = 0.5) -> float | None:
    """0 to 1; None where nothing is labelled.

    From the surest found box on, each takes the labelled box that it overlaps most and that none has taken. Precision
    at a recall is the best at that recall or a higher one; the mean is over 101 recalls.
    """
    wanted = sum(len(picture.right) for picture in pictures)
    if not wanted:
        return None
    hits: list[tuple[float, bool]] = []  # score, right or wrong
    for picture in pictures:
        free = np.ones(len(picture.right), dtype=bool)
        for number in np.argsort(-picture.scores, kind="stable"):
            shares = np.where(free, overlaps(picture.found[number], picture.right), 0.0)
            if shares.size and shares.max() >= least_overlap:
                free[shares.argmax()] = False
                hits.append((float(picture.scores[number]), True))
            elif not any(overlaps(picture.found[number], picture.ignored) >= least_overlap):
                hits.append((float(picture.scores[number]), False))
    if not hits:
        return 0.0
    right = np.array([hit for _, hit in sorted(hits, key=lambda each: -each[0])])
    recall = right.cumsum() / wanted
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS - 1e-9)
    return float(np.where(places < len(precision), precision[np.minimum(places, len(precision) - 1)], 0.0).mean())
