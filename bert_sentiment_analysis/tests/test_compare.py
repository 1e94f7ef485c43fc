"""The comparison: what is finished is not computed again, what cannot be had is said, and rows tell luck from skill."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bert_sentiment_analysis import compare as program
from bert_sentiment_analysis.compare import CompareConfig, compare, models_to_compare, score_table
from bert_sentiment_analysis.comparison import Contestant, baseline, fine_tuned, measure, table
from bert_sentiment_analysis.config import TrainingConfig
from bert_sentiment_analysis.data.imdb_dataset import load_splits
from bert_sentiment_analysis.models.baselines import Answers
from bert_sentiment_analysis.published import PUBLISHED, published_scores
from shared.datasets import Example
from shared.errors import UserError
from shared.leaks import save_ids
from shared.splits import Splits, evenly

ROOT = Path(__file__).parents[2]


@pytest.fixture
def films(tmp_path) -> str:
    lines = [
        f"the film {'bad' if i % 3 else 'good'} {chr(97 + i % 26)}{chr(97 + i // 26)},{int(i % 3 == 0)}"
        for i in range(200)
    ]
    file = tmp_path / "films.csv"
    file.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return str(file)


@pytest.fixture
def splits() -> Splits:
    test = [Example(f"text {i}", label=i % 2) for i in range(40)]
    return Splits("films/2024", test, test, test)


def wrong_on(n: int, calls: list | None = None, fault: Exception | None = None):
    """A model that is wrong on the first n texts."""

    def answer(splits: Splits, seed: int, folder: Path) -> Answers:
        if fault:
            raise fault
        if calls is not None:
            calls.append(seed)
        right = [example.label for example in splits.test]
        return Answers([1 - label if i < n + seed else label for i, label in enumerate(right)], 1.0, 2.0, 3)

    return answer


def rows_of(contestants: list[Contestant], splits: Splits, folder: Path, seeds=(0,)) -> list[dict]:
    return table(measure(contestants, splits, seeds, folder), splits.test)


def test_a_killed_comparison_goes_on_without_computing_anything_again(splits, tmp_path):
    calls: list[int] = []
    good = Contestant("good", wrong_on(2, calls))
    with pytest.raises(KeyboardInterrupt):
        measure([good, Contestant("killed", wrong_on(0, fault=KeyboardInterrupt()))], splits, [0, 1], tmp_path)
    first = rows_of([good], splits, tmp_path, (0, 1))
    again = rows_of([good, Contestant("killed", wrong_on(4))], splits, tmp_path, (0, 1))
    assert calls == [0, 1]
    assert [row["model"] for row in again] == ["good", "killed"]
    assert again[0]["accuracy"] == first[0]["accuracy"]


def test_scores_are_means_over_the_seeds_and_a_deterministic_model_is_asked_once(splits, tmp_path):
    calls: list[int] = []
    once = baseline("once", lambda splits, folder: wrong_on(8, calls)(splits, 0, folder))
    spread, single = rows_of([Contestant("seeds", wrong_on(0)), once], splits, tmp_path, (0, 2, 4))
    assert (spread["seeds"], single["seeds"], calls) == (3, 1, [0])
    assert spread["accuracy"] == pytest.approx(1 - 2 / 40)
    assert spread["spread"] == pytest.approx(np.std([0, 2 / 40, 4 / 40], ddof=1))
    assert single["spread"] is None
    assert spread["low"] < spread["accuracy"] < spread["high"]


def test_the_gap_to_the_best_is_tested_on_the_same_texts(splits, tmp_path):
    best, near, far = rows_of([Contestant(str(n), wrong_on(n)) for n in (0, 1, 20)], splits, tmp_path)
    assert best["p_holm"] is None and near["p_holm"] == 1 and far["p_holm"] < 0.001
    assert far["gap"] == pytest.approx(-0.5)


def test_a_p_too_small_for_a_float_is_printed_as_small(splits, tmp_path):
    rows = rows_of([Contestant(str(n), wrong_on(n)) for n in (0, 1)], splits, tmp_path)
    assert [row["p"] for row in score_table([rows[0], {**rows[1], "p_holm": 0.0}])] == ["–", "<.001"]


def test_a_model_out_of_reach_is_a_row_that_says_so_and_is_tried_again(splits, tmp_path):
    away = Contestant("away", wrong_on(0, fault=UserError("no hub")))
    rows = rows_of([away, Contestant("here", wrong_on(3))], splits, tmp_path)
    assert (rows[0]["source"], rows[0]["detail"], rows[0]["accuracy"]) == ("not measured", "no hub", None)
    assert rows[0].keys() == rows[1].keys()
    assert rows_of([Contestant("away", wrong_on(0))], splits, tmp_path)[0]["accuracy"] == 1


def test_answers_to_other_texts_are_refused(splits, tmp_path):
    model = [Contestant("model", wrong_on(0))]
    measure(model, splits, [0], tmp_path)
    with pytest.raises(UserError, match="other texts than films/2024 has now: start anew"):
        measure(model, replace(splits, test=splits.test[1:]), [0], tmp_path)


def test_an_unreachable_hub_does_not_fail_the_table(films, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("shared.hub.hub_is_reachable", lambda: False)
    (rows,) = compare(CompareConfig(models="majority,owner/no-such-encoder", datasets=films), tmp_path).values()
    assert [row["source"] for row in rows] == ["here", "not measured"]
    with pytest.raises(UserError, match="none could be measured .*no hub is in reach"):
        compare(CompareConfig(models="owner/no-such-encoder", datasets=films), tmp_path / "other")


def test_an_encoder_is_trained_and_answers_and_its_weights_are_thrown_away(films, tiny_encoder, tmp_path):
    encoder = str(tiny_encoder("bert"))
    training = TrainingConfig(model=encoder, epochs=1, max_length=16, overlap=4, device="cpu", tracking="none")
    splits = load_splits(films)
    (row,) = rows_of([fine_tuned("tiny", training)], splits, tmp_path / "run")
    assert row["n_test"] == len(splits.test) and row["params"] > 1000
    assert row["examples_per_s"] > 0 and row["texts_per_s"] > 0
    assert [path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()] == [".json"]


def test_an_encoder_that_was_trained_on_test_texts_is_not_measured(films, tiny_encoder, tmp_path):
    import shutil

    encoder = shutil.copytree(tiny_encoder("bert"), tmp_path / "encoder")
    splits = load_splits(films)
    save_ids(encoder, [splits.test[0].text])
    cells = measure([fine_tuned("seen", TrainingConfig(model=str(encoder)))], splits, [0], tmp_path / "run")
    assert "was trained on 1 of these test texts" in cells[0]["reason"]


def test_published_rows_stand_below_ours_with_their_source(monkeypatch, splits, tmp_path):
    monkeypatch.setattr("bert_sentiment_analysis.data.imdb_dataset.load_splits", lambda name: splits)
    config = CompareConfig(models="majority", datasets="rotten_tomatoes")
    ours, *theirs = compare(config, tmp_path)["rotten_tomatoes"]
    assert ours["source"] == "here" and {row["source"] for row in theirs} == {"TextAttack"}
    assert all(row["link"].startswith("https://") for row in theirs)
    assert all(row.keys() == ours.keys() for row in theirs)


def test_published_scores_are_known_by_the_hub_name_too():
    assert published_scores("stanfordnlp/imdb") == published_scores("imdb") != []
    assert published_scores("tweets") == []
    assert all(0.5 < row.accuracy < 1 for row in PUBLISHED)


def test_the_roadmaps_models_are_those_that_are_compared():
    assert list(models_to_compare) == [
        "bert-base-uncased",
        "roberta-base",
        "distilbert-base-uncased",
        "albert-base-v2",
        "minilm",
    ]
    for name, settings in models_to_compare.items():
        assert TrainingConfig(model=name, **settings).model == name


def test_a_sample_is_spread_evenly_from_the_first_to_the_last():
    numbers = list(range(100))
    assert evenly(numbers, 3) == [0, 50, 99]
    assert evenly(numbers, None) == evenly(numbers, 200) == numbers


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"models": "tfidf,"}, "--models 'tfidf,': give names with commas"),
        ({"datasets": "imdb,imdb"}, "--datasets imdb,imdb: name each only once"),
        ({"n_seeds": 0}, "--n_seeds 0"),
        ({"n_held_out": 1}, "--n_held_out 1: give at least 2 texts"),
    ],
)
def test_settings_are_checked(given, said):
    with pytest.raises(ValueError) as error:
        CompareConfig(**given)
    assert said in str(error.value)


def test_the_command_prints_tables_and_one_json_line_and_goes_on_with_resume(films, tmp_path, capsys):
    run = tmp_path / "run"
    program.main(["--models", "majority,tfidf", "--datasets", films, "--output", str(run)])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = result["tables"][films]
    assert [row["model"] for row in rows] == ["majority", "tfidf"] and rows[1]["accuracy"] == 1
    program.main(["--resume", str(run)])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["tables"] == result["tables"]
    with pytest.raises(UserError, match="leave out the other options"):
        program.main(["--resume", str(run), "--epochs", "9"])


def test_help_answers_without_torch_and_scikit_learn():
    start = time.perf_counter()
    code = (
        "import sys\nfrom bert_sentiment_analysis.compare import main\n"
        "try: main(['--help'])\nexcept SystemExit: assert not {'torch', 'sklearn', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--n_held_out" in done.stdout
    assert time.perf_counter() - start < 20  # on a busy machine; alone it is below one second
