"""Pieces of text become lines: rows of tables, paragraphs and sentences that go on."""

from qa_system.document_processor.page_lines import Line, Piece, goes_on, lines_in_order

LONG = "This line of running text fills its column from left to right"


def piece(text, left, top, right, size=10.0, bold=False):
    return Piece(text, (left, top, right, top + 10), size, bold)


def column(*lines, left=50.0, right=350.0, top=100.0):
    """Lines below each other; one that begins with a space is indented, one that ends with it is short."""
    return [
        piece(
            text.strip(),
            left + 20 * text.startswith(" "),
            top + 13 * number,
            right - 150 * text.endswith(" "),
        )
        for number, text in enumerate(lines)
    ]


def joints(pieces):
    return [line.joint for line in lines_in_order(pieces)]


def test_no_pieces_no_lines():
    assert lines_in_order([]) == []
    assert lines_in_order([piece("  ", 50, 100, 90)]) == []


def test_lines_of_a_paragraph_flow():
    assert joints(column(LONG, LONG, "and ends here. ")) == ["paragraph", "flow", "flow"]


def test_an_indent_after_a_short_line_begins_a_paragraph():
    assert joints(column(LONG, "It ends. ", f" {LONG}", LONG)) == ["paragraph", "flow", "paragraph", "flow"]


def test_white_space_begins_a_paragraph():
    above, below = column(LONG, LONG, LONG), column(LONG, LONG, LONG, top=165)
    assert joints(above + below) == ["paragraph", "flow", "flow", "paragraph", "flow", "flow"]


def test_two_lines_far_apart_are_two_paragraphs():
    """With only two lines on a page, their own distance was taken for the usual one."""
    assert joints([piece("Annual report", 50, 30, 120), piece("It says ducks.", 50, 400, 120)]) == ["paragraph"] * 2
    doubled = [piece(LONG, 50, 100 + 24 * number, 350) for number in range(4)]
    assert joints(doubled) == ["paragraph", "flow", "flow", "flow"]


def test_larger_letters_begin_a_paragraph():
    pieces = [piece("A heading", 50, 100, 130, size=14), *column(LONG, LONG, LONG, top=115)]
    lines = lines_in_order(pieces)
    assert [line.joint for line in lines] == ["paragraph", "paragraph", "flow", "flow"]
    assert [line.size for line in lines] == [14, 10, 10, 10]


def test_bold_letters_begin_a_paragraph():
    pieces = [piece("A heading", 50, 100, 130, bold=True), *column(LONG, LONG, LONG, top=113)]
    assert [(line.joint, line.bold) for line in lines_in_order(pieces)][:2] == [
        ("paragraph", True),
        ("paragraph", False),
    ]


def test_items_of_a_list_are_rows():
    assert joints(column("We need:", "• ducks ", "• geese ", "• a river ")) == ["paragraph", "row", "row", "row"]


def test_cells_of_a_row_are_parted_by_tabs():
    pieces = [
        piece(f"{column}{row}", 50 + 100 * number, 100 + 13 * row, 90 + 100 * number)
        for row in range(4)
        for number, column in enumerate("abc")
    ]
    lines = lines_in_order(pieces)
    assert [line.text for line in lines] == [f"a{row}\tb{row}\tc{row}" for row in range(4)]
    assert [line.joint for line in lines] == ["paragraph", "row", "row", "row"]


def test_a_line_stretched_to_the_column_is_no_row_of_a_table():
    """A wide gap between two words of a justified line looked like two cells."""
    pieces = [
        *column(LONG, LONG),
        piece("mauris.", 50, 126, 180),
        piece("dolor sit", 205, 126, 350),
        *column(LONG, top=139),
    ]
    lines = lines_in_order(pieces)
    assert lines[2].text == "mauris. dolor sit"
    assert lines[2].joint == "flow"


def test_a_raised_number_stands_at_its_word():
    pieces = [piece("practice", 50, 100, 90), Piece("2", (90.5, 97, 94, 103), 6), piece("shows it", 97, 100, 150)]
    (line,) = lines_in_order(pieces)
    assert line.text == "practice2 shows it"
    assert line.size == 10


def test_a_sentence_goes_on_from_the_end_of_a_column_to_the_next():
    left = column(*[LONG] * 6)
    right = column("and goes on over here", *[LONG] * 5, left=380, right=680)
    assert joints(left + right)[6] == "flow"
    right = column("Another begins", *[LONG] * 5, left=380, right=680)
    assert joints(left + right)[6] == "paragraph"


def test_words_from_right_to_left_are_in_their_order():
    pieces = [piece("العالم", 50, 100, 90), piece("يا", 100, 100, 120), piece("مرحبا", 130, 100, 170)]
    (line,) = lines_in_order(pieces)
    assert line.text == "مرحبا يا العالم"


def test_when_a_sentence_goes_on():
    def goes(above, below, size=10.0):
        return goes_on(Line(above, "flow", size=10.0), Line(below, "paragraph", size=size))

    assert goes("of those that", "wait until noon")
    assert not goes("until noon.", "wait")
    assert not goes("of those that", "Wait")
    assert not goes("of those that", "wait", size=8.0)
    assert not goes("of those that", "a\tb")
