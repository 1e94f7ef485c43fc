"""`python -m multimodal_llm.document`: what it prints, writes and refuses, on pages that were read before."""

import json

import numpy as np
import pytest
from PIL import Image

from multimodal_llm import document
from multimodal_llm.document_understanding import document_qa
from multimodal_llm.document_understanding.document import Document, Page
from multimodal_llm.tests.document_fixtures import DINER, page_of
from shared.errors import UserError


@pytest.fixture
def receipt(tmp_path, monkeypatch):
    """A file, and the reading of it, which is not under test here."""
    page = page_of(DINER)
    picture = np.full((int(page.height), int(page.width), 3), 255, np.uint8)
    Image.fromarray(picture).save(tmp_path / "diner.png")
    target = "multimodal_llm.document_understanding.layout_analysis.read_sheets"
    monkeypatch.setattr(target, lambda sheets, threads: [(page, picture) for _ in sheets])
    monkeypatch.setattr(document_qa, "text_encoder", lambda: None)
    return tmp_path / "diner.png"


def run(capsys, *arguments):
    document.main([*map(str, arguments)])
    printed = capsys.readouterr().out
    return json.loads(printed.splitlines()[-1]), printed


def test_without_a_question_fields_and_text_are_told(receipt, capsys):
    result, printed = run(capsys, receipt)
    assert result["fields"]["total"]["value"] == "44.54" and result["pages"] == 1
    assert len(result["fields"]["total"]["box"]) == 4
    assert "BLUE HERON DINER" in printed and "Catfish plate" in printed


def test_a_question_is_answered_with_page_and_box(receipt, capsys):
    result, printed = run(capsys, receipt, "Who was the server?")
    assert (result["text"], result["page"], result["model"]) == ("Maya", 1, "rules")
    assert "page 1" in printed


def test_what_is_not_there_has_no_answer_and_a_reason(receipt, capsys):
    result, printed = run(capsys, receipt, "What is the due date?")
    assert result["text"] == "" and result["box"] is None and "No answer" in printed


def test_text_blocks_and_picture_are_written(receipt, capsys, tmp_path):
    files = {name: tmp_path / f"out.{name}" for name in ("md", "json", "png")}
    run(
        capsys,
        receipt,
        "What is the total?",
        "--markdown",
        files["md"],
        "--json",
        files["json"],
        "--overlay",
        files["png"],
    )
    assert "Pecan pie" in files["md"].read_text()
    [page] = Document.from_dict(json.loads(files["json"].read_text())).pages
    assert page == page_of(DINER)
    drawn = np.asarray(Image.open(files["png"]))
    assert (drawn[..., 0].astype(int) - drawn[..., 1] > 100).any()  # the answer's red frame


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a document"),
        (["FILE", "one?", "two?"], "at most one question"),
        (["FILE", " "], "the question is empty"),
        (["FILE", "--pages", "0"], "no pages"),
        (["FILE", "--pages", "3-1"], "no pages"),
        (["nowhere.png"], "nowhere.png: no such file"),
        (["FILE", "who?", "--model", "bert/none"], "rules"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(receipt, arguments, said):
    with pytest.raises(UserError, match=said):
        document.main([str(receipt) if argument == "FILE" else argument for argument in arguments])


def test_a_page_without_text_is_one_clear_line(receipt, monkeypatch):
    blank = Page(1, 10, 10, "empty", "the page is blank")
    target = "multimodal_llm.document_understanding.layout_analysis.read_sheets"
    monkeypatch.setattr(target, lambda sheets, threads: [(blank, None)])
    with pytest.raises(UserError, match="the page is blank.*sharper"):
        document.main([str(receipt)])
    with pytest.raises(UserError, match="the page is blank"):
        document.main([str(receipt), "What is the total?"])


@pytest.mark.parametrize(("n", "said"), [(1, "has 1 page$"), (3, "has 3 pages$")])
def test_pages_beyond_the_last_are_told_how_many_there_are(receipt, tmp_path, n, said):
    pages = [Image.new("RGB", (20, 20), shade) for shade in ("white", "grey", "black")[:n]]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=f"--pages 7: .*{said}"):
        document.main([str(tmp_path / "scan.tif"), "--pages", "7"])


def test_a_locked_pdf_wants_its_password(tmp_path):
    pdf = tmp_path / "locked.pdf"
    pdf.write_bytes(locked_pdf())
    with pytest.raises(UserError, match="password"):
        document.main([str(pdf), "What is the total?"])


def locked_pdf() -> bytes:
    """A PDF of one empty page that opens with "secret" alone (standard security handler, RC4 of 40 bits)."""
    import hashlib

    pad = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
    password = (b"secret" + pad)[:32]

    def rc4(key: bytes, text: bytes) -> bytes:
        state, j = list(range(256)), 0
        for i in range(256):
            j = (j + state[i] + key[i % len(key)]) % 256
            state[i], state[j] = state[j], state[i]
        i = j = 0
        out = []
        for byte in text:
            i = (i + 1) % 256
            j = (j + state[i]) % 256
            state[i], state[j] = state[j], state[i]
            out.append(byte ^ state[(state[i] + state[j]) % 256])
        return bytes(out)

    owner = rc4(hashlib.md5(password).digest()[:5], password)
    number = b"0" * 16
    key = hashlib.md5(password + owner + (-4).to_bytes(4, "little", signed=True) + number).digest()[:5]
    user = rc4(key, pad)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>",
        b"<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>" % (owner.hex().encode(), user.hex().encode()),
    ]
    body, places = b"%PDF-1.4\n", []
    for n, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj%s endobj\n" % (n, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(body)
    body += b"xref\n0 5\n0000000000 65535 f \n" + table
    name = number.hex().encode()
    body += b"trailer<</Size 5/Root 1 0 R/Encrypt 4 0 R/ID[<%s><%s>]>>\nstartxref\n%d\n%%%%EOF" % (name, name, start)
    return body
