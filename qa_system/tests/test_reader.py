"""Documents through the reading process: what is read, what is refused, and what a bad page does to the others."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from qa_system.document_processor import reader as reader_module
from qa_system.document_processor.errors import Unreadable
from qa_system.document_processor.reader import DocumentReader, ReaderConfig, read_document
from qa_system.tests.pdf_maker import Words, column, make_pdf, picture_of

LEFT = "The left column tells of ducks that cross the river in the morning and of those that wait until noon. " * 3
RIGHT = "Quite another matter stands here on the right side where geese are counted and weighed one by one. " * 3

# A worker whose pages do what their number says: hang, crash, or ask for more memory than it may take.
BAD_WORKER = """
import os, signal, sys, time
from qa_system.document_processor import pdf_reader, worker

BAD = {BAD}
real = pdf_reader._read_page

def read_page(page, number, ocr):
    match BAD.get(number):
        case "hang":
            time.sleep(1000)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "memory":
            bytearray(4_000_000_000)
        case "bug":
            raise KeyError(f"word{number}")
    return real(page, number, ocr)

def open_pdf(path, password=None, real=pdf_reader.open_pdf):
    if "hang" == BAD.get(0):
        time.sleep(1000)
    return real(path, password)

pdf_reader._read_page = read_page
pdf_reader.open_pdf = open_pdf
worker.main()
"""


@pytest.fixture
def bad_worker(tmp_path, monkeypatch):
    """`bad_worker({2: "crash"})`: from now on workers do this on page 2."""

    def use(bad):
        program = tmp_path / "bad_worker.py"
        program.write_text(BAD_WORKER.replace("{BAD}", repr(bad)))
        monkeypatch.setattr(reader_module, "WORKER", (str(program),))
        monkeypatch.setenv("PYTHONPATH", os.getcwd())

    return use


@pytest.fixture
def five_pages(tmp_path):
    return make_pdf(tmp_path / "five.pdf", [[Words(f"This is page {number}.", 100, 400)] for number in range(1, 6)])


def refusal(path, **options):
    with pytest.raises(Unreadable) as refused:
        read_document(path, **options)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    return refused.value.reason


def test_a_document_is_read_with_every_line_in_its_place(tmp_path):
    words = [Words("Birds of the river", 180, 60, size=18), *column(LEFT, 50, 100, 48), *column(RIGHT, 320, 100, 48)]
    path = make_pdf(tmp_path / "birds.pdf", [words])
    document = read_document(path)
    assert document.text == f"Birds of the river\n\n{LEFT.strip()}\n\n{RIGHT.strip()}"
    assert (document.kind, document.source) == ("pdf", str(path))
    assert document.id == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [(page.number, page.status, page.reason) for page in document.pages] == [(1, "text", "")]
    place = next(span for span in document.spans if "geese are" in document.text[span.start : span.end])
    assert (place.box.page, place.box.left) == (1, pytest.approx(320, abs=1))
    assert document.spans[0].heading == 1


def test_headers_and_page_numbers_are_left_out(tmp_path):
    pages = [
        [Words("Annual report", 50, 30), Words(f"It says {word}.", 50, 400), Words(str(number), 300, 780)]
        for number, word in enumerate(("ducks", "geese", "swans"), 1)
    ]
    document = read_document(make_pdf(tmp_path / "a.pdf", pages))
    assert document.text == "Annual report\n\nIt says ducks.\n\nIt says geese.\n\nIt says swans."


def test_pages_without_text_are_named_beside_those_with(tmp_path):
    document = read_document(make_pdf(tmp_path / "a.pdf", [[Words("Ducks.", 50, 400)], []]))
    assert [(page.status, page.reason) for page in document.pages] == [("text", ""), ("empty", "the page is blank")]


def test_one_reader_reads_many_documents_and_all_kinds(tmp_path):
    (tmp_path / "a.md").write_text("# Birds\n\nDucks *cross* the river.")
    (tmp_path / "b.html").write_text("<h2>Birds</h2><p>Geese wait.<script>alert(1)</script>")
    (tmp_path / "c.txt").write_text("鸭子过河。", encoding="gb18030")
    make_pdf(tmp_path / "d.pdf", [[Words("Swans.", 50, 100)]])
    with DocumentReader() as reader:
        read = [reader.read(tmp_path / name) for name in ("a.md", "b.html", "c.txt", "d.pdf")]
    assert [each.text for each in read] == [
        "Birds\n\nDucks cross the river.",
        "Birds\n\nGeese wait.",
        "鸭子过河。",
        "Swans.",
    ]
    assert [each.kind for each in read] == ["markdown", "html", "text", "pdf"]
    assert [len(each.pages) for each in read] == [0, 0, 0, 1]
    assert read[1].spans[0].heading == 2


def test_the_password_opens_and_a_missing_or_wrong_one_is_said(tmp_path):
    path = make_pdf(tmp_path / "a.pdf", [[Words("secret", 100, 100)]], password="ducks")
    assert refusal(path) == "password"
    assert refusal(path, password="geese") == "password"
    assert read_document(path, "ducks").text == "secret"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdf", b"", "empty"),
        ("a.pdf", b"GIF89a" + b"\0" * 100, "malformed"),
        ("a.pdf", b"%PDF-1.4\n%%EOF", "malformed"),
        ("a.docx", b"not a zip", "malformed"),
        ("a.docx", b"PK\x03\x04" + b"\0" * 50, "malformed"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "unknown kind"),
        ("a.doc", b"\xd0\xcf\x11\xe0" + b"\0" * 600, "unknown kind"),
        ("a.txt", bytes(range(256)) * 20, "encoding"),
        ("a.txt", b" \n\t\n ", "no text"),
        ("a.html", b"<html><script>1</script></html>", "no text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal(path) == reason


def test_a_pdf_of_pictures_is_no_empty_document(tmp_path):
    path = make_pdf(tmp_path / "a.pdf", [[]], picture=picture_of(["Ducks"]))
    assert refusal(path, config=ReaderConfig(ocr=False)) == "no text"


def test_too_large_and_too_many_pages_are_refused(tmp_path, five_pages):
    assert refusal(five_pages, config=ReaderConfig(max_mb=0.0001)) == "too large"
    assert refusal(five_pages, config=ReaderConfig(max_pages=4)) == "too large"


@pytest.mark.parametrize(
    ("bad", "said"), [("hang", "took longer than 1 s"), ("crash", "crashed the parser (signal 11)"), ("bug", None)]
)
def test_a_bad_page_fails_alone(bad_worker, five_pages, bad, said, caplog):
    bad_worker({2: bad})
    with DocumentReader(ReaderConfig(page_seconds=1.0 if bad == "hang" else 60)) as reader:
        if bad == "bug":  # a fault of the code is the document's, with a trace in the log
            with pytest.raises(Unreadable, match="KeyError") as refused:
                reader.read(five_pages)
            assert refused.value.reason == "crash"
            assert "in read_page" in caplog.text and "word2" not in caplog.text, "its words may be the document's"
            return
        document = reader.read(five_pages)
        assert [page.status for page in document.pages] == ["text", "failed", "text", "text", "text"]
        assert said in document.pages[1].reason
        assert document.text.startswith("This is page 1.\n\nThis is page 3.")


def test_a_document_whose_pages_keep_crashing_is_given_up_and_the_next_one_is_read(bad_worker, five_pages, tmp_path):
    bad_worker({2: "crash", 3: "crash", 4: "crash"})
    good = make_pdf(tmp_path / "good.pdf", [[Words("Ducks.", 100, 100)]])
    with DocumentReader() as reader:
        with pytest.raises(Unreadable) as refused:
            reader.read(five_pages)
        assert refused.value.reason == "crash"
        assert reader.read(good).text == "Ducks."


def test_a_document_that_hangs_when_it_is_opened_is_refused(bad_worker, five_pages):
    bad_worker({0: "hang"})
    assert refusal(five_pages, config=ReaderConfig(page_seconds=0.5)) == "hang"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps this limit")
def test_memory_without_end_is_refused(bad_worker, five_pages):
    bad_worker({2: "memory"})
    assert refusal(five_pages, config=ReaderConfig(memory_mb=1000)) == "too large"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_parent_leaves_no_hanging_worker(bad_worker, five_pages):
    bad_worker({2: "hang"})
    code = (
        "import sys; from qa_system.document_processor import reader; from pathlib import Path;"
        f"reader.WORKER = {reader_module.WORKER!r};"
        "r = reader.DocumentReader(); r._worker = reader._Worker(1000); print(r._worker._process.pid, flush=True);"
        f"r.read(Path({str(five_pages)!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    for _ in range(200):
        if not _runs(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker runs on")


def _runs(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_six_hundred_pages_are_read_in_bounded_memory(tmp_path):
    pages = [[*column(LEFT * 4, 50, 60, 48), *column(RIGHT * 4, 320, 60, 48)] for _ in range(600)]
    path = make_pdf(tmp_path / "long.pdf", pages)
    # In a process of its own: this one is large, and has had other children.
    program = f"""
import resource
from pathlib import Path
from qa_system.document_processor.reader import read_document
pages = len(read_document(Path({str(path)!r})).pages)
print(pages, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    n_pages, worker_mb = said.split()
    assert int(n_pages) == 600 and float(worker_mb) < 500
