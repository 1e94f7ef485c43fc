"""Text in any encoding, Markdown, HTML and DOCX: what a reader sees, and no trick that a file may hold."""

import io
import zipfile

import pytest

from qa_system.document_processor.docx_reader import docx_lines
from qa_system.document_processor.errors import Unreadable
from qa_system.document_processor.file_kind import kind_of
from qa_system.document_processor.html_reader import declared_encoding, html_lines
from qa_system.document_processor.text_reader import SAMPLE, _guess, decode, markdown_lines, read_lines, text_lines

CHINESE = "检索增强生成先找出相关的段落，再根据这些段落回答问题。没有证据的时候，它应当说不知道。"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def shown(lines):
    return [(line.joint, line.text, line.heading) for line in lines]


def texts(lines):
    return [line.text for line in lines]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Ducks – naïve", "utf-8"),
        ("Ducks – naïve", "utf-8-sig"),
        ("Ducks – naïve", "utf-16"),
        ("Ducks wait until noon", "utf-16-le"),
        ("Ducks wait until noon", "utf-16-be"),
        ("Ducks – naïve", "utf-32"),
        (CHINESE, "gb18030"),
        ("鸭子过河。", "gb18030"),
        (CHINESE, "utf-16"),
        ("Le café où l'été s'achève déjà, près de la forêt, plaît à tous les élèves âgés.", "cp1252"),
        ("臺灣的圖書館收藏了許多珍貴的歷史文獻，讀者可以在館內自由閱讀這些資料。" * 3, "big5"),
    ],
)
def test_encodings_are_told_apart(text, encoding):
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("data", [b"\x00\x01\x02" * 100, b"MZ\0\0" * 40, "Ducks".encode("utf-16-le") + b"\xff\xfe\0"])
def test_bytes_that_are_no_text_are_refused(data):
    with pytest.raises(Unreadable) as refused:
        decode(data)
    assert refused.value.reason == "encoding"


def test_half_a_character_behind_a_mark_is_refused():
    with pytest.raises(Unreadable) as refused:
        decode("鸭".encode("utf-16") + b"\x10")
    assert refused.value.reason == "encoding"


def test_plain_text_keeps_its_lines_and_paragraphs():
    lines = text_lines("Ducks\r\n  cross\n\n\fThe river\x00\n \n\nend")
    assert shown(lines) == [
        ("paragraph", "Ducks", 0),
        ("row", "  cross", 0),
        ("paragraph", "The river", 0),
        ("paragraph", "end", 0),
    ]


def test_markdown_loses_its_marks_and_keeps_its_headings():
    text = "# Birds\n\nDucks *cross* the [river](http://x.y).\nAgain.\n\nGeese\n-----\n\n- one\n- two\n\n"
    text += "| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert shown(markdown_lines(text)) == [
        ("paragraph", "Birds", 1),
        ("paragraph", "Ducks cross the river. Again.", 0),
        ("paragraph", "Geese", 2),
        ("row", "one", 0),
        ("row", "two", 0),
        ("row", "a\tb", 0),
        ("row", "1\t2", 0),
    ]


def test_front_matter_is_no_heading():
    assert shown(markdown_lines("---\ntitle: Birds\n---\n# Ducks\n")) == [
        ("paragraph", "title: Birds", 0),
        ("paragraph", "Ducks", 1),
    ]


def test_code_in_markdown_keeps_its_lines():
    assert texts(markdown_lines("```\nif x:\n    y()\n```\n")) == ["if x:", "    y()"]


def test_html_is_what_a_reader_sees():
    html = """<!doctype html><head><title>River</title><style>p {}</style></head><body><nav>Menu</nav>
    <h1>Birds &amp; <em>more</em></h1><p>Ducks<br>cross<script>alert("no")</script> the
    river.</p>Loose <div>inner</div>tail<p hidden>unseen</p><!-- no --><ul><li>one<li>two</ul></body>"""
    assert shown(html_lines(html)) == [
        ("paragraph", "Birds & more", 1),
        ("paragraph", "Ducks", 0),
        ("row", "cross the river.", 0),
        ("paragraph", "Loose", 0),
        ("paragraph", "inner", 0),
        ("paragraph", "tail", 0),
        ("row", "one", 0),
        ("row", "two", 0),
    ]


def test_the_title_of_a_page_without_a_heading_is_its_heading():
    assert shown(html_lines("<title>River</title><p>Ducks.")) == [("paragraph", "River", 1), ("paragraph", "Ducks.", 0)]


def test_cells_of_an_html_table_are_parted_by_tabs():
    html = "<table><tr><th>Bird<th>Count<tr><td><p>Duck</p><p>wild</p><td>3</table>"
    assert texts(html_lines(html)) == ["Bird\tCount", "Duck wild\t3"]


def test_ten_thousand_nested_elements_are_read():
    assert texts(html_lines("<div>" * 10_000 + "Ducks" + "</div>" * 10_000)) == ["Ducks"]


@pytest.mark.parametrize("html", ["", "<", "<!--", "\0", "<table><td>", "</p></p>", "<svg><p>x"])
def test_broken_html_raises_nothing(html):
    assert isinstance(html_lines(html), list)


def test_a_page_says_its_encoding(tmp_path):
    page = '<html><meta charset="big5"><p>圖書館'.encode("big5")
    assert declared_encoding(page) == "big5"
    path = tmp_path / "a.html"
    path.write_bytes(page)
    assert texts(read_lines(path, "html")) == ["圖書館"]


def test_a_long_text_is_not_told_from_half_a_character():
    line = "臺灣的圖書館收藏了許多珍貴的歷史文獻，讀者可以在館內自由閱讀這些資料。\n".encode("big5")
    data = line * (SAMPLE // len(line) + 1)
    for shift in (b"", b" "):  # one of the two is cut amid a character
        assert _guess(shift + data).startswith("big5")


def test_a_page_is_read_as_browsers_read_what_it_declares():
    assert decode("“Ducks”".encode("cp1252"), "iso-8859-1") == "“Ducks”"
    assert decode("镕基㐀".encode("gb18030"), "gb2312") == "镕基㐀"


def test_an_unknown_declared_encoding_is_no_fault(tmp_path):
    path = tmp_path / "a.html"
    path.write_bytes(b'<meta charset="klingon"><p>caf' + b"\xe9 au lait, d\xe9j\xe0 vu, \xe0 bient\xf4t")
    assert texts(read_lines(path, "html")) == ["café au lait, déjà vu, à bientôt"]


def make_docx(path, body, **parts):
    """A Word file whose body is this XML; `parts` replace or add parts (name without folder and ending)."""
    import docx

    buffer = io.BytesIO()
    docx.Document().save(buffer)
    with zipfile.ZipFile(buffer) as made, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in made.namelist():
            content = made.read(name)
            if name == "word/document.xml":
                content = f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'.encode()
            archive.writestr(name, parts.pop(name, content))
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def paragraph(text, style=None):
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


def test_word_paragraphs_headings_lists_and_tables(tmp_path):
    import docx

    document = docx.Document()
    document.add_heading("Birds", 0)
    document.add_heading("Ducks", 2)
    document.add_paragraph("They cross the river.")
    document.add_paragraph("one", style="List Bullet")
    table = document.add_table(2, 2)
    for number, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = str(number)
    document.add_paragraph("End.")
    document.save(tmp_path / "a.docx")
    lines = docx_lines(tmp_path / "a.docx")
    assert texts(lines) == ["Birds", "Ducks", "They cross the river.", "one", "0\t1", "2\t3", "End."]
    assert [line.heading for line in lines] == [1, 2, 0, 0, 0, 0, 0]
    assert [line.joint for line in lines][4:] == ["paragraph", "row", "paragraph"]


def test_inserted_text_is_read_and_deleted_text_is_not(tmp_path):
    body = (
        "<w:p><w:r><w:t>Ducks </w:t></w:r><w:ins><w:r><w:t>always </w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>never </w:delText></w:r></w:del>"
        "<w:hyperlink><w:r><w:t>wait</w:t></w:r></w:hyperlink></w:p>"
    )
    assert texts(docx_lines(make_docx(tmp_path / "a.docx", body))) == ["Ducks always wait"]


def test_content_controls_and_text_boxes_are_read_once(tmp_path):
    box = f"<w:txbxContent>{paragraph('in a box')}</w:txbxContent>"
    choice = (
        '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    )
    control = f"<w:sdt><w:sdtContent>{paragraph('in a control')}</w:sdtContent></w:sdt>"
    body = f"<w:p><w:r><w:t>around</w:t></w:r><w:r>{choice}</w:r></w:p>{control}"
    assert texts(docx_lines(make_docx(tmp_path / "a.docx", body))) == ["around", "in a box", "in a control"]
    cell = f"<w:tc><w:p><w:r><w:t>in a cell</w:t></w:r><w:r>{choice}</w:r></w:p></w:tc>"
    table = f"<w:tbl><w:tr>{cell}<w:tc>{paragraph('beside')}</w:tc></w:tr></w:tbl>"
    assert texts(docx_lines(make_docx(tmp_path / "b.docx", table))) == ["in a cell in a box\tbeside"]


def test_an_external_entity_is_not_followed(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    xml = (
        f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file://{secret}"><!ENTITY a "aaaaaaaaaa">'
        '<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        f'<w:document xmlns:w="{WORD}"><w:body><w:p><w:r><w:t>Ducks &x; &b;</w:t></w:r></w:p></w:body></w:document>'
    )
    path = make_docx(tmp_path / "a.docx", "", **{"word/document.xml": xml.encode()})
    try:
        read = " ".join(texts(docx_lines(path)))
    except Unreadable:
        return
    assert "secret" not in read and "aaaa" not in read


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = make_docx(tmp_path / "a.docx", paragraph("Ducks"), **{"word/media/image1.png": b"\0" * 20_000_000})
    assert path.stat().st_size < 100_000
    with pytest.raises(Unreadable) as refused:
        docx_lines(path)
    assert refused.value.reason == "unsafe"


def test_deep_nesting_in_word_is_read_or_refused(tmp_path):
    body = "<w:sdt><w:sdtContent>" * 200 + paragraph("Ducks") + "</w:sdtContent></w:sdt>" * 200
    try:
        assert texts(docx_lines(make_docx(tmp_path / "a.docx", body))) == ["Ducks"]
    except Unreadable as refused:
        assert refused.reason == "malformed"


@pytest.mark.parametrize("body", ["<w:p>", "no XML &", ""])
def test_a_damaged_word_file_is_refused_or_empty(tmp_path, body):
    path = make_docx(tmp_path / "a.docx", body)
    try:
        assert docx_lines(path) == []
    except Unreadable as refused:
        assert refused.reason == "malformed"


def test_kinds_are_told_from_the_bytes(tmp_path):
    word = make_docx(tmp_path / "word.bin", paragraph("Ducks"))
    assert kind_of(word) == "docx"
    for name, content, kind in (
        ("a.txt", b"  %PDF-1.4", "pdf"),
        ("a.txt", b"\xef\xbb\xbf<!DOCTYPE html><p>x", "html"),
        ("a.md", b"# x", "markdown"),
        ("a.log", b"x", "text"),
        ("about.md", b"Each file begins with `%PDF-1.4`.", "markdown"),
        ("about.txt", "一个 PDF 以 %PDF-1.7 开头。".encode(), "text"),
        ("late.pdf", b"HTTP/1.1 200 OK\r\n\r\n%PDF-1.4\n", "pdf"),
        ("late", b"HTTP/1.1 200 OK\r\n\r\n%PDF-1.4\n\0\1\2", "pdf"),
        ("MZ.txt", b"MZ is how programs begin", "text"),
    ):
        (tmp_path / name).write_bytes(content)
        assert kind_of(tmp_path / name) == kind


def test_the_kind_of_an_archive_is_told_without_its_list_of_parts(tmp_path, monkeypatch):
    """A list as long as the largest upload fills a gigabyte, and the server itself asks for the kind."""
    word = make_docx(tmp_path / "a.docx", paragraph("Ducks"))
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert kind_of(word) == "docx"


def test_a_word_file_whose_list_of_parts_is_damaged_is_refused(tmp_path):
    path = make_docx(tmp_path / "a.docx", paragraph("Ducks"))
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x01\x03"))
    with pytest.raises(Unreadable) as refused:
        docx_lines(path)
    assert refused.value.reason == "malformed"


def test_an_archive_that_is_no_word_file_is_refused(tmp_path):
    path = tmp_path / "a.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../etc/passwd", "x")
    with pytest.raises(Unreadable) as refused:
        kind_of(path)
    assert refused.value.reason == "unknown kind"
