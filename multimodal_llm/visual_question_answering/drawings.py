"""Pictures drawn here: shapes as easy-VQA has them, and pictures of other kinds that nothing in training resembles.

The page's samples come from here, and the pictures on which we measure whether a system notices what it does not know.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from multimodal_llm.visual_question_answering.data_loader import COLORS, SHAPES

SIZE = 64
RGB = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "brown": (165, 42, 42),
    "gray": (128, 128, 128),
    "green": (0, 255, 0),
    "red": (255, 0, 0),
    "teal": (0, 128, 128),
    "yellow": (255, 255, 0),
}
OTHER_RGB = ((255, 0, 255), (255, 140, 0), (128, 0, 128), (255, 182, 193))  # magenta, orange, purple, pink
SCALE = 4  # drawn so much larger, then scaled down: smooth edges, as in easy-VQA

Random = np.random.Generator


def draw_shape(shape: str, color: str, random: Random, size: int = SIZE) -> Image.Image:
    """One of easy-VQA's shapes in one of its colours, somewhere on a pale ground of `size` x `size` pixels.

    Raises ValueError for another shape or colour.
    """
    if shape not in SHAPES or color not in RGB:
        raise ValueError(f"no {color} {shape} in easy-VQA: choose from {', '.join(SHAPES)} and {', '.join(COLORS)}")
    image = _ground(random, size)
    _paint(image, shape, RGB[color], random)
    return image.resize((size, size), Image.Resampling.BOX)


def draw(kind: str, random: Random, size: int = SIZE) -> Image.Image:
    """A picture of one of PICTURE_KINDS. Raises ValueError for another name."""
    if kind not in PICTURE_KINDS:
        raise ValueError(f"no kind {kind!r}: choose from {', '.join(PICTURE_KINDS)}")
    return PICTURE_KINDS[kind](random, size)


def _ground(random: Random, size: int) -> Image.Image:
    pale = tuple(int(value) for value in random.integers(229, 256, size=3))
    return Image.new("RGB", (size * SCALE, size * SCALE), pale)


def _paint(image: Image.Image, shape: str, rgb: tuple[int, ...], random: Random) -> None:
    side = image.width
    width, height = (int(side * share) for share in random.uniform(0.16, 0.5, size=2))
    if shape != "rectangle":
        height = width
    left, top = int(random.uniform(0, side - width)), int(random.uniform(0, side - height))
    box = (left, top, left + width, top + height)
    pen = ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse(box, fill=rgb)
    elif shape == "rectangle":
        pen.rectangle(box, fill=rgb)
    else:
        sides = {"triangle": 3, "hexagon": 6, "star": 10}[shape]
        angles = np.arange(sides) * 2 * np.pi / sides - np.pi / 2
        reach = np.where(np.arange(sides) % 2 == 1, 0.4, 1.0) if shape == "star" else np.ones(sides)
        x = left + width / 2 * (1 + reach * np.cos(angles))
        y = top + height / 2 * (1 + reach * np.sin(angles))
        pen.polygon([(float(a), float(b)) for a, b in zip(x, y, strict=True)], fill=rgb)


def _usual(random: Random, size: int) -> Image.Image:
    return draw_shape(str(random.choice(SHAPES)), str(random.choice(COLORS)), random, size)


def _with(*shapes: str, colors: tuple[tuple[int, ...], ...] = tuple(RGB.values())) -> Callable:
    def make(random: Random, size: int) -> Image.Image:
        image = _ground(random, size)
        for shape in shapes:
            _paint(image, shape if shape else str(random.choice(SHAPES)), colors[random.integers(len(colors))], random)
        return image.resize((size, size), Image.Resampling.BOX)

    return make


def _noise(random: Random, size: int) -> Image.Image:
    return Image.fromarray(random.integers(0, 256, size=(size, size, 3), dtype=np.uint8))


def _clouds(random: Random, size: int) -> Image.Image:
    """Blurred noise of several sizes: soft and irregular, as the out-of-focus part of a photo."""
    total = np.zeros((size, size, 3))
    for cells in (2, 4, 8, 16):
        coarse = Image.fromarray(random.integers(0, 256, size=(cells, cells, 3), dtype=np.uint8))
        total += np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=float) / 4
    return Image.fromarray(total.astype(np.uint8))


def _letters(random: Random, size: int) -> Image.Image:
    image = Image.new("RGB", (size, size), "white")
    pen = ImageDraw.Draw(image)
    for line in range(6):
        text = "".join(chr(int(code)) for code in random.integers(97, 123, size=11))
        pen.text((1, line * 10), text, fill="black")
    return image


def _blurred(random: Random, size: int) -> Image.Image:
    return _usual(random, size).filter(ImageFilter.GaussianBlur(size / 16))


def _dark_ground(random: Random, size: int) -> Image.Image:
    image = Image.new("RGB", (size * SCALE, size * SCALE), tuple(int(v) for v in random.integers(20, 110, size=3)))
    _paint(image, str(random.choice(SHAPES)), RGB[str(random.choice(["yellow", "red", "green"]))], random)
    return image.resize((size, size), Image.Resampling.BOX)


PICTURE_KINDS: dict[str, Callable[[Random, int], Image.Image]] = {
    "usual": _usual,
    "empty": _with(),
    "two_shapes": _with("", ""),
    "three_shapes": _with("", "", ""),
    "star": _with("star"),
    "hexagon": _with("hexagon"),
    "other_color": _with("", colors=OTHER_RGB),
    "dark_ground": _dark_ground,
    "blurred": _blurred,
    "letters": _letters,
    "clouds": _clouds,
    "noise": _noise,
}
