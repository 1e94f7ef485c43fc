"""The demo page without a browser: answers with citations, strangers' texts made harmless, a page with its marks."""

import io
import re
import time
from html import unescape

import pytest

from qa_system.app import page_answer, page_parts, page_picture
from qa_system.app.page_parts import html_text, plain
from qa_system.document_processor.documents import Box, Document, Span
from qa_system.document_processor.vector_store import VectorStore
from qa_system.generation import answer_generator
from qa_system.tests.pdf_maker import HEIGHT, Words, make_pdf
from shared.phrases import LANGUAGES, phrase
from tools.projects import CHECKOUT

PAGE = CHECKOUT / "qa_system" / "app" / "streamlit_ui.py"
NASTY = "![x](http://evil) <b>:red[a]</b>.md"
SCRIPT = "<script>alert('the engine')</script> of **the engine** ![x](http://evil/x.png)"


@pytest.fixture
def page(tmp_path, tiny_checkpoint, make_document, run_page, monkeypatch):
    """`page({source: passages}, "zh")`: the page over a store of these documents."""
    folder = tmp_path / "store"
    monkeypatch.setenv("QA_STORE", str(folder))
    monkeypatch.setattr(answer_generator, "load_reader", lambda folder: None)

    def opened(documents, language="en"):
        store = VectorStore(folder, str(tiny_checkpoint))
        for source, passages in documents.items():
            store.add(*make_document(source, passages))
        store.close()
        return run_page(PAGE, language)

    yield opened
    page_parts._open(str(folder)).close()
    page_parts._open.clear()
    page_parts._generator.clear()


def ask(page, question):
    page.text_input(key="qa_question").set_value(question)
    return next(button for button in page.button if button.proto.is_form_submitter).click().run()


def shown_html(page):
    return "\n".join(each.proto.body for each in page.get("html"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_documents_it_says_what_to_do_and_offers_the_example(page, language):
    opened = page({}, language)
    assert not opened.exception
    assert phrase("qa.page.lead", language) in [each.value for each in opened.markdown]
    assert [button.label for button in opened.button] == [phrase("qa.page.example", language)]


@pytest.mark.parametrize("language, word", [("en", "p. "), ("zh", "第")])
def test_an_answer_cites_and_what_it_cites_is_marked(page, language, word):
    opened = ask(page({"wing.txt": ["The wing is long. The engine is hot.", "Nothing."]}, language), "the engine")
    assert not opened.exception
    (button,) = [each for each in opened.button if (each.key or "").startswith("qa_cite_")]
    assert unescape(button.label).replace("\\", "") == "[1] wing.txt"
    marked = re.findall(r"<mark[^>]*>(.*?)</mark>", shown_html(opened))
    assert marked == ["The engine is hot."]
    assert phrase("qa.page.why", language) in " ".join(each.value for each in opened.markdown)


def test_without_a_trained_reader_the_page_says_so_unless_the_question_is_chinese(page):
    opened = ask(page({"wing.txt": ["The wing is long. The engine is hot.", "Nothing."]}), "the engine")
    assert phrase("qa.page.no_reader", "en") in [each.value for each in opened.info]
    assert phrase("qa.page.no_reader", "en") not in [each.value for each in ask(opened, "发动机").info]


def test_what_a_document_holds_is_never_a_tag(page):
    opened = ask(page({NASTY: [SCRIPT]}), "engine")
    assert not opened.exception
    html = shown_html(opened)
    assert "<script" not in html and "<b>" not in html and "&lt;script&gt;" in html
    texts = [each.value for each in [*opened.markdown, *opened.caption]] + [each.label for each in opened.button]
    assert any("evil" in text for text in texts)
    assert not any("](http" in text or "<b>" in text or ":red[" in text for text in texts)


def test_where_there_is_no_answer_it_says_why(page):
    opened = ask(page({"wing.txt": ["The wing is long."]}), "zebra")
    assert not opened.exception and opened.info[0].value
    assert not [each for each in opened.button if (each.key or "").startswith("qa_cite_")]


def test_a_document_is_deleted(page):
    opened = page({"a.txt": ["The wing."], "b.txt": ["The engine."]})
    opened.button(key="qa_delete_a.txt").click().run()
    assert not opened.exception
    assert [each.key for each in opened.button if (each.key or "").startswith("qa_delete_")] == ["qa_delete_b.txt"]


def test_what_is_taken_is_read_and_then_listed(page, tmp_path):
    opened = page({"a.txt": ["The wing."]})
    library = page_parts._open(str(tmp_path / "store"))
    (tmp_path / "no.pdf").write_bytes(b"%PDF-1.7 nothing")
    opened.session_state["qa_jobs"] = [library.bring(tmp_path / "no.pdf").id]
    give_up = time.monotonic() + 60
    while not opened.sidebar.error:
        assert time.monotonic() < give_up
        time.sleep(0.2)
        opened.run()
    assert not opened.exception


@pytest.mark.parametrize("text", [NASTY, "*a* _b_ `c` #d $e$ 1. ~f~ :smile: [g] a\\b", "默认的编码器，“MiniLM”"])
def test_a_plain_text_has_every_sign_of_markdown_escaped(text):
    assert re.sub(r"\\([!-/:-@\[-`{-~])", "", plain(text)) == re.sub(r"[!-/:-@\[-`{-~]", "", text)


def test_a_text_in_html_is_the_same_text():
    assert unescape(html_text(SCRIPT)) == SCRIPT and "<" not in html_text(SCRIPT)


def test_the_text_around_a_citation_by_hand():
    text = "Title\n\nOne <b>.\nTwo & two.\n\nThree."
    places = [(0, 5, 1), (7, 15, 0), (16, 26, 0), (28, 34, 0)]
    spans = tuple(Span(start, end, None, heading) for start, end, heading in places)
    document = Document("0", "a.md", "markdown", text, spans)
    shown = re.sub(r' style="[^"]*"', "", page_answer.text_around(document, 11, 19))
    assert shown == (
        "<p><strong>Title</strong></p><p>One <mark>&lt;b&gt;.</mark><br><mark>Two</mark> &amp; two.</p><p>Three.</p>"
    )


def test_a_line_is_marked_where_it_is_printed_and_a_close_up_shows_it(tmp_path):
    from PIL import Image

    pdf = make_pdf(tmp_path / "a.pdf", [[], [Words("The engine is hot.", 50, 400)]])
    box = Box(2, 50, 392, 130, 403)
    picture = Image.open(io.BytesIO(page_picture.page_picture(pdf, 2, [box])))
    scale = picture.height / HEIGHT
    assert picture.getpixel((round(131 * scale), round(398 * scale))) == page_picture.MARK
    assert picture.getpixel((round(300 * scale), round(100 * scale))) == (255, 255, 255)
    close = Image.open(io.BytesIO(page_picture.page_picture(pdf, 2, [box], close_up=True)))
    assert close.width < picture.width / 2 and close.height < picture.height / 2
    assert close.getpixel((round(131 * scale), round(96 * scale))) == page_picture.MARK
    other = Image.open(io.BytesIO(page_picture.page_picture(pdf, 1, [box])))
    assert page_picture.MARK not in [colour for _, colour in other.getcolors(10**6)]


def test_a_close_up_of_what_stands_beside_the_page_is_the_page(tmp_path):
    from PIL import Image

    pdf = make_pdf(tmp_path / "a.pdf", [[Words("a", 50, 50)]])
    whole, close = (page_picture.page_picture(pdf, 1, [Box(1, 9000, 50, 9100, 60)], close_up=near) for near in (0, 1))
    assert Image.open(io.BytesIO(close)).size == Image.open(io.BytesIO(whole)).size


@pytest.mark.parametrize("page_number, data", [(9, None), (1, b"%PDF-1.7 nothing")])
def test_a_page_that_cannot_be_drawn_is_none(tmp_path, page_number, data):
    pdf = make_pdf(tmp_path / "a.pdf", [[Words("a", 50, 50)]])
    if data:
        pdf.write_bytes(data)
    assert page_picture.page_picture(pdf, page_number) is None
