"""The index on the disk: it survives being killed, forgets nothing and keeps nothing that is gone."""

import os
import random
import signal
import sqlite3
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_llm.clip_applications.image_index import FILE, Broken, ImageIndex, Photo
from shared.errors import UserError

WIDTH = 8
SETTINGS = {"space": "test", "fingerprint": "v1", "width": str(WIDTH)}


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(WIDTH)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def photo(name: str, version: int = 1) -> Photo:
    return Photo(f"/photos/{name}", version, version, f"{name}-{version}", version)


def put(index: ImageIndex, names: list[str], version: int = 1) -> None:
    index.put([photo(name, version) for name in names], np.stack([unit(hash_of(name, version)) for name in names]))


def hash_of(name: str, version: int) -> int:
    return zlib.crc32(f"{name}-{version}".encode())


@pytest.fixture
def index(tmp_path):
    opened = ImageIndex(tmp_path / "index", SETTINGS)
    yield opened
    opened.close()


def test_what_was_put_is_found_again_by_another_process(index):
    put(index, ["a", "b", "c"])
    again = ImageIndex(index.folder)
    assert len(again) == 3
    best = again.search(unit(hash_of("b", 1)), 1)[0]
    assert best.path == "/photos/b"
    assert best.cosine == pytest.approx(1, abs=2e-3)  # 16 bits


def test_search_equals_comparing_with_every_vector(index):
    names = [f"p{n}" for n in range(200)]
    put(index, names)
    index.reload()
    query = unit(7)
    stored = {name: index.vector(f"/photos/{name}") for name in names}
    expected = sorted(names, key=lambda name: -float(stored[name] @ query))[:10]
    found = index.search(query, 10)
    assert [one.path for one in found] == [f"/photos/{name}" for name in expected]
    assert [one.cosine for one in found] == pytest.approx([float(stored[name] @ query) for name in expected], abs=1e-4)


def test_the_first_look_in_8_bits_loses_nothing(tmp_path):
    random = np.random.default_rng(0)
    vectors = random.standard_normal((3000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = ImageIndex(tmp_path / "wide", {**SETTINGS, "width": "64"})
    index.put([photo(f"p{n}") for n in range(3000)], vectors)
    index.reload()
    stored = vectors.astype(np.float16).astype(np.float32)
    for query in vectors[:20] + 0.05:
        expected = np.argsort(-(stored @ query), kind="stable")[:50]
        assert [one.path for one in index.search(query, 50)] == [f"/photos/p{n}" for n in expected]
    index.close()


def test_a_changed_photo_has_one_vector_and_a_removed_one_none(index):
    put(index, ["a", "b"])
    put(index, ["a"], version=2)
    index.remove(["/photos/b"])
    index.reload()
    assert len(index) == 1
    assert index.vector("/photos/a") == pytest.approx(unit(hash_of("a", 2)), abs=1e-3)
    with pytest.raises(KeyError):
        index.vector("/photos/b")


def test_a_moved_photo_keeps_its_vector(index):
    put(index, ["a"])
    index.move([("/photos/a", Photo("/photos/new", 1, 5, "a-1", 1))])
    assert index.vector("/photos/new") == pytest.approx(unit(hash_of("a", 1)), abs=1e-3)
    assert list(index.photos()) == ["/photos/new"]


def test_a_broken_file_is_remembered_until_it_is_a_photo(index):
    index.put([], np.empty((0, WIDTH)), [Broken("/photos/a", 1, 1, "cut short")])
    assert index.broken()["/photos/a"].reason == "cut short"
    put(index, ["a"])
    assert not index.broken()


def test_places_of_photos_that_are_gone_are_given_back(index, monkeypatch):
    monkeypatch.setattr("multimodal_llm.clip_applications.image_index.LEAST_DEAD", 3)
    names = [f"p{n}" for n in range(20)]
    put(index, names)
    index.remove([f"/photos/{name}" for name in names[:15]])
    before = {path: index.vector(path) for path in index.photos()}
    index.compact()
    files = [file.name for file in index.folder.glob("vectors-*")]
    assert files == ["vectors-1.f16"]
    assert (index.folder / files[0]).stat().st_size == 5 * WIDTH * 2
    index.reload()
    for path, vector in before.items():
        assert (index.vector(path) == vector).all()


def test_an_empty_index_finds_nothing(index):
    assert index.search(unit(0), 5) == []
    assert len(index.usual(unit(0))) == 0


def test_another_space_or_no_index_is_refused(index, tmp_path):
    with pytest.raises(UserError, match="its fingerprint is v1, not v2"):
        ImageIndex(index.folder, {**SETTINGS, "fingerprint": "v2"})
    with pytest.raises(UserError, match="there is no index"):
        ImageIndex(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / FILE).write_bytes(b"this is no database, " * 100)
    with pytest.raises(UserError, match="is no index of photos"):
        ImageIndex(tmp_path / "other")


def test_vectors_cut_short_are_told(index):
    put(index, ["a", "b"])
    (index.folder / "vectors-0.f16").write_bytes(b"1234")
    with pytest.raises(UserError, match="missing or cut short"):
        ImageIndex(index.folder)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3)), max_size=25))
def test_after_any_changes_the_index_holds_the_last_state(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("any") / "index"
    index, state = ImageIndex(folder, SETTINGS), {}
    for name, version in changes:
        if version == 0:
            index.remove([f"/photos/{name}"])
            state.pop(name, None)
        else:
            put(index, [name], version)
            state[name] = version
    index.close()
    check_state(ImageIndex(folder), state)


def check_state(index: ImageIndex, state: dict[str, int]) -> None:
    assert {path.rsplit("/", 1)[1]: one.size for path, one in index.photos().items()} == state
    assert len(index) == len(state)
    for name, version in state.items():
        assert index.vector(f"/photos/{name}") == pytest.approx(unit(hash_of(name, version)), abs=1e-3)


def work(folder, seed: int, pipe: int) -> None:
    draw, index = random.Random(seed), ImageIndex(folder)
    while True:
        name, version = f"n{draw.randrange(6)}", draw.randrange(0, 9)
        os.write(pipe, f"try {name} {version}\n".encode())
        if version == 0:
            index.remove([f"/photos/{name}"])
        else:
            put(index, [name], version)
        if draw.random() < 0.2:
            index.compact()
        os.write(pipe, f"done {name} {version}\n".encode())


def test_it_survives_kill_9_in_the_middle_of_an_update(tmp_path, monkeypatch):
    """Every change that was acknowledged is there, and of the one under way all or nothing; vectors fit their rows."""
    monkeypatch.setattr("multimodal_llm.clip_applications.image_index.LEAST_DEAD", 2)
    draw, state, acknowledged = random.Random(0), {}, 0
    ImageIndex(tmp_path, SETTINGS).close()
    for number in range(12):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                work(tmp_path, number, writing)
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            heard = [pipe.readline() for _ in range(draw.randrange(2, 20))]
            time.sleep(draw.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            assert os.WIFSIGNALED(status), "the child ended by itself"
            lines = [line.split() for line in "".join([*heard, pipe.read()]).splitlines()]
        under_way = None
        for kind, name, version in lines:
            under_way = (name, int(version)) if kind == "try" else None
            if kind == "done":
                acknowledged += 1
                if int(version):
                    state[name] = int(version)
                else:
                    state.pop(name, None)
        index = ImageIndex(tmp_path)
        found = {path.rsplit("/", 1)[1]: one.size for path, one in index.photos().items()}
        if under_way and found != state:
            name, version = under_way
            if version:
                state[name] = version
            else:
                state.pop(name, None)
        check_state(index, state)
        assert index._rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        index.close()
    assert acknowledged > 20


def test_a_full_disk_is_one_clear_line_and_leaves_the_index_as_it_was(index):
    put(index, ["a"])
    index._rows.execute("PRAGMA max_page_count = 1")  # as many as there are
    with pytest.raises(UserError, match="could not be written .database or disk is full.: free some disk space"):
        put(index, [f"{number}" * 200 for number in range(100)])
    index.close()
    check_state(ImageIndex(index.folder), {"a": 1})


def test_a_writer_waits_for_another_and_then_says_so(index, monkeypatch):
    monkeypatch.setattr("multimodal_llm.clip_applications.image_index.WAIT_S", 0.05)
    other = ImageIndex(index.folder)
    blocker = sqlite3.connect(index.folder / FILE, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(UserError, match="another program writes to it"):
        put(other, ["a"])
    blocker.execute("ROLLBACK")
    put(other, ["a"])
