"""The numbers of a row follow from the seconds of its calls, and the calls are on texts from all over the set."""

import subprocess
import sys

import numpy as np
import pytest

from model_optimization import measurement
from model_optimization.measurement import BASELINE, measure
from model_optimization.runtime import VariantSettings
from shared.datasets import Example


class Fixed:
    """Answers every text with the second class."""

    folder, size_mb = None, 3.0

    def __init__(self, name, batch_independent=False):
        self.name, self.asked = name, []
        self.settings = VariantSettings("onnx", ("bad", "good"), 8, batch_independent=batch_independent)

    def logits(self, texts, batch_size=16):
        self.asked.append(list(texts))
        return np.tile([0.0, 1.0], (len(texts), 1))


def test_speeds_are_those_of_the_calls(monkeypatch):
    # Of the other one's two turns the first is 4 times as quick as the baseline and the second twice: 3 at the median.
    seconds = {BASELINE: [[0.04] * 10, [0.02] * 10], "quick": [[0.01] * 10, [0.01] * 9 + [0.03]]}
    monkeypatch.setattr(measurement, "_take_turns", lambda *_: seconds)
    monkeypatch.setattr(measurement, "peak_mb", lambda folder: 7.0)
    texts = [Example("a", label=1), Example("b", label=0), Example("c", label=1)]
    slow, quick = measure([Fixed(BASELINE), Fixed("quick")], texts, [4], 2, 0.01)
    assert quick["speed_up"] == pytest.approx(3) and slow["speed_up"] == 1
    assert quick["p50_ms"] == pytest.approx(10) and quick["p95_ms"] == pytest.approx(11)
    assert quick["texts_per_s"] == pytest.approx(4 * 20 / 0.22) and slow["texts_per_s"] == pytest.approx(4 * 20 / 0.6)
    assert (slow["batch"], slow["size_mb"], slow["peak_mb"]) == (4, 3.0, 7.0)
    assert slow["accuracy"] == pytest.approx(2 / 3)


def test_accuracy_is_taken_at_every_batch_size_where_that_may_change_it_and_else_once(monkeypatch):
    monkeypatch.setattr(measurement, "_take_turns", lambda variants, *_: {each.name: [[0.01]] for each in variants})
    monkeypatch.setattr(measurement, "peak_mb", lambda folder: 7.0)
    texts = [Example("a", label=1), Example("b", label=0), Example("c", label=1), Example("d", label=1)]
    whole, mixed = Fixed(BASELINE, batch_independent=True), Fixed("int8")
    mixed.logits = lambda texts, batch_size: np.tile([1.0, 0.0] if batch_size == 4 else [0.0, 1.0], (len(texts), 1))
    rows = {(row["method"], row["batch"]): row["accuracy"] for row in measure([whole, mixed], texts, [1, 4], 1, 0.01)}
    assert whole.asked == [["a", "b", "c", "d"]]
    assert rows == {(BASELINE, 1): 0.75, (BASELINE, 4): 0.75, ("int8", 1): 0.75, ("int8", 4): 0.25}


def test_what_is_timed_lies_evenly_over_the_whole_set(monkeypatch):
    monkeypatch.setattr(measurement, "N_TIMED", {2: 10})
    variant = Fixed("one")
    measurement._take_turns([variant], [str(i) for i in range(100)], 2, 1)
    asked = [int(text) for call in variant.asked[1:] for text in call]
    assert asked == [11 * i for i in range(10)], "from the first to the last"


def test_the_peak_is_the_most_memory_ever_and_not_what_is_left_of_it():
    program = "from model_optimization.measurement import _own_peak_kilobytes as peak\n"
    program += "block = bytearray(300_000_000); del block; print(peak() * 1024 / 1e6)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 300 < float(done.stdout) < 600
