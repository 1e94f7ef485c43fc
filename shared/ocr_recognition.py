"""The letters of lines that are cut out of a picture, and where each word stands in its line.

PP-OCR's recognition model reads a line from left to right in steps of 8 pixels of a picture 48 high, and at each step
gives every character, and "none", a probability. Connectionist temporal classification (CTC, Graves et al. 2006,
section 3.2.1) makes text of the likeliest ones: repetitions are one, "none" is left out. Lost with that is the white
between English words: the model saw mostly Chinese, so a space is often its second choice, and words stick together.
Therefore a space is taken where it has only a small probability, between characters that are written with spaces.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HEIGHT = 48  # pixels that the model wants
NARROWEST = (
    240  # pixels: shorter lines are padded to it. 320, as in training, takes longer and is no better, 96 is worse
)
BATCH_WIDTH = 2000  # pixels of all lines that are read at once, since memory grows with them
SPACE = 0.1  # probability of a space from which on it is one; the likeliest class would be some 0.5
NONE = 0  # the class that means "no character begins here"


class ReadWord(NamedTuple):
    text: str
    start: float
    """Of the line's length, 0 to 1."""
    end: float
    score: float


class ReadLine(NamedTuple):
    text: str
    score: float
    """The mean probability of its characters, 0 for none."""
    words: tuple[ReadWord, ...]
    """Runs without white; of Chinese and Japanese, which are written without it, each character."""


def read_lines(crops: Sequence[np.ndarray], threads: int = 0) -> list[ReadLine]:
    """Read pictures of one line each, (height, width, 3) bytes in OpenCV's order of colours."""
    session, alphabet = _model(threads)
    widths = [max(1, round(crop.shape[1] * HEIGHT / crop.shape[0])) for crop in crops]
    lines: dict[int, ReadLine] = {}
    for batch in _batches(widths):
        wide = max(NARROWEST, max(widths[number] for number in batch))
        picture = np.zeros((len(batch), 3, HEIGHT, wide), dtype=np.float32)
        for row, number in enumerate(batch):
            picture[row, :, :, : widths[number]] = _prepared(crops[number], widths[number])
        (probabilities,) = session.run(None, {session.get_inputs()[0].name: picture})  # (lines, steps, characters)
        for row, number in enumerate(batch):
            steps = probabilities.shape[1] * widths[number] / wide  # the rest is padding
            lines[number] = decode(probabilities[row], alphabet, steps)
    return [lines[number] for number in range(len(crops))]


@functools.lru_cache(maxsize=2)
def _model(threads: int) -> tuple[Any, list[str]]:
    import onnxruntime
    import rapidocr

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = False  # it would keep what the widest line took
    options.log_severity_level = 4
    file = Path(rapidocr.__file__).parent / "models" / "PP-OCRv6_rec_small.onnx"
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    characters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    return session, ["", *characters, " "]


def _batches(widths: Sequence[int]) -> list[list[int]]:
    """Lines of about the same width together, as many as may be read at once."""
    batches: list[list[int]] = []
    for number in sorted(range(len(widths)), key=lambda each: widths[each]):
        if not batches or (len(batches[-1]) + 1) * widths[number] > BATCH_WIDTH:
            batches.append([])
        batches[-1].append(number)
    return batches


def _prepared(crop: np.ndarray, width: int) -> np.ndarray:
    """(3, 48, width) from -1 to 1."""
    import cv2

    scaled = cv2.resize(crop, (width, HEIGHT)).astype(np.float32)
    return scaled.transpose(2, 0, 1) / 127.5 - 1


def decode(probabilities: np.ndarray, alphabet: Sequence[str], steps: float) -> ReadLine:
    """The text in a line's probabilities, (steps, characters), of which the first `steps` show the line.

    The alphabet's first is "none", its last the space.
    """
    best = probabilities.argmax(axis=1)
    begins = np.flatnonzero((best != NONE) & (best != np.concatenate([[NONE], best[:-1]])))
    letters = [alphabet[best[step]] for step in begins]
    scores = probabilities[begins, best[begins]]
    words: list[list[int]] = []  # each the numbers of its letters
    text: list[str] = []
    for number, letter in enumerate(letters):
        if letter.isspace():
            continue
        white = False
        if words:
            last = words[-1][-1]
            between = probabilities[begins[last] + 1 : begins[number], -1]
            spaced = not (is_unspaced(letter) and is_unspaced(letters[last]))
            white = number - last > 1 or bool(spaced and between.size and between.max() > SPACE)
        if not words or white or is_unspaced(letter) or is_unspaced(letters[words[-1][-1]]):
            words.append([])
        words[-1].append(number)
        text += [" ", letter] if white else [letter]
    if not words:
        return ReadLine("", 0.0, ())
    found = []
    centres = (begins + 0.5) / max(steps, 1.0)
    edges = _edges(centres, words)
    for (start, end), numbers in zip(edges, words, strict=True):
        score = float(scores[numbers].mean())
        found.append(ReadWord("".join(letters[number] for number in numbers), start, end, score))
    return ReadLine("".join(text), float(scores.mean()), tuple(found))


def _edges(centres: np.ndarray, words: list[list[int]]) -> list[tuple[float, float]]:
    """Where words begin and end: half a letter beside their outer letters, but never over half the way to the next."""
    pitch = float(np.median(np.diff(centres))) if len(centres) > 1 else 1.0
    edges = []
    for place, numbers in enumerate(words):
        first, last = float(centres[numbers[0]]), float(centres[numbers[-1]])
        before = (float(centres[words[place - 1][-1]]) + first) / 2 if place else 0.0
        after = (last + float(centres[words[place + 1][0]])) / 2 if place + 1 < len(words) else 1.0
        start = max(before, first - 0.6 * pitch) if place else 0.0
        end = min(after, last + 0.6 * pitch) if place + 1 < len(words) else 1.0
        edges.append((min(max(start, 0.0), 1.0), min(max(end, 0.0), 1.0)))
    return edges


def is_unspaced(letter: str) -> bool:
    """Whether a letter is of a script that puts no white between words: Chinese and Japanese, and their stops."""
    code = ord(letter[0])
    return 0x2E80 <= code < 0xA000 or 0xF900 <= code < 0xFB00 or 0xFF00 <= code < 0xFFF0 or code >= 0x20000
