"""The benchmarks of comparison: domains, architectures, and that the same command goes on where it stopped."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bert_sentiment_analysis import architectures, comparison_benchmarks, domain_matrix
from bert_sentiment_analysis.comparison_benchmarks import (
    COMPARISON_BENCHMARKS,
    ChineseConfig,
    DomainMatrixConfig,
    LadderConfig,
    finished,
    unfinished_run,
)
from bert_sentiment_analysis.config import PROJECT, TrainingConfig
from bert_sentiment_analysis.published import PUBLISHED_F1, PUBLISHED_R
from shared.benchmark import run_benchmarks
from shared.datasets import Example
from shared.splits import RATED, Splits


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison_benchmarks, "RESULTS", tmp_path / "project" / "results")


@pytest.fixture
def domains(monkeypatch) -> dict[str, Splits]:
    """Rated sets whose sentiment is one word, the four of them with other texts around it."""

    def part(scene: str, start: int, n: int) -> list[Example]:
        words = [("bad", -2.0), ("good", 2.0), ("great", 3.0), ("awful", -3.0)]
        chosen = [(start + i, *words[i % 4]) for i in range(n)]
        return [Example(f"{scene} is {word} {chr(97 + i % 26)}{chr(97 + i // 26)}", rating=r) for i, word, r in chosen]

    sets = {}
    for name, scene in zip(RATED, ("the film", "the plot", "this actor", "a scene"), strict=True):
        sets[name] = Splits(name, part(scene, 0, 64), part(scene, 64, 16), part(scene, 80, 16))
    for module in ("domain_matrix", "models.trainer"):
        target = f"bert_sentiment_analysis.{module}.load_rated"
        monkeypatch.setattr(target, lambda names=RATED: {name: sets[name] for name in names})
    return sets


def test_the_same_settings_go_on_and_others_or_a_finished_run_begin_anew():
    config = LadderConfig(models="majority")
    Path("runs", PROJECT, "ladder-1").mkdir(parents=True)  # as a kill leaves it before there are settings
    first = unfinished_run("ladder", config)
    assert unfinished_run("ladder", config).path == first.path
    assert unfinished_run("ladder", replace(config, save=True)).path == first.path
    assert unfinished_run("ladder", replace(config, n_seeds=2)).path != first.path
    assert unfinished_run("chinese", config).path != first.path
    finished(first, {}, [])
    assert unfinished_run("ladder", config).path != first.path


def test_the_ladder_gives_a_row_a_model_and_a_picture(tmp_path, capsys):
    lines = [f"{('bad', 'good')[i % 2]} film {i},{i % 2}" for i in range(120)]
    Path("films.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    flags = ["ladder", "--models", "majority,tfidf", "--datasets", "films.csv", "--save"]
    run_benchmarks(tmp_path / "project", COMPARISON_BENCHMARKS, flags)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["accuracy"]["tfidf"] == 1 and {"seconds", "seed", "threads", "n_test"} <= result.keys()
    kept = json.loads((tmp_path / "project" / "results" / "ladder.json").read_text())
    assert [row["model"] for row in kept["rows"]] == ["majority", "tfidf"]
    assert (tmp_path / "project" / "results" / "ladder.png").stat().st_size > 5000


def test_a_model_is_tested_on_every_domain_beside_vader_and_what_was_published(domains, tiny_encoder, tmp_path):
    training = TrainingConfig(
        model=str(tiny_encoder("bert")), epochs=2, batch_size=16, learning_rate=3e-3, device="cpu", precision="fp32"
    )
    rows = domain_matrix.domain_rows(training, tmp_path / "run")
    assert [row["trained_on"] for row in rows] == [
        *RATED,
        "all",
        "nothing (VADER)",
        "nothing (VADER, whole sets)",
        *PUBLISHED_R,
    ]
    everything, vader = rows[4], rows[5]
    assert everything["n_train"] == 4 * 64 and rows[0]["n_train"] == 64
    assert everything["n_test"] == dict.fromkeys(RATED, 16) and everything["n_excluded"] == 0
    assert all(-1 <= rows[0][domain] <= 1 for domain in RATED)
    assert all(vader[domain] > 0.9 and vader["accuracy"][domain] == 1 for domain in RATED)
    assert all(row.keys() == everything.keys() for row in rows)


def test_a_killed_matrix_goes_on(domains, tmp_path, monkeypatch):
    trained: list[str] = []

    def train(name, config, domains, folder):
        if name == "amazon" and trained.count("amazon") == 0:
            trained.append(name)
            raise KeyboardInterrupt
        trained.append(name)
        return {"trained_on": name, "source": "here"}

    monkeypatch.setattr(domain_matrix, "_trained", train)
    with pytest.raises(KeyboardInterrupt):
        domain_matrix.domain_rows(TrainingConfig(), tmp_path)
    domain_matrix.domain_rows(TrainingConfig(), tmp_path)
    assert trained == ["tweets", "movie_snippets", "amazon", "amazon", "nyt", "all"]


def test_the_matrix_is_drawn_and_its_rows_are_plain(monkeypatch, tmp_path):
    def rows(training: TrainingConfig, folder: Path) -> list[dict]:
        by_domain = dict.fromkeys(RATED, 0.7)
        ours = {"n_train": 9, "accuracy": by_domain, "n_test": dict.fromkeys(RATED, 5), "n_excluded": 0}
        names = [*RATED, "all"]
        made = [{"trained_on": n, **by_domain, **ours, "train_seconds": 1.0, "source": "here"} for n in names]
        return [*made, {**made[0], "trained_on": "VADER", "source": "ICWSM 2014"}]

    monkeypatch.setattr(domain_matrix, "domain_rows", rows)
    result, plain, _ = comparison_benchmarks.domain_matrix(DomainMatrixConfig(save=True))
    assert result["pearson_r"] == dict.fromkeys(RATED, 0.7) and result["n_excluded"] == 0
    assert list(plain[0]) == ["trained_on", *RATED, "n_train", "train_seconds", "source"]
    assert (tmp_path / "project" / "results" / "domain_matrix.png").stat().st_size > 5000


def test_published_tables_cover_the_four_domains():
    assert all(set(row) == set(RATED) for row in [*PUBLISHED_R.values(), *PUBLISHED_F1.values()])
    assert PUBLISHED_R["VADER"]["tweets"] == 0.881 and PUBLISHED_F1["NB on movie_snippets"]["movie_snippets"] == 0.75


@pytest.fixture
def small(monkeypatch, tiny_encoder):
    monkeypatch.setattr(architectures, "asset_path", lambda name: tiny_encoder("bert"))
    for name, value in {"WIDTH": 16, "LAYERS": 3, "INNER": 32, "ALBERT_WORD_WIDTH": 8}.items():
        monkeypatch.setattr(architectures, name, value)


def n_parameters(folder: Path) -> int:
    from safetensors.numpy import load_file

    weights = load_file(folder / "model.safetensors")
    return sum(weight.size for name, weight in weights.items() if "pooler" not in name)


def test_the_architectures_differ_as_told(small, tmp_path):
    build = partial(architectures.build_encoder, seed=0)
    sizes = {name: n_parameters(build(name, tmp_path / name)) for name in architectures.ARCHITECTURES}
    # RoBERTa: one row of positions more (after the padding id), one kind of token less.
    assert sizes["roberta"] == sizes["bert"]
    assert sizes["bert"] - sizes["distilbert"] == 2 * 16  # the two kinds of tokens
    assert sizes["albert"] < sizes["bert"] / 2


def test_a_random_encoder_follows_from_its_seed(small, tmp_path):
    from safetensors.numpy import load_file

    folders = [architectures.build_encoder("bert", tmp_path / str(i), seed) for i, seed in enumerate((1, 1, 2))]
    first, same, other = (load_file(folder / "model.safetensors") for folder in folders)
    name = "embeddings.word_embeddings.weight"
    assert np.array_equal(first[name], same[name]) and not np.array_equal(first[name], other[name])


def test_the_four_are_trained_alike(small, capsys, tmp_path):
    lines = [f"the film is {('bad', 'good')[i % 2]} {chr(97 + i % 26)},{i % 2}" for i in range(120)]
    Path("films.csv").write_text("\n".join(["text,label", *dict.fromkeys(lines)]), encoding="utf-8")
    flags = ["architectures", "--dataset", "films.csv", "--epochs", "1"]
    run_benchmarks(tmp_path / "project", COMPARISON_BENCHMARKS, flags)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(result["accuracy"]) == ["bert", "roberta", "distilbert", "albert"]


def test_the_chinese_sample_is_stated():
    config = ChineseConfig()
    assert (config.datasets, config.n_train, config.n_held_out) == ("zh_reviews", 2000, 1000)
    assert config.models.endswith("e5-multilingual")
