"""Headers and footers go, the text and its tables stay."""

from qa_system.document_processor.page_lines import Line
from qa_system.document_processor.pdf_reader import ReadPage
from qa_system.document_processor.running_lines import drop_running_lines

HEIGHT = 800.0


def page(number, top="", body="Ducks cross the river.", bottom=""):
    lines = [Line(top, "paragraph", (50, 30, 300, 40)), Line(body, "paragraph", (50, 400, 300, 410))]
    lines.append(Line(bottom, "paragraph", (50, 770, 300, 780)))
    return ReadPage(number, 600, HEIGHT, "text", "", [line for line in lines if line.text])


def kept(pages):
    return [[line.text for line in each.lines] for each in drop_running_lines(pages)]


def test_a_line_at_the_edge_of_every_page_stays_on_the_first_only():
    pages = [page(number, top="Annual report 2018") for number in (1, 2, 3)]
    assert kept(pages) == [["Annual report 2018", "Ducks cross the river."], *[["Ducks cross the river."]] * 2]


def test_page_numbers_go_even_with_words_around_and_when_they_begin_elsewhere():
    pages = [page(number, top=f"{number + 17} FREE CULTURE", bottom=f"Page {number} of 9") for number in range(1, 10)]
    assert kept(pages) == [["Ducks cross the river."]] * 9


def test_roman_page_numbers_go():
    assert (
        kept([page(n, bottom=roman) for n, roman in ((7, "vii"), (8, "viii"), (9, "ix"))])
        == [["Ducks cross the river."]] * 3
    )


def test_headers_of_left_and_right_pages_go():
    pages = [page(n, top=f"{n} Ducks" if n % 2 else f"By the river {n}") for n in range(1, 9)]
    assert kept(pages) == [["Ducks cross the river."]] * 8


def test_headers_of_chapters_go_where_they_are():
    pages = [page(n, top="One" if n < 6 else "Two") for n in range(1, 11)]
    assert [lines[0] for lines in kept(pages) if len(lines) > 1] == ["One", "Two"]
    assert [len(lines) for lines in kept(pages)] == [2, 1, 1, 1, 1, 2, 1, 1, 1, 1]


def test_a_lone_page_number_far_from_the_edge_goes():
    """A page laid out for shorter paper has its number at four fifths of the height."""
    body = [Line("Ducks cross the river.", "paragraph", (50, 400, 300, 410))]
    pages = [
        ReadPage(n, 600, HEIGHT, "text", "", [*body, Line(str(n), "paragraph", (300, 660, 305, 670))])
        for n in (1, 2, 3)
    ]
    assert kept(pages) == [["Ducks cross the river."]] * 3


def test_numbers_that_change_otherwise_are_a_table_and_stay():
    """A last row of a table on each page, with other numbers, was taken for a footer."""
    pages = [page(number, bottom=f"Total {value}") for number, value in ((1, 310), (2, 77), (3, 1204), (4, 5))]
    assert [lines[-1] for lines in kept(pages)] == ["Total 310", "Total 77", "Total 1204", "Total 5"]


def test_a_line_of_two_pages_stays():
    pages = [page(1, top="Introduction"), page(2, top="Introduction"), page(3, top="Geese")]
    assert [lines[0] for lines in kept(pages)] == ["Introduction", "Introduction", "Geese"]


def test_a_line_that_comes_again_far_away_stays():
    pages = [
        page(number, top="Summary" if number in (1, 30, 60) else f"Item {number * 7 % 61}x") for number in range(1, 61)
    ]
    assert kept(pages)[0][0] == kept(pages)[29][0] == "Summary"


def test_a_repeated_sentence_in_the_middle_of_the_page_stays():
    assert kept([page(number) for number in (1, 2, 3)]) == [["Ducks cross the river."]] * 3


def test_the_heading_of_a_table_over_pages_stays():
    pages = [page(number, top="Name\tDate\tPlace\tCount") for number in (1, 2, 3)]
    assert all(lines[0] == "Name\tDate\tPlace\tCount" for lines in kept(pages))


def test_lines_without_a_place_stay():
    pages = [ReadPage(n, 0, 0, "text", "", [Line("Again", "paragraph")]) for n in (1, 2, 3)]
    assert kept(pages) == [["Again"]] * 3
