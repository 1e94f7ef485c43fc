"""The benchmark of the monitor on made-up pools: which texts stand in which window, and what the rates are of."""

from dataclasses import replace

import numpy as np
import pytest

from model_optimization.benchmark import DriftPowerConfig
from model_optimization.monitoring import drift_power, make_reference
from model_optimization.monitoring.drift_power import SHARES, SHIFTS, alarms, false_alarms, measure, other_films
from model_optimization.monitoring.readings import Readings, save
from shared.datasets import Example
from shared.errors import UserError
from shared.phrases import has_phrase

CONFIG = DriftPowerConfig(window=40, n_reference=100, n_windows=12, n_power=4)


def make(n, first, shift=0.0):
    """Rows whose length is a number of their own."""
    draw = np.random.default_rng(first)
    positive = draw.beta(0.5, 0.5, n)
    vectors = draw.normal(size=(n, 12)) + shift
    labels = (draw.random(n) < positive).astype(np.int16)
    return Readings(np.float16(vectors), np.stack([1 - positive, positive], 1), first + np.arange(n), labels)


POOLS = {"rotten_tomatoes": make(230, 0), "imdb": make(300, 1000)} | {
    kind: make(90, 10_000 * (i + 1), 2.0) for i, kind in enumerate(SHIFTS)
}


@pytest.fixture
def judged(monkeypatch):
    """Every pair of reference and window that is judged."""
    pairs, real = [], drift_power.judge

    def keep(reference, window, *rest, **named):
        pairs.append((reference.lengths, window.lengths))
        return real(reference, window, *rest, **{**named, "n_permutations": 139})

    monkeypatch.setattr(drift_power, "judge", keep)
    return pairs


def test_no_window_has_a_text_of_its_reference_or_of_another_window_of_the_trial(judged):
    found = false_alarms(POOLS["rotten_tomatoes"], CONFIG, "sentences")
    assert len(found["verdict"]) == 12 == len(judged), "four trials of three windows"
    for start in range(0, 12, 3):
        reference = judged[start][0]
        windows = [window for _, window in judged[start : start + 3]]
        assert all((other == reference).all() for other, _ in judged[start : start + 3])
        texts = np.concatenate([reference, *windows])
        assert len(texts) == len(set(texts)) == 100 + 3 * 40
    assert set(judged[0][0]) != set(judged[3][0]), "each trial has a reference of its own"


def test_all_windows_of_the_last_trial_count_too(judged):
    assert len(false_alarms(POOLS["rotten_tomatoes"], replace(CONFIG, n_windows=10), "sentences")["verdict"]) == 12


def test_a_pool_without_room_for_a_window_is_one_clear_line():
    with pytest.raises(UserError, match="230 held-out texts are too few for a reference of 200 and a window of 40"):
        false_alarms(POOLS["rotten_tomatoes"], replace(CONFIG, n_reference=200), "sentences")


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_a_mixed_window_has_exactly_its_share_of_other_texts_each_once(judged, share):
    alarms(POOLS, "nyt", share, CONFIG)
    assert len(judged) == 4
    for reference, window in judged:
        assert len(set(window)) == 40 and (window >= 10_000).sum() == round(share * 40)
        assert not set(window) & set(reference)


def test_windows_of_other_films_come_from_other_blocks_of_each_label(judged):
    other_films(POOLS["imdb"], CONFIG)
    assert len(judged) == 2
    for reference, window in judged:
        blocks = [set((rows - 1000) // 30 % 5) for rows in (reference, window)]
        assert len(blocks[0]) == 3 and len(blocks[1]) == 2 and not blocks[0] & blocks[1]


def test_the_line_has_what_the_design_asks_for_and_every_rate_is_one(judged, monkeypatch):
    monkeypatch.setattr(drift_power, "held_out", lambda folder, subject, about, name, part, n=None: (POOLS[name], 1))
    monkeypatch.setattr("model_optimization.monitoring.make_reference.load_classifier", lambda run: (None, {}))
    result, rows = measure(replace(CONFIG, n_windows=30))
    assert result["n_windows"] == 60 and result["window"] == 40
    assert result["false_alarm_rate"] <= 0.15
    assert result["power"] == dict.fromkeys(SHIFTS, 1.0)
    for kind in SHIFTS:
        curve = result["power_by_share"][kind]
        assert [float(share) for share in curve] == list(SHARES) and curve["1"] == 1.0
        assert curve["0.05"] < 1
        true = POOLS[kind].right.mean()
        assert result["accuracy"][kind] == true
        assert result["accuracy_loss"][kind] == pytest.approx(result["reference_accuracy"] - true)
        assert result["estimated_accuracy"][kind] == result["estimates"]["average_confidence"][kind]
    assert result["n_excluded"] == 5 and result["judge_ms"] > 0
    assert rows[0]["test"] == "verdict" and rows[0]["false_alarm_rate"] == result["false_alarm_rate"]
    assert rows[0]["nyt_30"] == result["power_by_share"]["nyt"]["0.3"]
    assert all(has_phrase(f"column.{name}") for name in rows[0])
    assert {row["test"] for row in rows} >= {"mmd", "classifier", "ks_score", "psi_length", "psi_score > .1"}
    assert all(0 <= value <= 1 for row in rows for name, value in row.items() if name != "test")
    assert result["single_tests"]["ks_length"]["power_by_share"]["tweets"]["1"] == 1.0


def test_readings_are_made_once_for_a_classifier(subject, tmp_path, monkeypatch):
    examples = [Example(f"a film {i}", i % 2) for i in range(30)]
    sets = type("Splits", (), {"parts": {"test": examples}})
    monkeypatch.setattr(drift_power, "load_packaged", lambda name: sets)
    made = []
    real = make_reference.read_examples
    monkeypatch.setattr(
        "model_optimization.monitoring.make_reference.read_examples",
        lambda *arguments: made.append(1) or real(*arguments),
    )

    def held_out(classifier="abc", n=None):
        return drift_power.held_out(tmp_path, subject, {"classifier": classifier}, "tweets", "test", n)

    first, excluded = held_out()
    again, _ = held_out()
    assert made == [1] and excluded == 0 and (first.vectors == again.vectors).all()
    held_out("def")
    held_out("def", 10)
    save(tmp_path / "tweets_test", first[:10], {"classifier": "def"})
    (tmp_path / "tweets_test/readings.safetensors").write_bytes(b"spoilt")
    assert len(held_out("def", 10)[0]) == 10 and len(made) == 4


def test_the_error_of_a_rate_is_that_of_the_trials():
    # Trials of two windows with the rates 0, 1 and .5: their standard deviation .5 by the root of 3.
    assert drift_power._error([False, False, True, True, True, False], 2) == pytest.approx(0.5 / 3**0.5)
    assert drift_power._error([True, False], 2) is None
