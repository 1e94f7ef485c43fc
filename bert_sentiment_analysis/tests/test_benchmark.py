"""The benchmarks end with the keys of the contract, and their peers compute what we do."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from bert_sentiment_analysis import benchmark, shipped_weights, speed
from bert_sentiment_analysis.config import TrainingConfig
from bert_sentiment_analysis.models.batches import predict_logits
from bert_sentiment_analysis.models.bert_classifier import TextClassifier
from bert_sentiment_analysis.speed import as_pipeline, prediction_speeds, training_speeds
from shared.datasets import Example
from shared.files import write_json
from shared.runs import RunFolder

TEXTS = ["a good film", "bad", "the plot is great and the actor was very good", "dull scene", "awful"] * 3


@pytest.fixture
def classifier(tiny_encoder) -> TextClassifier:
    return TextClassifier.from_pretrained(str(tiny_encoder("bert")), max_length=16, overlap=4).eval()


@pytest.fixture
def reviews(tmp_path) -> str:
    lines = [f"the film is {('bad', 'good')[i % 2]} {chr(97 + i % 26)}{chr(97 + i // 26)},{i % 2}" for i in range(400)]
    file = tmp_path / "reviews.csv"
    file.write_text("text,label\n" + "\n".join(lines) + "\n")
    return str(file)


@pytest.fixture
def bar(monkeypatch) -> list[int]:
    """What the progress bar was told."""
    told: list[int] = []
    monkeypatch.setattr(speed, "progress_bar", lambda title, total: nullcontext(told.append))
    return told


def test_the_pipeline_answers_as_we_do(classifier):
    answers = as_pipeline(classifier)(TEXTS, batch_size=4, truncation=True)
    assert [int(answer["label"]) for answer in answers] == predict_logits(classifier, TEXTS).argmax(1).tolist()
    logits = predict_logits(classifier, TEXTS)
    best = np.exp(logits).max(1) / np.exp(logits).sum(1)
    assert [answer["score"] for answer in answers] == pytest.approx(best.tolist(), abs=1e-5)


def test_prediction_speeds_have_a_row_a_way_and_count_equal_answers(classifier, bar):
    rows = prediction_speeds(classifier, TEXTS, turns=1)
    assert [row["way"] for row in rows][:3] == ["ours", "ours, fp32", "pipeline, fp32, batch 1"]
    assert rows[0]["our_speed_up"] == rows[0]["same_answers"] == 1.0
    assert bar == list(range(1, len(rows) + 1))
    fp32 = [row["same_answers"] for row in rows if "bf16" not in row["way"]]
    assert len(fp32) == 6 and set(fp32) == {1.0}
    assert [row["way"] for row in rows[6:]] == ["pipeline, bf16, batch 1", "pipeline, bf16, batch 8"]


def test_training_speeds_have_a_row_a_way(tiny_encoder, reviews, bar):
    config = TrainingConfig(
        model=str(tiny_encoder("bert")), dataset=reviews, batch_size=4, max_length=16, overlap=4, device="cpu"
    )
    rows = training_speeds(config, turns=1)
    ways = ["ours", "ours, all weights and dropout", "Trainer", "Trainer, padded to the limit"]
    assert [row["way"] for row in rows] == ways and bar == [1, 2, 3, 4]
    assert rows[0]["our_speed_up"] == 1.0 and all(row["examples_per_s"] > 0 for row in rows)


def test_fine_tune_and_domains_end_with_the_contracts_keys(classifier, tiny_encoder, tmp_path, monkeypatch, capsys):
    for name, head in (("english-sentiment", "classification"), ("english-ratings", "rating")):
        model = TextClassifier.from_pretrained(str(tiny_encoder("bert")), max_length=16, overlap=4, head=head)
        model.save(tmp_path / name)
        (tmp_path / name / "train_ids.sha256").write_text("")
    monkeypatch.chdir(tmp_path)  # the benchmark keeps its run below the current folder
    monkeypatch.setattr(benchmark, "run_path", lambda name: tmp_path / name)
    trained: list[TrainingConfig] = []

    def finish(config: TrainingConfig, folder: Path) -> RunFolder:
        trained.append(config)
        write_json(tmp_path / "english-sentiment" / "summary.json", {"seconds": 2.5})
        return RunFolder(tmp_path / "english-sentiment")

    monkeypatch.setattr("bert_sentiment_analysis.train.finish", finish)
    tests = [Example(text, label=i % 2, rating=float(i % 5 - 2)) for i, text in enumerate(TEXTS)]
    monkeypatch.setattr(shipped_weights, "unseen_tests", lambda run, names, head: ({n: tests for n in names}, 0))
    rates = [{"way": str(i), "examples_per_s": 6.0 / i, "our_speed_up": float(i)} for i in (1, 2, 3, 4)]
    monkeypatch.setattr(speed, "training_speeds", lambda config, turns: rates)

    def run(*arguments: str) -> dict:
        monkeypatch.setattr("sys.argv", ["benchmark", *arguments])
        benchmark.main()
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    result = run("fine_tune")
    asked = {"dataset", "accuracy", "accuracy_report_half", "n_test", "examples_per_s", "baseline_examples_per_s"}
    asked |= {"padded_examples_per_s", "seconds", "seed", "threads", "n_excluded"}
    assert asked <= result.keys()
    assert (result["n_test"], result["n_excluded"], result["examples_per_s"]) == (len(TEXTS), 0, 6.0)
    assert (result["baseline_examples_per_s"], result["padded_examples_per_s"]) == (2.0, 1.5)
    assert (result["speed_up"], result["padded_speed_up"]) == (3.0, 4.0)
    assert result["train_seconds"] == 2.5 and trained[0].targets == "ratings"
    assert run("fine_tune", "--dataset", "imdb")["dataset"] == trained[1].dataset == "imdb"
    result = run("domains")
    assert {"pearson_r", "accuracy", "n_test", "n_excluded"} <= result.keys()
    assert result["pearson_r"].keys() == {"tweets", "movie_snippets", "amazon", "nyt"}


def test_predict_ends_with_the_contracts_keys(classifier, monkeypatch, capsys):
    monkeypatch.setattr(TextClassifier, "load", lambda name: classifier)
    monkeypatch.setattr(speed, "mixed_texts", lambda n, classifier, seed: TEXTS)
    monkeypatch.setattr("sys.argv", ["benchmark", "predict", "--turns", "1"])
    benchmark.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"texts_per_s", "pipeline_texts_per_s", "pipeline_best_texts_per_s"} <= result.keys()
    assert result["pipeline_best_texts_per_s"] >= result["pipeline_texts_per_s"] and result["same_answers"] == 1.0


def test_another_set_is_kept_beside_the_first():
    assert benchmark.FineTuneConfig().variant == ""
    assert benchmark.FineTuneConfig(dataset="imdb").variant == "_imdb"
    assert benchmark.FineTuneConfig(dataset="my/own.csv").variant == "_own"
