"""The store is whole after every change, kill, full disk and second program, and searching sees it so."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qa_system.document_processor import vector_store
from qa_system.document_processor.documents import Box, Page, Span
from qa_system.document_processor.stored_form import searched_text
from qa_system.document_processor.vector_store import FILE, VectorStore
from shared.errors import UserError

WORKER = Path(__file__).with_name("store_worker.py")
CHECKOUT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT)}


@pytest.fixture
def store(tmp_path, hashed_words):
    opened = VectorStore(tmp_path / "store", hashed_words)
    yield opened
    opened.close()


def found(store, words):
    """The texts that have one of these terms, best first."""
    with store.view() as view:
        rows, _ = view.sparse.search(words.split(), 100)
        return [chunk.text for chunk in view.chunks(rows)]


def contents(store):
    """All that a reader can see, with the vectors of the index."""
    with store.view() as view:
        rows = view.rows_of([line.source for line in store.documents()])
        vectors = view.dense.vectors(rows).tolist() if view.dense is not None else []
        return store.documents(), view.chunks(rows), vectors, len(view.sparse), len(rows)


def test_what_is_added_is_found_updated_and_deleted(store, make_document):
    assert store.add(*make_document("a.txt", ["red wing", "blue engine"])) == "added"
    assert store.add(*make_document("b.txt", ["red heat"])) == "added"
    assert found(store, "red") == ["red wing", "red heat"]
    assert store.add(*make_document("a.txt", ["green wing"])) == "updated"
    assert found(store, "red blue") == ["red heat"]
    assert found(store, "green") == ["green wing"]
    assert store.delete("a.txt") == 1
    assert found(store, "green wing") == []
    assert store.delete("a.txt") == 0
    assert [line.source for line in store.documents()] == ["b.txt"]


def test_the_same_document_twice_changes_nothing(store, make_document):
    document = make_document("a.txt", ["one", "two"])
    store.add(*document)
    before = contents(store)
    assert store.add(*document) == "unchanged"
    assert contents(store) == before
    assert store.add(*document, split="shorter passages") == "updated"


def test_chunks_and_documents_come_back_as_they_were(store, make_document):
    document, chunks = make_document("纸.pdf", ["第一段", "second"], headings=("Title", "章"))
    boxes = (Box(2, 1.5, 2.5, 3.5, 4.5),)
    chunks = [replace(chunk, boxes=boxes) for chunk in chunks]
    spans = (Span(0, 3, boxes[0], heading=1), Span(5, 11))
    pages = (Page(1, 600, 800, "empty", "blank"), Page(2, 600, 800, "text"))
    document = replace(document, spans=spans, pages=pages)
    store.add(document, chunks, metadata={"shelf": 3})
    assert store.document("纸.pdf") == document
    assert store.document("other") is None
    with store.view() as view:
        assert view.chunks(view.rows_of(["纸.pdf"])) == chunks
    line = store.documents()[0]
    assert (line.pages, line.pages_without_text, line.chunks, line.metadata) == (2, 1, 2, {"shelf": 3})
    assert searched_text(chunks[0]) == "Title 章 第一段"
    assert set(found(store, "titl")) == {"第一段", "second"}
    with store.view() as view:
        assert view.are_chinese(view.rows_of(["纸.pdf"])).tolist() == [True, False]


def test_an_update_encodes_only_the_passages_that_changed(store, make_document, hashed_words, monkeypatch):
    store.add(*make_document("a.txt", ["one", "two", "three"]))
    asked = []
    encode = hashed_words.encoder.encode
    monkeypatch.setattr(
        hashed_words.encoder, "encode", lambda texts, *rest: asked.extend(texts) or encode(texts, *rest)
    )
    store.add(*make_document("a.txt", ["zero", "two", "three", "two"]))
    assert asked == ["zero"]
    with store.view() as view:
        rows = view.rows_of(["a.txt"])
        right = encode([chunk.text for chunk in view.chunks(rows)])
        assert view.dense.vectors(rows) == pytest.approx(right)


def test_vectors_from_elsewhere_are_taken_before_the_encoder_is_loaded(tmp_path, tiny_checkpoint, make_document):
    """A regression: the encoder was loaded while the lock was held that it needs itself."""
    opened = VectorStore(tmp_path, str(tiny_checkpoint))
    assert opened.add(*make_document("a.txt", ["one", "two"]), vectors=np.eye(8)[:2]) == "added"
    with opened.view() as view:
        assert view.dense.vectors(view.rows_of(["a.txt"])) == pytest.approx(np.eye(8)[:2])
    opened.close()


def test_a_document_without_passages_is_listed(store, make_document):
    store.add(*make_document("empty.txt", []))
    assert [(line.source, line.chunks) for line in store.documents()] == [("empty.txt", 0)]
    assert found(store, "anything") == []


def test_a_store_opened_again_holds_the_same(store, make_document, hashed_words):
    store.add(*make_document("a.txt", ["one wing", "two"]))
    store.add(*make_document("b.txt", ["three"]))
    store.delete("b.txt")
    again = VectorStore(store.folder, hashed_words, create=False)
    assert contents(again) == contents(store)
    again.close()


def test_another_opening_sees_every_change_at_its_next_search(store, make_document, hashed_words):
    other = VectorStore(store.folder, hashed_words)
    for version in range(5):
        store.add(*make_document("a.txt", [f"wing {version}"]))
        assert found(other, "wing") == [f"wing {version}"]
    store.delete("a.txt")
    assert found(other, "wing") == []
    other.close()


def test_a_view_stays_as_it_is_while_another_writes(store, make_document, hashed_words):
    store.add(*make_document("a.txt", ["old wing"]))
    other = VectorStore(store.folder, hashed_words)
    with store.view() as view:
        rows, _ = view.sparse.search(["wing"], 5)
        other.delete("a.txt")
        assert [chunk.text for chunk in view.chunks(rows)] == ["old wing"]
    assert found(store, "wing") == []
    other.close()


@pytest.mark.parametrize("name", ["embedding", "terms", "format"])
def test_a_store_of_another_model_or_analysis_is_refused(store, make_document, hashed_words, name):
    store.add(*make_document("a.txt", ["one"]))
    with sqlite3.connect(store.folder / FILE) as file:
        file.execute("UPDATE settings SET value = 'other' WHERE name = ?", (name,))
    with pytest.raises(UserError, match=f"its {name} is other"):
        VectorStore(store.folder, hashed_words)


def test_a_store_that_lost_the_width_of_its_vectors_is_damaged(store, make_document, hashed_words):
    store.add(*make_document("a.txt", ["one"]))
    with sqlite3.connect(store.folder / FILE) as file:
        file.execute("DELETE FROM settings WHERE name = 'width'")
    other = VectorStore(store.folder, hashed_words)
    with pytest.raises(UserError, match="damaged .*width.*: ingest anew"), other.view():
        pass
    other.close()


@pytest.mark.parametrize("change", [{"fingerprint": "v2"}, {"width": 32}])
def test_another_version_of_the_model_cannot_add(store, make_document, hashed_words, change):
    store.add(*make_document("a.txt", ["one"]))
    other = VectorStore(store.folder, replace(hashed_words, **change))
    with pytest.raises(UserError, match="another version"):
        other.add(*make_document("b.txt", ["two"]))
    assert [line.source for line in store.documents()] == ["a.txt"]
    other.close()


def test_no_store_and_no_file_of_sqlite_are_one_clear_line(tmp_path, hashed_words):
    with pytest.raises(UserError, match="there is no store"):
        VectorStore(tmp_path / "none", create=False)
    (tmp_path / FILE).write_bytes(b"this is no database" * 100)
    with pytest.raises(UserError, match="no readable store"):
        VectorStore(tmp_path, hashed_words)


def test_a_store_whose_making_was_cut_off_is_none_and_is_not_made_with_another_encoder_by_looking(
    tmp_path, hashed_words
):
    (tmp_path / FILE).touch()
    with pytest.raises(UserError, match="there is no store"):
        VectorStore(tmp_path, create=False)
    store = VectorStore(tmp_path, hashed_words)
    assert store.embedding == hashed_words.name
    store.close()


def test_a_second_writer_waits_or_is_told(store, make_document, hashed_words, monkeypatch):
    monkeypatch.setattr(vector_store, "WAIT_S", 0.2)
    other = VectorStore(store.folder, hashed_words)
    with store._transaction():
        with pytest.raises(UserError, match="another program has been writing"):
            other.add(*make_document("a.txt", ["one"]))
        assert found(other, "one") == []  # but reading goes on
    assert other.add(*make_document("a.txt", ["one"])) == "added"
    other.close()


def test_a_fault_in_the_middle_of_a_change_changes_nothing(store, make_document):
    document, chunks = make_document("a.txt", ["one", "two"])
    store.add(document, chunks)
    before = contents(store)
    newer, passages = make_document("a.txt", ["three", "four"])
    with pytest.raises(Exception, match="type"):
        store._replace(newer, "", {}, [(passages[0].id, "a.txt", "three", "{}", "three", b"", 0), (object(),) * 7])
    assert contents(store) == before


@pytest.mark.parametrize("limit", ["pages", "file size"])
def test_a_full_disk_leaves_the_store_whole(store, make_document, limit):
    store.add(*make_document("a.txt", ["one wing"]))
    before = contents(store)
    big = make_document("b.txt", [f"wing {n} {'x' * 2000}" for n in range(500)])
    if limit == "pages":  # SQLite's own fault for a full disk
        store._writer.execute("PRAGMA max_page_count = 30")
        with pytest.raises(UserError, match="free some disk space"):
            store.add(*big)
        store._writer.execute("PRAGMA max_page_count = 4294967294")
    else:  # a write that the system refuses
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # Python ignores SIGXFSZ
        try:
            with pytest.raises(UserError, match="free some disk space"):
                store.add(*big)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(store) == before
    assert store.add(*big) == "added"
    assert len(store) == 501


def kill_many(folder, kills, seed):
    done = subprocess.run(
        [sys.executable, str(WORKER), str(folder), "kill", str(kills), str(seed)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_ten_kills_lose_nothing_that_was_acknowledged(tmp_path):
    result = kill_many(tmp_path, 10, seed=0)
    assert result["kills"] == 10 and result["acknowledged"] >= 10


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing_that_was_acknowledged(tmp_path):
    result = kill_many(tmp_path, 200, seed=1)
    assert result["kills"] == 200 and result["acknowledged"] >= 400


def check_version(opened):
    """The version of a.txt that a search sees, after checking that it sees all of it and nothing else."""
    with opened.view() as view:
        rows, _ = view.sparse.search(["wing"], 100)
        near = view.dense.search(np.ones(16) / 4, 100)[0] if view.dense is not None else []
        texts = [chunk.text for chunk in view.chunks(rows)]
        assert sorted(near) == sorted(rows)
    versions = {int(text.split()[1]) for text in texts}
    assert len(versions) <= 1 and len(texts) == sum(versions)
    return sum(versions)


def test_searches_of_other_threads_see_each_version_whole_while_it_changes(store, make_document, hashed_words):
    other = VectorStore(store.folder, hashed_words)
    faults, searches, stop = [], [0], threading.Event()

    def search(opened):
        try:
            while not stop.is_set():
                check_version(opened)
                searches[0] += 1
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=search, args=(opened,)) for opened in (store, store, other)]
    for thread in threads:
        thread.start()
    for version in [*range(1, 25), *range(25, 0, -1)]:
        store.add(*make_document("a.txt", [f"wing {version} of {n}" for n in range(version)]))
    store.delete("a.txt")
    stop.set()
    for thread in threads:
        thread.join()
    assert not faults and searches[0] > 20
    assert check_version(other) == check_version(store) == 0
    other.close()


def test_searches_see_each_version_whole_while_another_process_changes_it(store):
    writer = subprocess.Popen([sys.executable, str(WORKER), str(store.folder), "update", "40"], env=ENVIRONMENT)
    seen = set()
    while writer.poll() is None:
        seen.add(check_version(store))
    assert writer.returncode == 0
    assert check_version(store) == 40 and len(seen) > 3


def test_writers_in_several_processes_lose_nothing(tmp_path, hashed_words):
    writers = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(tmp_path), "write", str(who)],
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
        )
        for who in range(3)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors.decode()
    store = VectorStore(tmp_path, hashed_words)
    assert len(store.documents()) == 45 and len(found(store, "wing")) == 45
    store.close()
