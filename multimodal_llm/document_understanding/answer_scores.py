"""How good an answer is, and whether it was found in the right place.

ANLS, the average normalised Levenshtein similarity, is DocVQA's measure (Biten et al., "Scene text visual question
answering", ICCV 2019, arXiv 1905.13648, eq. 1): an answer misread in a few letters gets most of the point, a wrong one
none. It does not see where an answer was read; a total that stands on the page four times is right by chance three
times. So the place is scored beside it, by the intersection over union of the boxes.
"""

from collections.abc import Sequence

from multimodal_llm.document_understanding.document import Line
from multimodal_llm.document_understanding.rows import compact
from multimodal_llm.document_understanding.text_metrics import edit_distance
from shared.reading_order import Rectangle, around

ANLS_THRESHOLD = 0.5
SAME_PLACE = 0.5  # intersection over union, as usual in detection


def anls(answer: str, right: Sequence[str]) -> float:
    """The best similarity (0 to 1) to one of the right answers, 0 below the threshold; case and outer white aside."""
    best = 0.0
    for each in right:
        one, other = (" ".join(text.lower().split()) for text in (answer, each))
        longest = max(len(one), len(other))
        best = max(best, 1.0 - edit_distance(one, other) / longest if longest else 1.0)
    return best if best >= ANLS_THRESHOLD else 0.0


def intersection_over_union(one: Rectangle, other: Rectangle) -> float:
    """What two boxes share, of what they cover together: 1 for the same box, 0 where they do not touch."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    return shared / both if both > 0 else float(one == other)


def exact(answer: str, right: str) -> bool:
    """Whether two values are the same but for case and the amount of white."""
    return " ".join(answer.lower().split()) == " ".join(right.lower().split())


def places_of(answer: str, lines: Sequence[Line]) -> list[Rectangle]:
    """Where a text stands among lines: within one, or over several that follow each other.

    Every place where it stands, since a total may stand on a page many times; empty where it does not.
    """
    wanted = compact(answer)
    ordered = sorted(lines, key=lambda line: (line.box[1] + line.box[3]) / 2)
    places = []
    for number, line in enumerate(ordered):
        text = compact(line.text)
        if (at := text.find(wanted)) >= 0 and wanted:
            places.append(_share(line.box, at / len(text), (at + len(wanted)) / len(text)))
        elif len(text) > 1 and wanted.startswith(text) and (boxes := _over_lines(wanted, ordered[number:])):
            places.append(around(boxes))
    return places


def _over_lines(wanted: str, lines: Sequence[Line]) -> list[Rectangle]:
    """The boxes of lines that say the text one after the other; others between them are passed over."""
    boxes: list[Rectangle] = []
    for line in lines[:12]:
        text = compact(line.text)
        if text and wanted.startswith(text):
            boxes.append(line.box)
            wanted = wanted[len(text) :]
        elif wanted and text.startswith(wanted):
            return [*boxes, _share(line.box, 0.0, len(wanted) / len(text))]
        if not wanted:
            return boxes
    return []


def _share(box: Rectangle, start: float, end: float) -> Rectangle:
    width = box[2] - box[0]
    return box[0] + width * start, box[1], box[0] + width * end, box[3]
