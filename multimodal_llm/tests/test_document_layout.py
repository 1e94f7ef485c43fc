"""Blocks, their order, tables, and what is written of them: on made-up lines, without a model."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from multimodal_llm.document_understanding.assemble import put_together
from multimodal_llm.document_understanding.average_precision import Picture, average_precision
from multimodal_llm.document_understanding.block_detector import HEIGHT, STRIDES, WIDTH, FoundBlock, decode, suppress
from multimodal_llm.document_understanding.document import Block, Cell, Document, Line, Page, Table, Word
from multimodal_llm.document_understanding.export import draw_overlay, flowing_text, page_to_markdown
from multimodal_llm.document_understanding.ruled_tables import find_ruled_table
from multimodal_llm.document_understanding.running_lines import mark_running
from multimodal_llm.document_understanding.sheets import join_letters
from multimodal_llm.document_understanding.table_metrics import Node, teds, tree_of_html
from multimodal_llm.document_understanding.tables import find_table, horizontal_rules, read_table, to_html, to_markdown
from multimodal_llm.document_understanding.text_metrics import (
    character_error_rate,
    edit_distance,
    f1,
    plain_words,
    words,
)


def line(text, left, top, height=20, pitch=10):
    """A line whose letters are all `pitch` wide."""
    found, place = [], 0
    for word in text.split(" "):
        start = left + place * pitch
        found.append(Word(word, (start, top, start + len(word) * pitch, top + height), 1.0))
        place += len(word) + 1
    return Line(text, (left, top, left + len(text) * pitch, top + height), 1.0, tuple(found))


def table(rows, starts, height=20, pitch=30):
    return [
        line(text, left, number * pitch, height)
        for number, row in enumerate(rows)
        for text, left in zip(row, starts, strict=True)
        if text
    ]


def test_what_detection_gives_is_decoded_to_boxes():
    """One grid point is sure of a table 2 steps to each side, all others of nothing."""
    scores, distances = [], []
    for stride in STRIDES:
        points = -(-HEIGHT // stride) * -(-WIDTH // stride)
        scores.append(np.zeros((points, 10), dtype=np.float32))
        distances.append(np.zeros((points, 32), dtype=np.float32))
    row, column = 10, 7
    point = row * 38 + column  # of the grid of 16 pixels: 608 / 16 columns
    scores[1][point, 4] = 0.9
    distances[1][point].reshape(4, 8)[:, 2] = 50.0
    found, boxes = decode(scores, distances)
    best = int(found[:, 4].argmax())
    assert np.allclose(boxes[best], [(7.5 - 2) * 16, (10.5 - 2) * 16, (7.5 + 2) * 16, (10.5 + 2) * 16])
    assert suppress(boxes, found[:, 4], 0.4) == [best]


def test_of_boxes_that_are_the_same_the_surest_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10]])
    assert suppress(boxes, np.array([0.5, 0.9, 0.6]), 0.4) == [1, 2]
    assert suppress(boxes, np.array([0.5, 0.3, 0.2]), 0.4) == [0]


def test_two_columns_are_read_one_after_the_other_below_their_title():
    left = [line("left words fill their column", 0, 100 + 30 * n) for n in range(8)]
    right = [line("right words fill the column", 330, 100 + 30 * n) for n in range(8)]
    title = line("A title over both of the two columns there", 60, 20)
    mixed = [each for pair in zip(right, left, strict=True) for each in pair]
    blocks = put_together([*mixed, title], [FoundBlock("title", (50, 10, 500, 50), 0.9)])
    assert [block.kind for block in blocks] == ["title", "text", "text"]
    assert [block.lines for block in blocks[1:]] == [tuple(left), tuple(right)]


def test_every_line_is_in_exactly_one_block_and_headers_come_first():
    lines = [line("Some header", 0, 5), line("Page 7", 500, 5), line("Body text here", 0, 100), line("Alone", 300, 400)]
    found = [
        FoundBlock("header", (0, 0, 120, 30), 0.8),
        FoundBlock("text", (0, 90, 200, 130), 0.9),
        FoundBlock("text", (0, 95, 150, 125), 0.5),
    ]
    blocks = put_together(lines, found)
    assert sorted(each.text for block in blocks for each in block.lines) == sorted(each.text for each in lines)
    assert [(block.kind, block.text) for block in blocks] == [
        ("header", "Some header"),
        ("header", "Page 7"),
        ("text", "Body text here"),
        ("text", "Alone"),
    ]


def test_a_receipt_that_is_taken_for_a_figure_or_a_table_stays_text():
    lines = [line("GREEN APPLES EACH 1.50", 20, 40 * n) for n in range(12)]
    for found in (FoundBlock("figure", (0, 0, 300, 480), 0.95), FoundBlock("table", (0, 0, 300, 480), 0.7)):
        assert {block.kind for block in put_together(lines, [found])} == {"text"}


def test_a_table_has_its_rows_columns_and_empty_cells():
    rows = [("Name", "Count", "Share"), ("Geese", "12", ""), ("Grey ducks", "7", "0.3"), ("Swans", "", "0.1")]
    found = find_table(table(rows, (0, 200, 300)))
    assert (found.rows, found.columns) == (4, 3)
    grid = [[""] * 3 for _ in rows]
    for cell in found.cells:
        grid[cell.row][cell.column] = cell.text
    assert [tuple(row) for row in grid] == rows


def test_a_heading_over_two_columns_spans_them_and_is_of_the_head():
    rows = [("", "Birds of the lake", ""), ("Year", "Geese", "Ducks"), ("2019", "10", "20"), ("2020", "30", "40")]
    found = find_table(table(rows, (0, 200, 300)))
    assert found.header_rows == 2
    assert [(cell.column, cell.column_span) for cell in found.cells if cell.row == 0] == [(1, 2)]
    assert '<td colspan="2">Birds of the lake</td>' in to_html(found)


def test_words_of_one_line_go_to_the_columns_that_other_rows_prove():
    """Recognition takes neighbouring cells for one line where little white is between them."""
    rows = [("Alpha", "Beta", "Gamma"), ("1111", "22", "333"), ("4444", "55", "666")]
    lines = table(rows[1:], (0, 80, 160), pitch=30)
    head = Line("Alpha Beta Gamma", (0, -30, 210, -10), 1.0, (
        Word("Alpha", (0, -30, 50, -10), 1.0), Word("Beta", (80, -30, 120, -10), 1.0),
        Word("Gamma", (160, -30, 210, -10), 1.0),
    ))  # fmt: skip
    found = find_table([head, *lines])
    assert (found.columns, len(found.cells)) == (3, 9)


def test_every_line_of_a_row_is_cut_not_its_first_alone():
    """Lines of a PDF's row are of one height; which one a piece was of was once taken from that."""
    rows = [("Alpha", "Beta", "Gamma"), ("1111", "22", "333"), ("4444", "55", "666")]
    lines = table(rows[1:], (0, 80, 160), pitch=30)
    second = Line("Beta Gamma", (80, -30, 210, -10), 1.0, (
        Word("Beta", (80, -30, 145, -10), 1.0), Word("Gamma", (160, -30, 210, -10), 1.0),
    ))  # fmt: skip
    found = find_table([line("Alpha", 0, -30), second, *lines])
    assert [cell.text for cell in found.cells if cell.row == 0] == ["Alpha", "Beta", "Gamma"]


def test_a_drawn_line_under_each_row_makes_two_lines_of_text_one_row():
    lines = [line(text, left, top) for text, left, top in [
        ("Item", 0, 0), ("Price", 200, 0), ("Long", 0, 40), ("9.00", 200, 40), ("name", 0, 70),
        ("Pen", 0, 110), ("1.00", 200, 110), ("Ink", 0, 150), ("2.00", 200, 150)]]  # fmt: skip
    found = find_table(lines, rules=(30, 100, 140))
    assert found.rows == 4
    assert [cell.text for cell in found.cells if cell.row == 1] == ["Long name", "9.00"]


def test_drawn_lines_are_seen_in_a_picture():
    picture = np.full((100, 300, 3), 255, dtype=np.uint8)
    picture[20:22, 10:290] = 0
    picture[60, 10:290] = 90
    picture[80, 10:60] = 0  # too short
    assert horizontal_rules(picture, (0, 0, 300, 100)) == [21, 60.5]
    assert horizontal_rules(picture, (0, 0, 1, 1)) == []


def grid_picture(shade=255):
    """Three rows and three columns of 100 by 50 pixels; the first row's last two cells are one, as are the first
    column's last two."""
    picture = np.full((190, 340, 3), shade, dtype=np.uint8)
    for y in (20, 70, 170):
        picture[y : y + 2, 20:322] = 0
    picture[120:122, 120:322] = 0
    for x in (20, 120, 320):
        picture[20:172, x : x + 2] = 0
    picture[70:172, 220:222] = 0
    return picture


@pytest.mark.parametrize("shade", [255, 190])
def test_drawn_cells_are_a_table_with_merged_cells_and_text_over_several_lines(shade):
    lines = [
        line("Lake", 30, 35), line("Birds", 190, 35), line("Grey", 30, 90), line("Lake", 30, 120),
        line("Goose", 130, 85), line("Duck", 230, 85), line("12", 130, 135),
    ]  # fmt: skip
    found = read_table(lines, grid_picture(shade), (20, 20, 322, 172))
    assert (found.rows, found.columns, found.header_rows) == (3, 3, 1)
    cells = {(cell.row, cell.column): (cell.text, cell.row_span, cell.column_span) for cell in found.cells}
    assert cells == {
        (0, 0): ("Lake", 1, 1),
        (0, 1): ("Birds", 1, 2),
        (1, 0): ("Grey Lake", 2, 1),
        (1, 1): ("Goose", 1, 1),
        (1, 2): ("Duck", 1, 1),
        (2, 1): ("12", 1, 1),
    }
    assert '<td rowspan="2">Grey Lake</td>' in to_html(found)


def test_text_beside_drawn_cells_makes_no_drawn_table():
    lines = [line("a line far from it", 400, 40 * number) for number in range(4)]
    assert find_ruled_table(lines, grid_picture(), (0, 0, 700, 190)) is None
    assert find_ruled_table([], grid_picture(), (0, 0, 340, 190)) is None
    assert find_ruled_table(lines, np.full((190, 340, 3), 255, dtype=np.uint8), (0, 0, 340, 190)) is None


@pytest.mark.parametrize("lines", [[], [line("alone", 0, 0)], [line("one", 0, 0), line("two", 0, 40)]])
def test_what_has_no_two_rows_and_columns_is_no_table(lines):
    assert find_table(lines) is None


def test_markdown_of_a_table_keeps_bars_apart():
    cells = (Cell(0, 0, "a|b", (0, 0, 1, 1)), Cell(1, 1, "c", (0, 0, 1, 1)))
    assert to_markdown(Table(2, 2, cells)) == "| a\\|b |  |\n| --- | --- |\n|  | c |"


def page(*blocks, number=1, status="text"):
    return Page(number, 600, 800, status, blocks=tuple(blocks))


def test_markdown_has_headings_paragraphs_and_no_running_lines():
    body = Block("text", (0, 100, 400, 160), 0.9, (
        line("a line that fills its column hyphen-", 0, 100), line("ated and then is short", 0, 130)))  # fmt: skip
    loose = Block("text", (0, 300, 400, 360), 0.0, (line("Date 2021", 0, 300), line("# 7", 0, 330)))
    made = page(
        Block("header", (0, 0, 100, 20), 0.9, (line("Journal", 0, 0),)),
        Block("title", (0, 50, 200, 70), 0.9, (line("Of Ducks", 0, 50),)),
        body,
        loose,
    )
    assert page_to_markdown(made) == (
        "## Of Ducks\n\na line that fills its column hyphenated and then is short\n\nDate 2021  \n\\# 7"
    )
    assert page_to_markdown(Page(3, 0, 0, "failed", "damaged")) == "<!-- page 3: damaged -->"


def test_chinese_lines_are_joined_without_white():
    def chinese(text, top):
        found = [Word(each, (n * 20, top, n * 20 + 20, top + 20), 1.0) for n, each in enumerate(text)]
        return Line(text, (0, top, 20 * len(text), top + 20), 1.0, tuple(found))

    block = Block("text", (0, 0, 400, 60), 0.9, (chinese("野鸭" * 10, 0), chinese("飞走了", 30)))
    assert flowing_text(block) == "野鸭" * 10 + "飞走了"


def test_running_lines_come_back_on_pages_beside_or_on_every_other_one():
    def book(number):
        head = "The Lake" if number % 2 else "A Book of Ducks"
        return page(
            Block("text", (0, 10, 100, 30), 0.5, (line(head, 0, 10),)),
            Block("text", (0, 300, 100, 320), 0.5, (line("The same everywhere", 0, 300),)),
            Block("text", (0, 770, 100, 790), 0.5, (line(str(number), 0, 770),)),
            number=number,
        )

    kinds = [[block.kind for block in each.blocks] for each in mark_running(book(number) for number in range(1, 7))]
    assert kinds == [["header", "text", "footer"]] * 6
    assert [block.kind for block in next(mark_running([book(1)])).blocks] == ["text"] * 3


def test_an_overlay_shows_blocks_in_the_pictures_size():
    made = page(Block("title", (50, 100, 200, 130), 0.9, (line("Of Ducks", 50, 105),)))
    drawn = draw_overlay(np.full((800, 600, 3), 255, dtype=np.uint8), made)
    assert isinstance(drawn, Image.Image) and drawn.size == (600, 800)
    assert drawn.getpixel((120, 130)) != (255, 255, 255)
    assert drawn.getpixel((400, 500)) == (255, 255, 255)


BOXES = st.tuples(*[st.floats(0, 1000, width=32)] * 4)
WORDS = st.builds(Word, st.text(min_size=1), BOXES, st.floats(0, 1))
LINES = st.builds(Line, st.text(), BOXES, st.floats(0, 1), st.lists(WORDS, max_size=3).map(tuple))
TABLES = st.builds(Table, st.integers(1, 9), st.integers(1, 9), st.lists(st.builds(
    Cell, st.integers(0, 8), st.integers(0, 8), st.text(), BOXES, st.integers(1, 3), st.integers(1, 3)),
    max_size=3).map(tuple), st.integers(1, 2))  # fmt: skip
BLOCKS = st.builds(
    Block, st.just("table"), BOXES, st.floats(0, 1), st.lists(LINES, max_size=3).map(tuple), st.none() | TABLES
)
PAGES = st.builds(
    Page, st.integers(1, 500), st.floats(0, 9000), st.floats(0, 9000), st.just("ocr"), st.text(), st.integers(0, 3),
    st.floats(-20, 20), st.lists(BLOCKS, max_size=3).map(tuple),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.builds(Document, st.text(), st.lists(PAGES, max_size=2).map(tuple)))
def test_a_document_comes_back_from_json_as_it_was(document):
    assert Document.from_dict(json.loads(json.dumps(document.to_dict()))) == document


def test_parts_of_a_line_keep_its_white():
    made = line("one two  three".replace("  ", " "), 0, 0)
    assert made.part(1, 2) == "two three"
    assert made.spans() == [(0, 3), (4, 7), (8, 13)]


@settings(deadline=None)
@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_edit_distance_is_that_of_the_plain_recursion(one, other):
    def plain(a, b):
        if not a or not b:
            return len(a) + len(b)
        return min(plain(a[1:], b) + 1, plain(a, b[1:]) + 1, plain(a[1:], b[1:]) + (a[0] != b[0]))

    assert edit_distance(one[:5], other[:5]) == plain(one[:5], other[:5])


TREES = st.recursive(
    st.builds(Node, st.sampled_from("ab")),
    lambda children: st.builds(lambda name, below: Node(name, "", below), st.sampled_from("ab"),
                               st.lists(children, max_size=2)),
    max_leaves=4,
)  # fmt: skip


@settings(deadline=None)
@given(TREES, TREES)
def test_tree_distance_is_that_of_the_plain_recursion_over_forests(one, other):
    from multimodal_llm.document_understanding.table_metrics import tree_distance

    def size(forest):
        return sum(1 + size(tree.children) for tree in forest)

    def plain(a, b):
        if not a or not b:
            return size(a) + size(b)
        *rest, last = a
        *others, end = b
        return min(
            plain(rest + last.children, b) + 1,
            plain(a, others + end.children) + 1,
            plain(last.children, end.children) + plain(rest, others) + (last.name != end.name),
        )

    assert tree_distance(one, other, lambda a, b: float(a.name != b.name)) == plain([one], [other])


def test_teds_counts_missing_cells_spans_and_letters():
    right = tree_of_html("<table><tr><td>duck</td><td>7</td></tr></table>")
    assert teds(right, right) == 1
    half = tree_of_html("<table><tr><td>dusk</td><td>7</td></tr></table>")
    assert teds(half, right) == pytest.approx(1 - 0.25 / 3)
    assert teds(half, right, structure_only=True) == 1
    assert teds(tree_of_html("<table><tr><td>duck</td></tr></table>"), right) == pytest.approx(1 - 1 / 3)
    wide = tree_of_html('<table><tr><td colspan="2">duck</td><td>7</td></tr></table>')
    assert teds(wide, right) == pytest.approx(1 - 1 / 3)


def test_average_precision_of_right_wrong_and_ignored_boxes():
    right, wrong = [0, 0, 10, 10], [50, 50, 60, 60]
    none = np.zeros((0, 4))

    def score(found, scores, labelled, ignored=none):
        return average_precision([Picture(np.array(found), np.array(scores), np.array(labelled), np.array(ignored))])

    assert score([right], [0.9], [right]) == 1
    assert score([right, wrong], [0.9, 0.8], [right]) == 1, "what is wrong comes after all that is right"
    assert score([right, wrong], [0.8, 0.9], [right]) == pytest.approx(0.5)
    assert score([right, wrong], [0.8, 0.9], [right], [wrong]) == 1
    assert score([right, right], [0.9, 0.8], [right, [20, 0, 30, 10]]) == pytest.approx(51 / 101)
    assert score(none, [], [right]) == 0
    assert average_precision([Picture(none, np.zeros(0), none, none)]) is None


def test_words_count_whatever_their_order_and_letters_do_not():
    assert f1([(words("TOTAL 3.00 tax"), words("Tax total 3.00"))]) == 1
    assert f1([(words("a a"), words("a"))]) == pytest.approx(2 / 3)
    assert plain_words("Tel:03-4021, É") == ["tel", "03", "4021", "é"]
    assert character_error_rate([("Duck  pond", "duck\npond"), ("", "")]) == 0
    assert character_error_rate([("pond duck", "duck pond")]) > 0.5


def letters(text, left, step=10, top=0):
    """Letters of a text layer, each `step` beside the one before; a space has no place of its own."""
    return [
        (letter, (0, 0, 0, 0) if letter == " " else (left + step * n, top, left + step * n + 9, top + 20))
        for n, letter in enumerate(text)
    ]


def test_letters_of_a_text_layer_are_lines_of_words():
    made = join_letters([*letters("Two words", 0), *letters("far", 200), *letters("below", 0, top=30)])
    assert [line.text for line in made] == ["Two words", "far", "below"]
    assert [word.text for word in made[0].words] == ["Two", "words"]
    assert made[0].words[1].box == (40, 0, 89, 20)


def test_letters_that_run_to_the_left_are_one_line():
    """Of an Arabic page each letter had become a line."""
    assert [line.text for line in join_letters(letters("مرحبا بكم", 500, step=-10))] == ["مرحبا بكم"]


def test_white_that_the_pdf_does_not_say_parts_words_and_chinese_needs_none():
    assert [line.text for line in join_letters([*letters("ab", 0), *letters("cd", 26)])] == ["ab cd"]
    (chinese,) = join_letters(letters("野鸭", 0))
    assert (chinese.text, len(chinese.words)) == ("野鸭", 2)
