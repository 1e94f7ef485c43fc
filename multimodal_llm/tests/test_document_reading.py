"""Pages read: whichever way they lie, whatever is on them, whatever file they come in. Recognition is real here."""

import io
import resource
import warnings

import numpy as np
import pypdfium2
import pytest
from PIL import Image, ImageDraw, ImageFont

from multimodal_llm.document_understanding import layout_analysis
from multimodal_llm.document_understanding.layout_analysis import read_document, read_picture, read_sheets, upright
from multimodal_llm.document_understanding.sheets import Sheet, open_sheets
from shared.errors import UserError

RECEIPT = ["MARKET HALL LTD", "12 Harbour Street", "Date: 03/04/2021", "Apples 2 x 1.50", "TOTAL 3.00"]


def draw(lines, size=(520, 420), height=28, place=(30, 30)):
    image = Image.new("RGB", size, "white")
    for number, line in enumerate(lines):
        spot = (place[0], place[1] + number * 2 * height)
        ImageDraw.Draw(image).text(spot, line, fill="black", font=ImageFont.load_default(height))
    return image


def texts(page):
    return [line.text for line in page.lines]


def pdf_bytes(pages):
    """A PDF that says each page's lines in Helvetica, written by hand: no library that we have writes text layers."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for lines in pages:
        drawn = "".join(f"BT /F1 12 Tf 72 {720 - 24 * n} Td ({line}) Tj ET\n" for n, line in enumerate(lines)).encode()
        objects.append(b"<< /Length %d >>\nstream\n" % len(drawn) + drawn + b"endstream")
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    out, places = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, io.SEEK_END)
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))
    return out.getvalue()


@pytest.mark.network
def test_a_receipt_is_read_in_order_with_words_in_their_places():
    page = read_picture(draw(RECEIPT))
    assert (page.status, page.turns, page.skew) == ("ocr", 0, 0.0)
    assert texts(page) == RECEIPT
    words = {word.text: word for line in page.lines for word in line.words}
    font = ImageFont.load_default(28)
    left = 30 + font.getlength("TOTAL ")
    assert abs(words["3.00"].box[0] - left) < 14
    assert abs(words["TOTAL"].box[2] - (30 + font.getlength("TOTAL"))) < 14
    assert 0.8 < words["3.00"].score <= 1


@pytest.mark.network
@pytest.mark.parametrize("turns", [1, 2])
def test_a_page_that_lies_is_brought_upright(turns):
    picture = draw(RECEIPT).rotate(-90 * turns, expand=True)
    page = read_picture(picture)
    assert page.turns == turns
    assert texts(page) == RECEIPT
    assert (page.width, page.height) == (520, 420)
    assert upright(picture, page).shape == (420, 520, 3)


@pytest.mark.network
def test_a_crooked_photo_is_levelled_and_its_boxes_do_not_overlap():
    picture = draw(RECEIPT, size=(900, 500)).rotate(-6, expand=True, fillcolor="white", resample=Image.BICUBIC)
    page = read_picture(picture)
    assert page.skew == pytest.approx(6, abs=1)
    assert texts(page) == RECEIPT
    for one, other in zip(page.lines, page.lines[1:], strict=False):
        assert one.box[3] < other.box[1] + 8
    assert upright(picture, page).shape[:2] == (page.height, page.width)


@pytest.mark.parametrize("shade", [0, 255])
def test_a_blank_page_is_empty_without_being_read(shade, monkeypatch):
    monkeypatch.setattr(layout_analysis, "recognise", None)
    page = read_picture(np.full((300, 200, 3), shade, dtype=np.uint8))
    assert (page.status, page.reason, page.blocks) == ("empty", "the page is blank", ())


def test_a_page_of_dots_and_a_photo_have_no_text():
    dots = Image.new("RGB", (800, 800), "white")
    for x in range(20, 800, 40):
        for y in range(20, 800, 40):
            ImageDraw.Draw(dots).ellipse((x, y, x + 8, y + 8), fill="black")
    fur = np.random.default_rng(0).normal(120, 30, (60, 80, 3)).clip(0, 255).astype(np.uint8)
    for picture in (dots, Image.fromarray(fur).resize((480, 360), Image.BICUBIC)):
        page = read_picture(picture)
        assert (page.status, page.reason) == ("empty", "no text was found on the picture")


@pytest.mark.network
def test_a_strip_of_20_000_pixels_takes_bounded_memory():
    strip = Image.new("RGB", (20_000, 60), "white")
    ImageDraw.Draw(strip).text((10, 10), "A very long strip", fill="black", font=ImageFont.load_default(36))
    read_picture(draw(RECEIPT[:1], size=(300, 100)))  # the models are loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    page = read_picture(strip)
    assert page.width == 20_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


@pytest.mark.network
def test_text_of_a_pdf_is_taken_as_it_stands_with_its_places(tmp_path, monkeypatch):
    monkeypatch.setattr(layout_analysis, "recognise", None)
    file = tmp_path / "two.pdf"
    file.write_bytes(pdf_bytes([["Geese fly south", "in October 2021"], ["Ducks stay"]]))
    pages = list(read_document(file))
    assert [page.status for page in pages] == ["text", "text"]
    assert texts(pages[0]) == ["Geese fly south", "in October 2021"]
    first = pages[0].lines[0].words[0]
    assert (first.text, first.score) == ("Geese", 1.0)
    assert first.box[0] == pytest.approx(72 * 150 / 72, abs=3)
    assert list(read_document(file, pages=range(2, 3)))[0].number == 2


def test_400_pages_are_read_one_after_another(tmp_path, monkeypatch):
    monkeypatch.setattr(layout_analysis, "find_blocks", lambda picture, threads: [])
    file = tmp_path / "long.pdf"
    file.write_bytes(pdf_bytes([["A Book of Ducks", "", *[f"Line {n} of page {number}" for n in range(3)]]
                                for number in range(400)]))  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = 0
    for page in read_document(file):
        count += 1
        assert page.blocks[0].kind == "header", "it comes back on every page"
    assert count == 400
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_broken_page_stops_nothing(monkeypatch):
    def recognise(picture, threads, straighten):
        raise RuntimeError("a strange page")

    monkeypatch.setattr(layout_analysis, "recognise", recognise)
    noise = np.arange(3000, dtype=np.uint8).reshape(20, 50, 3)
    sheets = [Sheet(1, fault="the page is damaged"), Sheet(2, noise), Sheet(3, np.zeros((20, 50, 3), dtype=np.uint8))]
    pages = [page for page, _ in read_sheets(iter(sheets))]
    assert [page.status for page in pages] == ["failed", "failed", "empty"]
    assert pages[0].reason == "the page is damaged"
    assert "a strange page" in pages[1].reason


def test_a_tiff_has_its_pages(tmp_path):
    file = tmp_path / "scan.tiff"
    first, second = Image.new("RGB", (50, 40), "white"), Image.new("RGB", (60, 40), "white")
    first.save(file, save_all=True, append_images=[second])
    assert [(page.number, page.width, page.status) for page in read_document(file)] == [
        (1, 50, "empty"),
        (2, 60, "empty"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"%PDF-1.4\nnothing", "damaged"),
        (b"<!doctype html>", "a web page"),
        (b"\x89PNG\r\n\x1a\n1234", "not a picture"),
    ],
)
def test_what_is_no_document_is_one_clear_line(content, reason, tmp_path):
    file = tmp_path / "file.pdf"
    file.write_bytes(content)
    with warnings.catch_warnings(), pytest.raises(UserError, match=reason):
        list(open_sheets(file))
    with pytest.raises(UserError, match="nowhere"):
        open_sheets(tmp_path / "nowhere.png")


def test_a_pdf_with_a_password_says_so(tmp_path, monkeypatch):
    """pdfium cannot write one; that it asks for a password is all that matters here."""

    def encrypted(path, password=None):
        raise pypdfium2.PdfiumError("Failed to load document (PDFium: Incorrect password error).")

    monkeypatch.setattr(pypdfium2, "PdfDocument", encrypted)
    file = tmp_path / "secret.pdf"
    file.write_bytes(b"%PDF-1.4")
    with pytest.raises(UserError, match="encrypted: give it with --password"):
        open_sheets(file)
    with pytest.raises(UserError, match="its password is another"):
        open_sheets(file, password="x")
