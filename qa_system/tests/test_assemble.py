"""Lines become one text, and each keeps its place in it."""

import random

import pytest

from qa_system.document_processor.assemble import assemble
from qa_system.document_processor.page_lines import Line
from qa_system.document_processor.pdf_reader import LINE_END_HYPHEN, ReadPage

BOX = (50.0, 100.0, 300.0, 110.0)


def page(*lines, number=1):
    """Lines given as (joint, text) or (joint, text, size)."""
    made = [Line(text, joint, BOX, *(size or (10.0,))) for joint, text, *size in lines]
    return ReadPage(number, 600, 800, "text", "", made)


def text_of(*lines):
    return assemble([page(*lines)])[0]


def flow(*texts):
    return text_of(("paragraph", texts[0]), *[("flow", text) for text in texts[1:]])


def test_no_lines_no_text():
    assert assemble([]) == ("", ())
    assert assemble([page()]) == ("", ())


def test_sentences_rows_and_paragraphs():
    text = text_of(("paragraph", "Ducks cross"), ("flow", "the river."), ("row", "a\t1"), ("paragraph", "Geese wait."))
    assert text == "Ducks cross the river.\na\t1\n\nGeese wait."


def test_chinese_lines_are_joined_without_a_space():
    assert flow("检索增强", "生成模型") == "检索增强生成模型"
    assert flow("模型 BERT", "很好") == "模型 BERT 很好"
    assert flow("，先检索", "，再回答") == "，先检索，再回答"


@pytest.mark.parametrize("hyphen", ["-", LINE_END_HYPHEN])
@pytest.mark.parametrize(
    ("above", "below", "joined"),
    [
        ("of repre", "sentation and", "of representation and"),
        ("state-of-the", "art models", "state-of-the-art models"),
        ("the BM25", "based one", "the BM25- based one"),
        ("the MUC", "Conference", "the MUC-Conference"),
        ("pages 12", "14 say", "pages 12- 14 say"),
    ],
)
def test_a_word_parted_at_the_end_of_a_line_is_mended(hyphen, above, below, joined):
    assert flow(above + hyphen, below) == joined


def test_a_hyphen_stays_if_the_document_has_the_word_with_it():
    assert flow("a semi-automatic way, semi-", "automatic tools").endswith("semi-automatic tools")


def test_a_hyphen_stays_between_two_words_of_the_document():
    assert flow("each dual tower has an encoder: dual-", "encoder models").endswith("dual-encoder models")
    assert flow("each tower has one: dual-", "encoder models").endswith("dualencoder models")


def test_a_hyphen_goes_if_the_document_has_the_word_without():
    assert flow("the over all result overall: over-", "all").endswith("overall: overall")


def test_the_halves_of_parted_words_are_no_words_of_the_document():
    """`dis-` at one place and `covers` at another made `dis-covers` of `discovers`."""
    assert flow("it dis-", "covers and dis-", "covers again") == "it discovers and discovers again"


def test_a_hyphen_at_the_end_of_a_paragraph_stays():
    assert text_of(("paragraph", f"an end{LINE_END_HYPHEN}"), ("paragraph", "and more")) == "an end-\n\nand more"


def test_a_sentence_goes_on_over_the_page_and_its_parts_know_their_pages():
    text, spans = assemble(
        [page(("paragraph", "Ducks that"), number=1), page(("paragraph", "wait until noon"), number=2)]
    )
    assert text == "Ducks that wait until noon"
    assert [(text[span.start : span.end], span.box.page) for span in spans] == [
        ("Ducks that", 1),
        ("wait until noon", 2),
    ]


def test_larger_letters_are_headings_by_size():
    body = [("paragraph", "Ducks cross the river in the morning, again and again, until they are home."), ("flow", "x")]
    lines = [("paragraph", "Birds", 20.0), ("paragraph", "Ducks", 14.0), *body, ("paragraph", "Geese", 14.2), *body]
    _, spans = assemble([page(*lines)])
    assert [span.heading for span in spans] == [1, 2, 0, 0, 2, 0, 0]


def test_long_texts_rows_and_bullets_in_large_letters_are_no_headings():
    body = ("paragraph", "Ducks cross the river in the morning. " * 20)
    large = [
        "• An item",
        "a\ttable",
        "continued in small letters",
        "A whole sentence, which goes on until its end, and then a bit.",
    ]
    _, spans = assemble([page(body, *[("paragraph", text, 14.0) for text in large])])
    assert [span.heading for span in spans] == [0] * 5


def test_spans_are_in_order_and_hold_every_visible_character():
    choose = random.Random(0)
    for _ in range(200):
        words = ["ducks", "geese-", "检索", "。", "The", "end.", f"morn{LINE_END_HYPHEN}", "ing", "12", "a\tb"]
        lines = [(choose.choice(["flow", "row", "paragraph"]), choose.choice(words)) for _ in range(12)]
        text, spans = assemble([page(*lines[:6], number=1), page(*lines[6:], number=2)])
        end = 0
        for span in spans:
            assert text[end : span.start].strip() == ""
            assert text[span.start : span.end].strip() == text[span.start : span.end] != ""
            end = span.end
        assert end == len(text)
        assert LINE_END_HYPHEN not in text


def float_page(*between, second="the place it affected. Then it ended.", size=10.0):
    first = [("paragraph", "Ducks cross the river and represent"), ("flow", "a relation: the name of a bird and")]
    return [page(*first, *between, ("paragraph", second, size), ("flow", "More text follows here."))]


FIGURE = [("paragraph", "a\tb", 6.0), ("row", "label", 6.0), ("paragraph", "Figure 2: A relation between birds.")]


def test_a_figure_in_the_middle_of_a_sentence_goes_behind_its_paragraph():
    text, spans = assemble(float_page(*FIGURE))
    assert text.startswith(
        "Ducks cross the river and represent a relation: the name of a bird and the place it affected."
    )
    assert text.endswith("More text follows here.\n\na\tb\nlabel\n\nFigure 2: A relation between birds.")
    assert [text[span.start : span.end] for span in spans][-1] == "Figure 2: A relation between birds."


@pytest.mark.parametrize(
    "pages",
    [
        float_page(*FIGURE[:2]),  # no caption
        float_page(*FIGURE, second="The place it affected. Then it ended."),
        float_page(*FIGURE, size=8.0),
        float_page(*FIGURE, ("paragraph", "Here is text of its own."), *[("flow", "that goes on.")] * 4),
        float_page(*FIGURE, ("paragraph", "A heading in large letters", 20.0)),
    ],
)
def test_a_figure_stays_where_the_sentence_does_not_clearly_go_on(pages):
    order = [line.text for page in pages for line in page.lines]
    text, spans = assemble(pages)
    assert [text[span.start : span.end] for span in spans] == order


def test_a_figure_between_pages_goes_behind_the_sentence_and_lines_keep_their_pages():
    first, second = float_page()[0].lines[:2], float_page()[0].lines[2:]
    figure = page(*FIGURE).lines
    text, spans = assemble(
        [ReadPage(1, 600, 800, "text", "", first), ReadPage(2, 600, 800, "text", "", figure + second)]
    )
    assert text.startswith(
        "Ducks cross the river and represent a relation: the name of a bird and the place it affected."
    )
    assert [span.box.page for span in spans] == [1, 1, 2, 2, 2, 2, 2]
