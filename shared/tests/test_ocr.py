"""Pictures of text, upright, turned, blank and strange."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from shared.ocr import read_picture

LINES = ["Ducks cross the river", "and wait until noon", "with 24 geese of 2018"]


def picture(lines=LINES, width=700, height=300, size=32):
    page = Image.new("RGB", (width, height), "white")
    for number, line in enumerate(lines):
        ImageDraw.Draw(page).text((40, 30 + 60 * number), line, fill="black", font=ImageFont.load_default(size))
    return page


def read(page):
    """Words from top to bottom, and the quarter turns that were needed."""
    found = read_picture(np.asarray(page))
    return [line.text for line in sorted(found.lines, key=lambda line: line.box[1])], found.turns


def test_lines_have_their_words_with_spaces_and_their_places():
    found = read_picture(np.asarray(picture()))
    lines = sorted(found.lines, key=lambda line: line.box[1])
    assert [line.text for line in lines] == LINES
    for number, line in enumerate(lines):
        left, top, right, bottom = line.box
        assert 30 < left < 46 and right < 420
        assert 24 + 60 * number < top < bottom < 78 + 60 * number
        assert line.score > 0.9


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_page_is_brought_upright(turns):
    """Turned clockwise by so many quarters, it takes as many counter-clockwise ones."""
    assert read(picture().rotate(-90 * turns, expand=True)) == (LINES, turns)


def test_boxes_of_a_turned_page_are_those_of_the_upright_picture():
    upright = read_picture(np.asarray(picture()))
    turned = read_picture(np.asarray(picture().rotate(-90, expand=True)))
    for line, other in zip(
        *(sorted(each.lines, key=lambda line: line.box[1]) for each in (upright, turned)), strict=True
    ):
        assert np.allclose(line.box, other.box, atol=6)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_blank_picture_has_no_lines(shade):
    found = read_picture(np.full((200, 300, 3), shade, dtype=np.uint8))
    assert (found.lines, found.turns) == ((), 0)


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (20_000, 3), (20_000, 60)])
def test_the_smallest_and_longest_pictures_are_no_fault(size):
    """A strip of 400 by 3 pixels was made 98,000 pixels long."""
    assert read_picture(np.zeros((*size, 3), dtype=np.uint8)).lines == ()


def test_colours_are_taken_as_red_green_blue():
    page = Image.new("RGB", (500, 100), (250, 240, 200))
    ImageDraw.Draw(page).text((30, 30), "Ducks in yellow", fill=(160, 0, 0), font=ImageFont.load_default(32))
    assert read(page) == (["Ducks in yellow"], 0)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((10, 10), dtype=np.uint8),
        np.zeros((10, 10, 4), dtype=np.uint8),
        np.zeros((10, 10, 3)),
        np.zeros((0, 5, 3), dtype=np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(array):
    with pytest.raises(ValueError, match="height, width, 3"):
        read_picture(array)


def test_words_have_places_of_their_own():
    (line, *_) = sorted(read_picture(np.asarray(picture())).lines, key=lambda line: line.box[1])
    font = ImageFont.load_default(32)
    assert [word.text for word in line.words] == LINES[0].split()
    for number, word in enumerate(line.words):
        before = " ".join(LINES[0].split()[:number]) + " " * bool(number)
        left, right = 40 + font.getlength(before), 40 + font.getlength(before + word.text)
        assert abs(word.box[0] - left) < 14 and abs(word.box[2] - right) < 14
        assert (word.box[1], word.box[3]) == (line.box[1], line.box[3])


def test_a_crooked_page_is_levelled_if_that_is_wanted():
    crooked = np.asarray(picture().rotate(5, fillcolor="white", resample=Image.BICUBIC))
    assert read_picture(crooked).skew == 0
    found = read_picture(crooked, straighten=True)
    assert found.skew == pytest.approx(-5, abs=1)
    lines = sorted(found.lines, key=lambda line: line.box[1])
    assert [line.text for line in lines] == LINES
    assert all(line.box[3] - line.box[1] < 60 for line in lines)
