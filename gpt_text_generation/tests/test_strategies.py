"""The comparison of strategies: equal budgets, the nearest to people chosen, intervals over blocks."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from gpt_text_generation import strategies as module
from gpt_text_generation.decoding import generation_configs, settings_for
from gpt_text_generation.evaluation.samples import Sample
from gpt_text_generation.strategies import (
    GRIDS,
    HUMAN,
    MEASURES,
    StrategiesConfig,
    described,
    distance,
    measure_block,
    openings,
    strategies,
    summary,
)
from gpt_text_generation.strategy_figure import _away_from_neighbours, draw_strategies
from shared.config import parse_config
from shared.datasets import Example
from shared.errors import UserError
from shared.language_model import load_language_model

WORDS = "the cat sat on the mat and the dog ran after the cat".split()


@pytest.fixture
def model(tiny_language_model):
    return load_language_model(str(tiny_language_model("llama")), "transformers")


@pytest.fixture
def reviews(monkeypatch):
    """Reviews of shuffled words, long enough but for every third."""
    draws = np.random.default_rng(0)
    texts = [" ".join(draws.permutation(WORDS * (1 if number % 3 == 0 else 4))) for number in range(60)]
    monkeypatch.setattr(module, "load_examples", lambda name: [Example(f"{text}<br /><br />the end") for text in texts])


@pytest.fixture
def encoder(monkeypatch):
    """Vectors of word counts in place of MiniLM's."""

    def encode(texts, **_):
        counts = np.array([[1.0, *(text.split().count(word) for word in WORDS)] for text in texts])
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    monkeypatch.setattr("shared.text_encoder.load_text_encoder", lambda name: SimpleNamespace(encode=encode))


def test_texts_longer_than_the_window_are_refused_before_any_is_written(tiny_language_model):
    with pytest.raises(UserError, match="--new_tokens 100: with an opening more than the window of 128"):
        strategies(StrategiesConfig(model=str(tiny_language_model("llama")), new_tokens=100))


def test_every_strategy_has_the_same_number_of_tries_and_its_own_settings_among_them():
    assert list(GRIDS) == list(generation_configs)
    assert {len(changes) for changes in GRIDS.values()} == {4}
    for strategy, changes in GRIDS.items():
        assert changes[0] == {}
        tried = [settings_for(strategy, **change) for change in changes]
        assert len(set(tried)) == 4


def test_openings_are_long_reviews_cut_in_two_and_no_two_blocks_share_one(model, reviews):
    config = StrategiesConfig(blocks=2, openings=3, prompt_tokens=6, new_tokens=20)
    blocks = openings(config, model)
    assert [len(block) for block in blocks] == [3, 3, 3]
    prompts = [sample.prompt for block in blocks for sample in block]
    assert len(set(prompts)) == 9
    for sample in blocks[0]:
        assert len(model.encode(sample.prompt)) <= 8 and "<br" not in sample.text and sample.source == HUMAN
    assert openings(config, model) == blocks
    assert openings(StrategiesConfig(blocks=2, openings=3, prompt_tokens=6, new_tokens=20, seed=1), model) != blocks
    with pytest.raises(UserError, match="--openings 50: only .* reviews are long enough"):
        openings(StrategiesConfig(blocks=2, openings=50, prompt_tokens=6, new_tokens=20), model)


def test_an_opening_is_the_review_without_what_the_web_page_added(model, monkeypatch):
    text = "Ji&#345;&iacute; &amp; the cat<br /><br />sat on the mat and the dog ran after the cat"
    monkeypatch.setattr(module, "load_examples", lambda name: [Example(text)] * 9)
    config = StrategiesConfig(blocks=2, openings=3, prompt_tokens=6, new_tokens=9)
    ((sample, *_), *_) = openings(config, model)
    assert "Jiří & the cat sat on the mat and the dog ran".startswith(sample.prompt + sample.text)


def test_distance_is_zero_for_the_same_and_adds_up():
    human = dict.fromkeys(MEASURES, 0.5) | {"perplexity": 20.0}
    assert distance(human, human) == 0
    assert distance(human | {"rep_4": 0.7, "perplexity": 10.0}, human) == pytest.approx(0.2 + math.log(2))


def test_one_text_that_is_long_enough_is_told_of_and_not_measured(model):
    """self-BLEU of a single text is none, and was once subtracted."""
    groups = {
        HUMAN: [Sample("the cat sat on the mat", "and", HUMAN)] * 3,
        "greedy 0": [Sample(text, "and", "greedy 0") for text in ("the", "the cat sat on the mat", "a cat")],
    }
    encoder = SimpleNamespace(encode=lambda texts: np.ones((len(texts), 1)))
    with pytest.raises(UserError, match="--openings 3: only 1 text of greedy 0 is long enough"):
        measure_block(groups, model, encoder)


def test_intervals_by_hand():
    """Mean 2, standard deviation 1, so the half width is 4.303 / sqrt(3) with two degrees of freedom."""
    found = summary([dict.fromkeys(MEASURES, value) for value in (1.0, 2.0, 3.0)])
    assert found["rep_4"] == 2
    assert found["rep_4_interval"] == pytest.approx([2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5], rel=1e-4)


def test_settings_are_told_in_words():
    assert described("sampling", {"temperature": 0.9}) == "temperature 0.9, top_k 50"
    assert described("greedy", {}) == "–"


def test_the_whole_comparison_and_it_goes_on_where_it_was_killed(
    tiny_language_model, reviews, encoder, tmp_path, monkeypatch
):
    how = {"model": str(tiny_language_model("llama")), "blocks": 2, "openings": 3, "prompt_tokens": 6, "new_tokens": 20}
    config = StrategiesConfig(**how, output=str(tmp_path / "run"))
    outcome = strategies(config)
    assert [row["strategy"] for row in outcome.rows] == [*GRIDS, HUMAN]
    for row in outcome.rows:
        for name in MEASURES:
            low, high = row[f"{name}_interval"]
            assert low <= row[name] <= high
        assert (row["tokens_per_s"] is None) == (row["strategy"] == HUMAN)
    kept = list((tmp_path / "run").iterdir())
    assert sorted(len(json.loads(file.read_text())["texts"]) for file in kept) == [1] * 9 + [3] * 9 * (4 + 2)
    assert [bool(row["sample"]) for row in outcome.rows] == [True] * 9 + [False]
    monkeypatch.setattr(module, "write_all", lambda *_, **how: pytest.fail("was written again"))
    again = strategies(config)
    drop = [{**row, "tokens_per_s": None} for row in again.rows]
    assert drop == [{**row, "tokens_per_s": None} for row in outcome.rows]


def test_the_chosen_settings_are_those_nearest_to_people(tiny_language_model, reviews, encoder, tmp_path, monkeypatch):
    def scores(groups, model, encoder):
        near = {"greedy 2", "sampling 3", HUMAN}
        return {name: dict.fromkeys(MEASURES, 0.5 if name in near else 0.9) | {"perplexity": 9.0} for name in groups}

    monkeypatch.setattr(module, "measure_block", scores)
    monkeypatch.setattr(module, "write_all", lambda model, prompts, *_, **how: ["x"] * len(prompts))
    how = {"model": str(tiny_language_model("llama")), "blocks": 2, "openings": 2, "prompt_tokens": 6, "new_tokens": 20}
    rows = {row["strategy"]: row for row in strategies(StrategiesConfig(**how, output=str(tmp_path))).rows}
    assert rows["greedy"]["settings"] == described("greedy", GRIDS["greedy"][2])
    assert rows["sampling"]["settings"] == described("sampling", GRIDS["sampling"][3])
    assert rows["nucleus"]["settings"] == described("nucleus", {})  # all alike: the first


def test_the_picture_is_written_whole(tmp_path):
    rows = [
        {"strategy": name, "distinct_2": 0.5, "distinct_2_interval": [0.4, 0.6], "perplexity": 9.0,
         "perplexity_interval": [-2.0, 20.0]}
        for name in ("greedy", HUMAN)
    ]  # fmt: skip
    draw_strategies(rows, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("flag", ["--blocks 1", "--openings 1", "--prompt_tokens 0", "--new_tokens 4"])
def test_settings_that_make_no_sense_are_one_clear_line(flag):
    with pytest.raises(UserError, match=f"{flag}: give at least"):
        parse_config(StrategiesConfig, flag.split())


def test_names_of_neighbours_in_the_picture_stand_on_different_sides():
    near = np.array([[0.90, 3.0], [0.91, 3.1], [0.2, 1.0]])
    assert _away_from_neighbours(near) == [-6, 6, -6]
    assert _away_from_neighbours(np.array([[0.5, 2.0], [0.5, 3.0]])) == [6, 6]
