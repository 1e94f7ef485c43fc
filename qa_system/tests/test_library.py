"""The library: what was taken is read, what was not is gone, and neither a fault nor a kill loses a document."""

import threading
import time
import zipfile
from types import SimpleNamespace

import pytest

from qa_system.app.jobs import MOST_KEPT, Job, JobBook
from qa_system.app.library import Library, LibraryConfig, LibraryFull
from qa_system.document_processor.errors import Unreadable
from qa_system.document_processor.vector_store import VectorStore
from qa_system.retrieval.hybrid_retrieval import HybridRetriever
from qa_system.tests.pdf_maker import Words, make_pdf
from shared.errors import UserError

TEXT = b"The wing of the engine is hot. The flow of the heat is slow."


@pytest.fixture
def make_library(tmp_path, reading_words):
    """`make_library(max_mb=1)`: a library in a folder, always the same one; started unless told otherwise."""
    made = []

    def make(start=True, **settings):
        store = VectorStore(tmp_path / "store", reading_words)
        library = Library(store, tmp_path / "store", LibraryConfig(**settings))
        made.append(library)
        if start:
            library.start()
        return library

    yield make
    for library in made:
        library.close()
        library.store.close()


def give(library, name, data=TEXT):
    with library.receive(name) as incoming:
        incoming.write(data)
        return incoming.take()


def ended(library, job, seconds=30):
    give_up = time.monotonic() + seconds
    while not (found := library.job(job.id)).ended:
        assert time.monotonic() < give_up, found
        time.sleep(0.01)
    return found


def sources(library):
    return [line.source for line in library.documents()]


def test_what_is_taken_is_found(make_library):
    library = make_library()
    job = ended(library, give(library, "wing.txt"))
    assert (job.state, job.change, job.passages) == ("done", "added", 1)
    assert sources(library) == ["wing.txt"]
    assert HybridRetriever(library.store).search("heat of the engine")[0].chunk.source == "wing.txt"
    assert not list(library.waiting.iterdir()) and library.waiting_uploads() == 0


def test_the_same_again_changes_nothing_and_another_one_takes_its_place(make_library):
    library = make_library()
    for data, change in ((TEXT, "added"), (TEXT, "unchanged"), (b"The wing is cold.", "updated")):
        assert ended(library, give(library, "wing.txt", data)).change == change
    assert len(library.store) == 1


def test_a_pdf_is_kept_for_its_pages_until_nothing_cites_it(make_library, tmp_path):
    library = make_library()
    pdf = make_pdf(tmp_path / "a.pdf", [[Words("The heat of the engine", 50, 50)]])
    for name in ("a.pdf", "b.pdf"):
        assert ended(library, library.bring(pdf, name)).state == "done"
    identity = library.documents()[0].id
    assert library.file_of(identity).read_bytes() == pdf.read_bytes()
    assert library.delete("a.pdf") == 1 and library.file_of(identity)
    assert library.delete("b.pdf") == 1 and library.file_of(identity) is None
    assert library.delete("b.pdf") == 0


def test_a_pdf_goes_when_another_takes_its_place(make_library, tmp_path):
    library = make_library()
    pdfs = [make_pdf(tmp_path / f"{n}.pdf", [[Words(f"The heat of engine {n}", 50, 50)]]) for n in range(2)]
    for pdf in pdfs:
        assert ended(library, library.bring(pdf, "a.pdf")).state == "done"
    assert [file.stem for file in library.files.iterdir()] == [line.id for line in library.documents()]


def test_a_fault_of_the_system_is_told_as_such(make_library, monkeypatch):
    from qa_system.ingest import Read

    library = make_library(start=False)
    reader = SimpleNamespace(read=lambda path, source, on_page: Read(path, refused="not readable", line="no memory"))
    monkeypatch.setattr(library, "_reader", reader)
    library.start()
    job = ended(library, give(library, "a.txt"))
    assert (job.state, job.detail) == ("failed", "no memory")


@pytest.mark.parametrize(
    "name, data, reason",
    [
        ("empty.txt", b"", "empty"),
        ("no.pdf", TEXT, "malformed"),
        ("archive.zip", b"PK\x03\x04 and so on", "malformed"),
        ("picture.pdf.png", b"\x89PNG\r\n\x1a\n", "unknown kind"),
        ("program.txt", b"\x7fELF\x02\x01", "unknown kind"),
    ],
)
def test_what_is_no_document_is_refused_at_the_door(make_library, name, data, reason):
    library = make_library()
    with pytest.raises(Unreadable) as caught:
        give(library, name, data)
    assert caught.value.reason == reason and str(caught.value).startswith(name)
    assert not list(library.waiting.iterdir()) and library.waiting_uploads() == 0 and not library.jobs()


def test_a_broken_document_is_refused_with_its_reason_and_the_next_one_is_read(make_library):
    library = make_library()
    broken, good = give(library, "broken.pdf", b"%PDF-1.7 and nothing"), give(library, "good.txt")
    broken = ended(library, broken)
    assert (broken.state, broken.reason) == ("refused", "malformed") and broken.detail.startswith("broken.pdf: ")
    assert ended(library, good).state == "done" and sources(library) == ["good.txt"]


def test_a_zip_bomb_in_a_docx_is_refused_before_it_is_unpacked(make_library, tmp_path):
    bomb = tmp_path / "bomb.docx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("word/document.xml", "w", force_zip64=True) as part:
            for _ in range(10):
                part.write(bytes(1 << 24))
    library = make_library()
    job = ended(library, library.bring(bomb))
    assert (job.state, job.reason) == ("refused", "unsafe") and not sources(library)


def test_scripts_of_a_web_page_are_no_text_of_it(make_library):
    library = make_library()
    page = b"<html><body><p>The wing is hot.</p><script>alert('the engine')</script><img src=x onerror=alert(1)></body>"
    ended(library, give(library, "page.html", page))
    assert library.store.document("page.html").text == "The wing is hot."


def test_an_upload_that_breaks_off_leaves_nothing(make_library):
    library = make_library()
    with pytest.raises(ConnectionError), library.receive("a.txt") as incoming:
        incoming.write(TEXT)
        raise ConnectionError
    assert not list(library.waiting.iterdir()) and library.waiting_uploads() == 0 and not library.jobs()


def test_as_many_wait_as_may(make_library):
    library = make_library(start=False, queue_uploads=2)
    give(library, "a.txt")
    with library.receive("b.txt"):
        with pytest.raises(LibraryFull) as caught:
            library.receive("c.txt")
        assert caught.value.retry_after_s >= 1
    library.start()
    library.receive("c.txt").__exit__(None, None, None)


def test_too_large_a_file_of_this_machine_is_one_clear_line(make_library, tmp_path):
    (tmp_path / "large.txt").write_bytes(b"a" * 2_000_000)
    with pytest.raises(UserError, match="large.txt: larger than 1 MB"):
        make_library(max_mb=1).bring(tmp_path / "large.txt")


def test_too_many_pages_and_too_much_time_are_refused(make_library, tmp_path):
    pdf = make_pdf(tmp_path / "long.pdf", [[Words(f"page {number}", 50, 50)] for number in range(4)])
    library = make_library(max_pages=3)
    assert ended(library, library.bring(pdf)).reason == "too large"
    library = make_library(document_seconds=1e-6)
    job = ended(library, library.bring(pdf))
    assert job.reason == "too large" and "1 of its 4 pages took" in job.detail


def test_what_a_killed_process_left_is_taken_up_and_half_an_upload_is_dropped(make_library):
    dead = make_library(start=False)
    jobs = [give(dead, f"{number}.txt", TEXT + b" %d" % number) for number in range(3)]
    half = dead.receive("half.txt")
    half.write(TEXT)
    living = make_library()  # while the other one still holds its files
    assert living.waiting_uploads() == 0
    dead.close()
    half._file.close()
    living.close()
    again = make_library()
    assert [ended(again, job).state for job in jobs] == ["done"] * 3
    assert sources(again) == ["0.txt", "1.txt", "2.txt"] and not list(again.waiting.iterdir())


def test_an_upload_whose_end_was_not_written_down_is_done_again_without_harm(make_library):
    library = make_library()
    job = ended(library, give(library, "wing.txt"))
    library.close()
    (library.waiting / f"{job.id}.txt").write_bytes(TEXT)
    library.book.write(job.now(state="encoding"))
    again = make_library()
    assert ended(again, job).change == "unchanged" and len(again.store) == 1


def test_stopping_amid_a_document_leaves_it_for_the_next_start(make_library, reading_words, monkeypatch):
    library = make_library()
    begun, go = threading.Event(), threading.Event()
    real = type(reading_words.encoder).encode
    monkeypatch.setattr(
        type(reading_words.encoder), "encode", lambda *given: (begun.set(), go.wait(10), real(*given))[-1]
    )
    job = give(library, "wing.txt")
    assert begun.wait(10)
    library._stopping.set()
    go.set()
    library.close()
    assert not library.documents() and library.book.read(job.id).state in ("waiting", "reading", "encoding")
    again = make_library()
    assert ended(again, job).change == "added"


def test_a_fault_of_ours_fails_one_document_only(make_library, monkeypatch):
    library = make_library()
    with monkeypatch.context() as patched:
        patched.setattr(library.store, "add", lambda *given, **named: 1 / 0)
        job = ended(library, give(library, "a.txt"))
    assert (job.state, job.detail) == ("failed", "a fault of ours (ZeroDivisionError)")
    assert ended(library, give(library, "b.txt")).state == "done" and library.alive()


def test_searches_amid_ingestion_and_deletion_see_whole_documents_only(make_library):
    library = make_library()
    texts = [b"The wing %d of the engine.\n\nThe heat %d of the engine." % (n, n) for n in range(12)]
    retriever, faults, stop = HybridRetriever(library.store), [], threading.Event()

    def search():
        while not stop.is_set():
            try:
                for hit in retriever.search("engine", 20):
                    assert hit.chunk.text in texts[int(hit.chunk.source)].decode()
            except BaseException as error:
                faults.append(error)
                return

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    jobs = []
    for number, text in enumerate(texts):
        jobs.append(give(library, str(number), text))
        if number % 3 == 2:
            library.delete(str(number - 2))
    states = [ended(library, job).state for job in jobs]
    stop.set()
    for thread in threads:
        thread.join()
    assert not faults and states == ["done"] * 12
    assert len(library.store) == sum(line.chunks for line in library.documents())


def test_the_book_of_jobs_forgets_the_oldest_that_have_ended(tmp_path):
    book = JobBook(tmp_path)
    jobs = [Job(source="a", state="done", taken=f"{n:06}") for n in range(MOST_KEPT + 3)]
    for job in [*jobs, waiting := Job(source="b", taken="0")]:
        (tmp_path / f"{job.id}.json").write_text(__import__("json").dumps(vars(job)))
    book.forget_old()
    assert len(book.all()) == MOST_KEPT + 1 and book.read(waiting.id) == waiting and book.read(jobs[0].id) is None


@pytest.mark.parametrize("identity", ["", "../store", "x" * 32 + "/..", "é" * 32, "0" * 31])
def test_an_id_that_is_none_finds_no_file(tmp_path, identity):
    assert JobBook(tmp_path).read(identity) is None
