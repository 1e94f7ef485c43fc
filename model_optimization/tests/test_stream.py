"""A stream in windows: however it comes in, and whenever it is killed, each text is judged once."""

import json
import os

import numpy as np
import pytest

from model_optimization.monitoring import stream as module
from model_optimization.monitoring.readings import UNKNOWN, Readings, join
from model_optimization.monitoring.stream import PENDING, WINDOWS, Stream, chain
from shared.errors import UserError


class Killed(BaseException):
    pass


def make(n, first=0, labelled=False):
    """Rows whose length is their number, so that a window shows which ones it has."""
    draw = np.random.default_rng(first)
    positive = draw.random(n).astype(np.float32)
    labels = (positive > 0.3).astype(np.int16) if labelled else np.full(n, UNKNOWN, np.int16)
    vectors = draw.normal(size=(n, 8)).astype(np.float16)
    return Readings(vectors, np.stack([1 - positive, positive], 1), np.arange(first, first + n, dtype=np.int32), labels)


REFERENCE = make(60, first=1000)
TEXTS = [f"text {i}" for i in range(110)]
READINGS = join(*(make(10, first=10 * i) for i in range(11)))


def begin(folder, window=30, **changes):
    rules = {"window": window, "alpha": 0.05, "n_permutations": 120, "seed": 0, "about": "films"}
    return Stream(REFERENCE, folder, **{**rules, **changes})


def feed(stream, upto=110, step=110):
    """What it has not seen yet, so many texts at a time."""
    list(stream.judge_full())
    while stream.seen < upto:
        part = slice(stream.seen, min(stream.seen + step, upto))
        stream.add(READINGS[part], TEXTS[part])
        list(stream.judge_full())
    return stream


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return feed(begin(tmp_path_factory.mktemp("whole"))).lines


def test_windows_follow_each_other_and_the_rest_waits(tmp_path):
    stream = feed(begin(tmp_path))
    assert [(line["window"], line["first"], line["last"]) for line in stream.lines] == [
        (1, 1, 30),
        (2, 31, 60),
        (3, 61, 90),
    ]
    assert stream.pending.lengths.tolist() == list(range(90, 110)) and stream.seen == 110
    assert [json.loads(line) for line in (tmp_path / WINDOWS).read_text().splitlines()] == stream.lines


@pytest.mark.parametrize("step", [1, 7, 30, 60, 110])
def test_the_verdicts_do_not_depend_on_how_many_texts_come_at_once_nor_on_restarts(tmp_path, whole, step):
    for upto in range(step, 110 + step, step):
        stream = feed(begin(tmp_path), min(upto, 110), step)  # begun anew each time
    assert stream.lines == whole and begin(tmp_path).lines == whole


@pytest.mark.parametrize("function, call", [("_keep", n) for n in range(1, 6)] + [("_judge", n) for n in range(1, 4)])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_at_any_moment_loses_no_text_and_repeats_no_window(tmp_path, whole, monkeypatch, function, call, moment):
    real, calls = getattr(Stream, function), []

    def die(self, *arguments):
        calls.append(1)
        if len(calls) == call and moment == "before":
            raise Killed
        found = real(self, *arguments)
        if len(calls) == call:
            raise Killed
        return found

    monkeypatch.setattr(Stream, function, die)
    with pytest.raises(Killed):
        feed(begin(tmp_path), step=70)
    monkeypatch.undo()
    assert feed(begin(tmp_path), step=70).lines == whole
    assert [json.loads(line) for line in (tmp_path / WINDOWS).read_text().splitlines()] == whole


def test_a_line_that_a_kill_cut_short_is_written_anew(tmp_path, whole, monkeypatch):
    feed(begin(tmp_path), 20)
    real = Stream._judge

    def die(self, window):
        real(self, window)
        file = self.folder / WINDOWS
        os.truncate(file, file.stat().st_size - 9)
        raise Killed

    monkeypatch.setattr(Stream, "_judge", die)
    with pytest.raises(Killed):
        feed(begin(tmp_path))
    monkeypatch.undo()
    assert feed(begin(tmp_path)).lines == whole
    assert [json.loads(line) for line in (tmp_path / WINDOWS).read_text().splitlines()] == whole


def test_a_full_disk_is_told_and_the_stream_goes_on_later(tmp_path, whole, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        feed(begin(tmp_path))
    monkeypatch.undo()
    assert feed(begin(tmp_path)).lines == whole


@pytest.mark.parametrize(
    "changes", [{"window": 40}, {"alpha": 0.01}, {"n_permutations": 200}, {"seed": 1}, {"about": "tweets"}]
)
def test_a_stream_goes_on_by_the_same_rules_only(tmp_path, changes):
    feed(begin(tmp_path))
    with pytest.raises(UserError, match="holds a stream with window 30, alpha 0.05.*another --output"):
        begin(tmp_path, **changes)


@pytest.mark.parametrize(
    "spoil, named",
    [
        (lambda folder: (folder / PENDING).write_bytes(b"spoilt"), "damaged"),
        (lambda folder: (folder / PENDING).unlink(), "pending.safetensors is missing"),
        (lambda folder: (folder / WINDOWS).unlink(), "do not fit each other"),
        (lambda folder: (folder / WINDOWS).write_text("{\n"), "not valid JSON"),
        (lambda folder: (folder / WINDOWS).write_text((folder / WINDOWS).read_text() * 2), "do not fit each other"),
    ],
)
def test_a_damaged_state_is_one_clear_line(tmp_path, spoil, named):
    feed(begin(tmp_path))
    spoil(tmp_path)
    with pytest.raises(UserError, match=named) as caught:
        begin(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_state_without_its_story_is_one_clear_line(tmp_path):
    from model_optimization.monitoring.readings import save_tensors

    save_tensors(tmp_path / PENDING, READINGS[:5])
    with pytest.raises(UserError, match="does not say which texts"):
        begin(tmp_path)


def test_the_true_accuracy_stands_there_where_every_text_of_the_window_has_a_label(tmp_path):
    stream = begin(tmp_path)
    readings = join(make(30, 1, labelled=True), make(15, 2, labelled=True), make(15, 3))
    stream.add(readings, TEXTS[:60])
    labelled, partly = stream.judge_full()
    assert labelled["accuracy"] == readings[:30].right.mean() and partly["accuracy"] is None


def test_the_hash_of_all_texts_tells_any_change_and_does_not_ask_where_it_was_cut():
    assert chain(chain("", TEXTS[:7]), TEXTS[7:]) == chain("", TEXTS)
    for other in (TEXTS[1:], TEXTS[::-1], [*TEXTS[:-1], "text"], ["te", "xt 0", *TEXTS[1:]]):
        assert chain("", other) != chain("", TEXTS)
    assert chain("", ["\ud800"]), "half of a surrogate pair is no fault of ours"
