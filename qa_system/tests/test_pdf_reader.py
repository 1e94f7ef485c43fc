"""PDF pages: words, places, directions, and what is done where there is no text."""

import pytest

from qa_system.document_processor.errors import Unreadable
from qa_system.document_processor.pdf_reader import LINE_END_HYPHEN, UNKNOWN, clean, open_pdf, read_pages, turn_box
from qa_system.tests.pdf_maker import HEIGHT, WIDTH, Words, column, make_pdf, picture_of

LEFT = "The left column tells of ducks that cross the river in the morning and of those that wait until noon. " * 3
RIGHT = "Quite another matter stands here on the right side where geese are counted and weighed one by one. " * 3


def pages_of(path, **options):
    pdf = open_pdf(path)
    try:
        return list(read_pages(pdf, **options))
    finally:
        pdf.close()


def text_of(page):
    return [line.text for line in page.lines]


def test_each_line_has_its_words_and_its_place(tmp_path):
    (page,) = pages_of(make_pdf(tmp_path / "a.pdf", [[Words("Ducks at noon", 100, 200, size=20)]]))
    assert (page.number, page.width, page.height, page.status) == (1, WIDTH, HEIGHT, "text")
    (line,) = page.lines
    assert line.text == "Ducks at noon"
    assert line.size == pytest.approx(20)
    left, top, right, bottom = line.box
    assert left == pytest.approx(100, abs=1.5)
    assert 180 - 6 < top < 190 and 200 <= bottom < 210
    assert 200 < right < 260


def test_columns_are_read_one_after_the_other(tmp_path):
    words = [Words("Birds of the river", 180, 60, size=18), *column(LEFT, 50, 100, 48), *column(RIGHT, 320, 100, 48)]
    words.sort(key=lambda word: word.down)  # drawn row by row, as some programs do
    (page,) = pages_of(make_pdf(tmp_path / "a.pdf", [words]))
    assert " ".join(text_of(page)) == f"Birds of the river {LEFT.strip()} {RIGHT.strip()}"


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_boxes_of_a_page_that_is_shown_turned_are_those_of_the_page_as_shown(tmp_path, rotate):
    path = make_pdf(tmp_path / "a.pdf", [[Words("first", 100, 200), Words("second", 100, 220)]], rotate=rotate)
    (page,) = pages_of(path)
    assert (page.width, page.height) == ((HEIGHT, WIDTH) if rotate != 180 else (WIDTH, HEIGHT))
    assert text_of(page) == ["first", "second"]
    middle_x, middle_y = 110, 197  # of "first" on the page before it is turned
    shown = {
        90: (HEIGHT - middle_y, middle_x),
        180: (WIDTH - middle_x, HEIGHT - middle_y),
        270: (middle_y, WIDTH - middle_x),
    }
    left, top, right, bottom = page.lines[0].box
    x, y = shown[rotate]
    assert left < x < right and top < y < bottom


def test_text_that_runs_upwards_is_read_line_by_line(tmp_path):
    lines = [
        Words(f"This is row {number} of a table on its side", 100 + 14 * number, 700, turned=90) for number in range(5)
    ]
    (page,) = pages_of(make_pdf(tmp_path / "a.pdf", [lines]))
    assert " ".join(text_of(page)) == " ".join(word.text for word in lines)
    left, top, right, bottom = page.lines[0].box
    assert right - left < 20 < 140 < bottom - top
    assert left < 97 < right and bottom == pytest.approx(700, abs=2)


def test_a_stamp_in_the_margin_comes_after_the_text_and_is_no_heading(tmp_path):
    stamp = Words("Preprint of last year", 20, 600, size=24, turned=90)
    (page,) = pages_of(make_pdf(tmp_path / "a.pdf", [[stamp, *column(LEFT, 80, 100, 60)]]))
    assert text_of(page)[-1] == "Preprint of last year"
    assert page.lines[-1].size == 0


def test_chinese_is_read(tmp_path):
    words = [
        Words("检索增强生成", 100, 100, 18, "STSong-Light"),
        Words("先检索，再回答。", 100, 140, 12, "STSong-Light"),
    ]
    (page,) = pages_of(make_pdf(tmp_path / "a.pdf", [words]))
    assert text_of(page) == ["检索增强生成", "先检索，再回答。"]


def test_text_written_downwards_is_read_from_the_right_column_to_the_left(tmp_path):
    columns = ["春眠不觉晓处处", "闻啼鸟夜来风雨", "声花落知多少啊"]
    words = [
        Words(letter, 300 - 24 * number, 100 + 13 * row, 12, "STSong-Light")
        for number, text in enumerate(columns)
        for row, letter in enumerate(text)
    ]
    (page,) = pages_of(make_pdf(tmp_path / "a.pdf", [words]))
    assert "".join(text_of(page)) == "".join(columns)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0xFB01, "fi"),
        (0xFB04, "ffl"),
        (0x2F08, "人"),  # a radical in place of the character
        (0xF0B7, "•"),
        (0xA0, " "),
        (0x3000, " "),
        (0xAD, LINE_END_HYPHEN),
        (0x200B, ""),
        (0xFF0C, "，"),
        (0x0D, "\n"),
        (0x07, UNKNOWN),
        (0xE123, UNKNOWN),
        (0xD800, UNKNOWN),
        (0x1F600, "😀"),
        (ord("é"), "é"),
    ],
)
def test_characters_are_spelled_out(code, text):
    assert clean(code) == text


def test_a_blank_page_is_empty_and_says_so(tmp_path):
    pages = pages_of(make_pdf(tmp_path / "a.pdf", [[Words("one", 100, 100)], [], [Words("three", 100, 100)]]))
    assert [page.status for page in pages] == ["text", "empty", "text"]
    assert pages[1].reason == "the page is blank"


def test_reading_can_begin_at_a_later_page(tmp_path):
    path = make_pdf(tmp_path / "a.pdf", [[Words(f"page {number}", 100, 100)] for number in range(1, 5)])
    assert [page.number for page in pages_of(path, first=3)] == [3, 4]


def test_a_scan_without_recognition_is_empty_and_says_why(tmp_path):
    path = make_pdf(tmp_path / "a.pdf", [[]], picture=picture_of(["Ducks cross the river"]))
    (page,) = pages_of(path, ocr=False)
    assert (page.status, page.reason) == ("empty", "the page is a picture")


@pytest.mark.parametrize("words", [[], [Words("Scanned by the library", 100, 790, 6)]])
def test_a_scan_is_recognised_even_with_a_stamp_in_its_text_layer(tmp_path, words):
    path = make_pdf(tmp_path / "a.pdf", [words], picture=picture_of(["Ducks cross the river", "and wait until noon"]))
    (page,) = pages_of(path)
    assert (page.status, page.reason) == ("ocr", "the page is a picture")
    assert " ".join(text_of(page)).startswith("Ducks cross the river and wait until noon")
    left, top, right, bottom = page.lines[0].box
    assert 30 < left < 50 and 30 < top < 60 and right < WIDTH and bottom < 90  # points, not pixels


@pytest.mark.slow
@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_scan_that_lies_on_its_side_is_read_and_its_boxes_are_those_of_the_page_as_shown(tmp_path, turn):
    lines = [f"Line {number} of the page about ducks and geese" for number in range(1, 9)]
    picture = picture_of(lines, width=1200, height=1200).rotate(turn)  # counter-clockwise
    (page,) = pages_of(make_pdf(tmp_path / "a.pdf", [[]], picture=picture))
    assert " ".join(text_of(page)) == " ".join(lines)
    left, top, right, bottom = page.lines[0].box
    if turn == 180:
        assert left > 100 and top > 650
    else:
        assert bottom - top > right - left


def test_a_picture_on_a_page_of_text_is_not_recognised(tmp_path):
    path = make_pdf(tmp_path / "a.pdf", [column(LEFT, 50, 100, 80)], picture=picture_of(["Ducks"]))
    (page,) = pages_of(path)
    assert page.status == "text"


@pytest.mark.parametrize(
    ("content", "reason"), [(b"no PDF at all", "malformed"), (b"%PDF-1.7\n1 0 obj\n", "malformed")]
)
def test_what_is_no_pdf_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.pdf"
    path.write_bytes(content)
    with pytest.raises(Unreadable) as refused:
        open_pdf(path)
    assert refused.value.reason == reason
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("given", "said"), [(None, "it is encrypted"), ("geese", "the password is wrong")])
def test_an_encrypted_file_wants_its_password(tmp_path, given, said):
    path = make_pdf(tmp_path / "a.pdf", [[Words("secret", 100, 100)]], password="ducks")
    with pytest.raises(Unreadable) as refused:
        open_pdf(path, given)
    assert refused.value.reason == "password"
    assert said in str(refused.value)
    pdf = open_pdf(path, "ducks")
    assert text_of(next(read_pages(pdf))) == ["secret"]
    pdf.close()


def test_turning_a_box_four_times_leaves_it():
    box = (10.0, 20.0, 110.0, 40.0)
    assert turn_box(box, 1, 600, 800) == (20.0, 490.0, 40.0, 590.0)
    turned = turn_box(box, 1, 600, 800)
    assert turn_box(turned, 3, 800, 600) == box
    assert turn_box(turned, -1, 800, 600) == box
    assert turn_box(turn_box(box, 2, 600, 800), 2, 600, 800) == box
