"""The recipe of the shipped adapters, run whole over a tiny encoder, and the weights that ship."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from bert_sentiment_analysis import shipped_weights
from bert_sentiment_analysis.config import DEFAULT_RUN, SHIPPED, TrainingConfig
from bert_sentiment_analysis.data import imdb_dataset
from bert_sentiment_analysis.inference.predictor import Predictor
from bert_sentiment_analysis.models import trainer
from bert_sentiment_analysis.models.bert_classifier import TextClassifier
from bert_sentiment_analysis.shipped_weights import (
    HELD_OUT,
    PARTNERS,
    RANK,
    STAGES,
    TESTS,
    encoder_of,
    ship,
    train_stage,
    unseen_tests,
)
from shared import splits
from shared.datasets import Example
from shared.errors import UserError
from shared.leaks import TRAIN_IDS, load_ids, text_ids
from shared.splits import Splits


def part(name: str, side: str, n: int = 16) -> list[Example]:
    words = {0: ("bad", -2.0), 1: ("good", 2.0)}
    return [
        Example(f"the {words[i % 2][0]} film {name} {side} {chr(97 + i)}", label=i % 2, rating=words[i % 2][1])
        for i in range(n)
    ]


def tiny_splits(name: str, **_) -> Splits:
    return Splits(name, *(part(name, side) for side in ("train", "validation", "test")))


@pytest.fixture
def recipe(monkeypatch, tiny_encoder):
    """The recipe's stages over tiny encoders and tiny sets."""
    for module in (imdb_dataset, trainer):
        monkeypatch.setattr(module, "load_splits", tiny_splits)
    for module in (splits, trainer):
        monkeypatch.setattr(module, "load_rated", lambda names: {name: tiny_splits(name) for name in names})
    tiny = {"minilm": str(tiny_encoder("bert")), "smollm2": str(tiny_encoder("llama"))}
    small = {"max_length": 16, "overlap": 4, "device": "cpu", "precision": "fp32"}
    monkeypatch.setattr(shipped_weights, "COMMON", {**shipped_weights.COMMON, **small})
    for name, stage in STAGES.items():
        model = tiny.get(stage["model"], stage["model"])
        monkeypatch.setitem(STAGES, name, {**stage, "model": model, "epochs": 1, "evaluations": 1})
    for encoder, folder in tiny.items():
        monkeypatch.setitem(RANK, folder, 2)
        monkeypatch.setitem(shipped_weights.FULL_NAME, folder, encoder)


def stages_of(name: str) -> list[str]:
    """The stage, those before it, and those of its partner."""
    if name not in STAGES:
        return []
    partner = PARTNERS[name][0] if name in PARTNERS else ""
    return [name, *stages_of(STAGES[name]["model"]), *stages_of(partner)]


@pytest.mark.parametrize("name", TESTS)
def test_a_recipe_leaves_an_adapter_with_card_ids_and_answers(name, recipe, tmp_path):
    target = tmp_path / "weights" / name
    summary = ship(name, tmp_path / "runs", target.parent)
    assert {weight.dtype.itemsize for weight in load_file(target / "model.safetensors").values()} == {2}
    assert summary["n_test"].keys() == set(TESTS[name]) and summary["n_excluded"] == 0
    assert summary["model"] == Path(STAGES[name]["model"]).name
    assert str(tmp_path / "runs") not in (target / "config.json").read_text()
    assert f"--name {name}" in (target / "README.md").read_text()
    trained_on = {each for stage in stages_of(name) for each in STAGES[stage]["dataset"].split(",")}
    assert load_ids(target) == set(text_ids(row.text for name in trained_on for row in part(name, "train")))
    answers = json.loads((target / HELD_OUT).read_text())
    given = answers["predicted"] if "predicted" in answers else answers["probabilities"]
    assert len(given) == 16
    assert Predictor.load(target).predict(["a good film"])[0].error is None


def test_what_has_ended_is_not_trained_again(recipe, tmp_path, monkeypatch):
    run = train_stage("english-ratings", tmp_path)
    before = (run.path / "summary.json").read_bytes()
    monkeypatch.setattr("bert_sentiment_analysis.train.run_training", lambda *_: pytest.fail("trained again"))
    assert train_stage("english-ratings", tmp_path).path == run.path
    assert (run.path / "summary.json").read_bytes() == before


def test_no_text_is_scored_that_was_trained_on(recipe, tmp_path):
    test = part("imdb", "test")
    (tmp_path / TRAIN_IDS).write_text("\n".join(text_ids(example.text for example in test[:5])))
    tests, n_excluded = unseen_tests(tmp_path, ["imdb"], "classification")
    assert (tests["imdb"], n_excluded) == (test[5:], 5)
    (tmp_path / TRAIN_IDS).write_text("\n".join(text_ids(example.text for example in test)))
    with pytest.raises(UserError, match="nothing left to test on"):
        unseen_tests(tmp_path, ["imdb"], "classification")


shipped = pytest.mark.skipif(not SHIPPED.is_dir(), reason="the weights are not in this checkout")


@shipped
@pytest.mark.network
@pytest.mark.parametrize("name", TESTS)
def test_what_ships_is_small_described_and_upon_the_packaged_encoder(name):
    folder = SHIPPED / name
    assert (folder / "model.safetensors").stat().st_size <= 4_000_000
    assert json.loads((folder / "classifier.json").read_text())["base"] == encoder_of(name)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["n_excluded"] == 0 and f"{summary['date']}" in (folder / "README.md").read_text()
    assert TrainingConfig(**json.loads((folder / "config.json").read_text())).lora_rank == RANK[encoder_of(name)]


@shipped
@pytest.mark.network
def test_the_shipped_classifier_answers_well_right_after_installation():
    predictor = Predictor.load(DEFAULT_RUN, abstain_below=0.0)
    texts = ["A film to love.", "Dull, long and badly acted.", "not bad at all", "The charger died after two days."]
    assert [found.label for found in predictor.predict(texts)] == ["positive", "negative", "positive", "negative"]
    rated = Predictor.load("english-ratings").predict(["I love this!", "I hate this."])
    assert rated[0].rating > 1.5 and rated[1].rating < -1.5


@shipped
@pytest.mark.network
@pytest.mark.slow
def test_the_card_says_what_is_measured():
    from bert_sentiment_analysis.models.outcome import test_scores

    folder = SHIPPED / DEFAULT_RUN
    tests, _ = unseen_tests(folder, ["rotten_tomatoes"], "classification")
    found = test_scores(TextClassifier.load(folder), tests)["accuracy"]
    told = json.loads((folder / "summary.json").read_text())["accuracy"]["rotten_tomatoes"]
    assert found == pytest.approx(told, abs=0.002)
    assert Path(folder / "README.md").read_text().count(f"{told:.3f}") >= 1
