"""Hand-made layouts, read in the order in which a person would."""

import random

import pytest

from shared.reading_order import reading_order, rows_of

LINE, PITCH = 10.0, 13.0  # height of a line, distance from one to the next


class Sheet:
    """Boxes with names, put on a page; what is read is the names in order."""

    def __init__(self) -> None:
        self.boxes: list[tuple[float, float, float, float]] = []
        self.names: list[str] = []

    def put(self, name: str, left: float, top: float, right: float, height: float = LINE) -> None:
        self.boxes.append((left, top, right, top + height))
        self.names.append(name)

    def column(self, name: str, left: float, right: float, top: float, lines: int, last: float = 0.4) -> float:
        """Lines of running text, the last one short; gives the place of the next line."""
        for number in range(lines):
            end = left + (right - left) * (last if number == lines - 1 else 1.0)
            self.put(f"{name}{number + 1}", left, top + number * PITCH, end)
        return top + lines * PITCH

    def read(self, seed: int | None = None) -> list[str]:
        order = list(range(len(self.boxes)))
        if seed is not None:
            random.Random(seed).shuffle(order)
        boxes = [self.boxes[number] for number in order]
        read = [order[number] for region in reading_order(boxes) for row in region for number in row]
        assert sorted(read) == list(range(len(self.boxes)))  # each once
        return [self.names[number] for number in read]


def named(name: str, lines: int) -> list[str]:
    return [f"{name}{number + 1}" for number in range(lines)]


def test_no_boxes_no_regions():
    assert reading_order([]) == []


def test_one_column_is_read_downwards():
    sheet = Sheet()
    sheet.column("a", 50, 550, 100, 8)
    assert sheet.read(seed=1) == named("a", 8)


@pytest.mark.parametrize("seed", range(4))
def test_two_columns_are_read_one_after_the_other_in_whatever_order_the_boxes_come(seed):
    sheet = Sheet()
    sheet.column("left", 50, 290, 100, 20)
    sheet.column("right", 310, 550, 100, 20)
    assert sheet.read(seed) == named("left", 20) + named("right", 20)


def test_columns_whose_lines_are_not_level_are_read_one_after_the_other():
    sheet = Sheet()
    sheet.column("left", 50, 290, 100, 20)
    sheet.column("right", 310, 550, 106, 14)
    assert sheet.read(seed=1) == named("left", 20) + named("right", 14)


def test_three_columns():
    sheet = Sheet()
    for number, name in enumerate(("a", "b", "c")):
        sheet.column(name, 40 + 180 * number, 200 + 180 * number, 100, 15)
    assert sheet.read(seed=2) == named("a", 15) + named("b", 15) + named("c", 15)


def test_a_heading_over_two_columns_is_read_before_both():
    sheet = Sheet()
    sheet.put("title", 120, 50, 480, height=16)
    sheet.column("left", 50, 290, 100, 12)
    sheet.column("right", 310, 550, 100, 12)
    assert sheet.read(seed=3) == ["title", *named("left", 12), *named("right", 12)]


def test_a_heading_across_the_middle_parts_the_columns_above_from_those_below():
    sheet = Sheet()
    below = sheet.column("a", 50, 290, 100, 8)
    sheet.column("b", 310, 550, 100, 8)
    sheet.put("heading", 120, below + 10, 480)
    sheet.column("c", 50, 290, below + 40, 8)
    sheet.column("d", 310, 550, below + 40, 8)
    assert sheet.read(seed=4) == [*named("a", 8), *named("b", 8), "heading", *named("c", 8), *named("d", 8)]


def test_a_white_stripe_at_the_same_height_in_both_columns_does_not_part_them():
    """Two columns that happen to have a paragraph's distance at the same height were read as four pieces."""
    sheet = Sheet()
    for name, left in (("left", 50), ("right", 310)):
        below = sheet.column(f"{name} above ", left, left + 240, 100, 9)
        sheet.column(f"{name} below ", left, left + 240, below + 12, 9)
    expected = [
        name for side in ("left", "right") for part in ("above", "below") for name in named(f"{side} {part} ", 9)
    ]
    assert sheet.read(seed=5) == expected


def test_a_short_left_column_ends_before_the_right_one_begins():
    sheet = Sheet()
    sheet.column("left", 50, 290, 100, 4)
    sheet.column("right", 310, 550, 100, 18)
    assert sheet.read(seed=6) == named("left", 4) + named("right", 18)


def test_a_table_is_read_by_rows():
    sheet = Sheet()
    for row in range(8):
        for cell, (left, right) in enumerate(((50, 130), (200, 230), (300, 340), (420, 450))):
            sheet.put(f"{row}.{cell}", left, 100 + row * PITCH, right)
    assert sheet.read(seed=7) == [f"{row}.{cell}" for row in range(8) for cell in range(4)]


def test_a_table_under_two_columns_is_read_by_rows_though_nothing_crosses_the_gutter():
    sheet = Sheet()
    below = sheet.column("left", 50, 290, 100, 15)
    sheet.column("right", 310, 550, 100, 15)
    cells = ((60, 100), (180, 220), (330, 360), (460, 500))
    for row in range(5):
        for cell, (left, right) in enumerate(cells):
            sheet.put(f"{row}.{cell}", left, below + 20 + row * PITCH, right)
    table = [f"{row}.{cell}" for row in range(5) for cell in range(4)]
    assert sheet.read(seed=8) == named("left", 15) + named("right", 15) + table


def test_the_labels_of_a_figure_beside_text_stay_in_their_column():
    sheet = Sheet()
    sheet.column("left", 50, 290, 100, 24)
    for number, (left, top) in enumerate(((330, 103), (450, 108), (340, 131), (480, 140), (330, 160))):
        sheet.put(f"label{number + 1}", left, top, left + 40)
    sheet.column("right", 310, 550, 204, 16)
    read = sheet.read(seed=9)
    assert read[:24] == named("left", 24)
    assert read[-16:] == named("right", 16)


def test_a_footnote_under_the_left_column_comes_before_the_right_column():
    sheet = Sheet()
    below = sheet.column("left", 50, 290, 100, 15)
    sheet.column("note", 50, 290, below + 20, 2)
    sheet.column("right", 310, 550, 100, 18)
    assert sheet.read(seed=10) == named("left", 15) + named("note", 2) + named("right", 18)


def test_a_footnote_across_both_columns_comes_last():
    sheet = Sheet()
    below = sheet.column("left", 50, 290, 100, 15)
    sheet.column("right", 310, 550, 100, 15)
    sheet.column("note", 50, 550, below + 25, 2, last=0.9)
    assert sheet.read(seed=11) == named("left", 15) + named("right", 15) + named("note", 2)


def test_paragraph_boxes_are_read_by_column_when_the_height_of_a_line_is_given():
    """Layout analysis gives whole paragraphs."""
    boxes = [(310, 100, 550, 400), (50, 100, 290, 250), (50, 270, 290, 400), (50, 40, 550, 70)]
    regions = reading_order(boxes, line_height=12)
    assert [number for region in regions for row in region for number in row] == [3, 1, 2, 0]


def test_a_raised_number_is_in_the_row_of_its_line():
    boxes = [(50, 100, 200, 110), (200, 97, 205, 104), (206, 100, 300, 110), (50, 114, 300, 124)]
    assert rows_of(boxes) == [[0, 1, 2], [3]]


def test_rows_do_not_drift_down_a_slope():
    """Each box overlaps the next, but the first does not overlap the last."""
    boxes = [(50.0 + 20 * n, 100.0 + 4 * n, 65.0 + 20 * n, 110.0 + 4 * n) for n in range(12)]
    assert max(map(len, rows_of(boxes))) <= 3


@pytest.mark.parametrize("seed", range(5))
def test_every_box_is_read_once_wherever_boxes_are(seed):
    choose = random.Random(seed)
    sheet = Sheet()
    for number in range(60):
        left, top = choose.uniform(0, 500), choose.uniform(0, 700)
        sheet.put(str(number), left, top, left + choose.uniform(0, 300), choose.choice((0.0, 8, 10, 40, 300)))
    sheet.read()
