"""The training: it learns, stopping it anywhere loses nothing, and the run folder is complete."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bert_sentiment_analysis import train as train_program
from bert_sentiment_analysis.config import PROJECT, SETTINGS, TrainingConfig
from bert_sentiment_analysis.data.preprocessor import class_shares
from bert_sentiment_analysis.models import trainer
from bert_sentiment_analysis.models.bert_classifier import MODEL, TextClassifier
from bert_sentiment_analysis.models.trainer import CHECKPOINTS, Data, last_checkpoint, load_data, train
from shared.config import to_dict
from shared.datasets import Example
from shared.errors import UserError
from shared.leaks import TRAIN_IDS, load_ids, save_ids, text_id
from shared.logging import setup_logging
from shared.runs import RunFolder
from shared.splits import Splits

ROOT = Path(__file__).parents[2]
SCENES = "film plot actor scene and the of it this a is was very".split()


def write_reviews(file: Path, n: int = 240) -> str:
    """Reviews whose sentiment is one word, good or bad, said now and then. Every fifth is long."""
    lines = ["text,label"]
    for i in range(n):
        words = [SCENES[(i * 7 + k * (i % 5 + 1)) % len(SCENES)] for k in range(4 + i % 4 + 30 * (i % 5 == 0))]
        for place in range(i % 4, len(words) + 1, 4):
            words.insert(place, ("bad", "good")[i % 2])
        lines.append(f"{' '.join(words)} {chr(97 + i % 26)}{chr(97 + i // 26)},{i % 2}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


@pytest.fixture
def reviews(tmp_path) -> str:
    return write_reviews(tmp_path / "reviews.csv")


@pytest.fixture
def settings(tiny_encoder, reviews):
    def get(**changes) -> TrainingConfig:
        values = {"model": str(tiny_encoder("bert")), "dataset": reviews, "batch_size": 16, "epochs": 2}
        values |= {"max_length": 16, "overlap": 4, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "patience": 0}
        values["n_train"] = 160  # 10 steps a pass
        return TrainingConfig(**{**values, "device": "cpu", "precision": "fp32", "tracking": "none", **changes})

    return get


def new_run(folder: Path, config: TrainingConfig) -> RunFolder:
    return RunFolder.create(folder, PROJECT, to_dict(config))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bert_sentiment_analysis.train", *arguments]


def flags(config: TrainingConfig) -> list[str]:
    return [part for name, value in to_dict(config).items() if value is not None for part in (f"--{name}", str(value))]


def assert_same_weights(first: Path, second: Path, tolerance: float = 0.0) -> None:
    one, other = load_file(first / MODEL), load_file(second / MODEL)
    assert one.keys() == other.keys()
    # A key's bias changes no attention. Its gradient is rounding, which Adam makes large.
    for name in one if tolerance == 0 else [name for name in one if not name.endswith("key.bias")]:
        assert torch.allclose(one[name], other[name], rtol=0, atol=tolerance), name


def evaluations(run: RunFolder) -> list[dict]:
    return [line for line in run.metrics() if "val_loss" in line]


def test_a_tiny_model_learns_two_words_by_heart_and_the_run_folder_is_complete(settings, tmp_path, reviews):
    config = settings(epochs=8, pooling="mean")
    run = new_run(tmp_path / "run", config)
    summary = train(config, run)
    assert summary["accuracy"] == summary["accuracy_report_half"] == 1.0
    assert summary["steps"] == 8 * 10 and summary["best_val_score"] == 1.0
    files = {file.name for file in run.path.iterdir()}
    assert files == {"config.json", "metrics.jsonl", "summary.json", MODEL, SETTINGS, TRAIN_IDS, "encoder"}
    assert run.summary()["accuracy"] == 1.0 and run.summary()["hardware"]
    lines = evaluations(run)
    assert [line["step"] for line in lines] == [5 * i for i in range(1, 17)]
    assert lines[-1]["val_loss"] < lines[0]["val_loss"]
    trained = load_data(config).train
    assert load_ids(run.path) == {text_id(example.text) for example in trained}
    loaded = TextClassifier.load(run.path)
    assert loaded.settings.temperature == summary["temperature"] and loaded.settings.temperature != 1.0


@pytest.mark.parametrize("changes", [{"lora_rank": 4, "learning_rate": 1e-2}, {"freeze": "encoder"}])
def test_less_than_all_weights_learns_too_and_leaves_the_rest(changes, settings, tmp_path):
    config = settings(epochs=8, pooling="mean", **changes)
    run = new_run(tmp_path / "run", config)
    summary = train(config, run)
    assert summary["accuracy"] > 0.7
    assert summary["trained_params"] < summary["params"]
    assert (run.path / MODEL).stat().st_size < 60_000
    base = load_file(Path(config.model) / "model.safetensors")
    loaded = TextClassifier.load(run.path).encoder.state_dict()
    assert torch.equal(loaded["embeddings.position_embeddings.weight"], base["embeddings.position_embeddings.weight"])
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(loaded[words], base[words]) == (config.lora_rank == 0)


def test_an_adapter_of_a_run_learns_on_and_remembers_all_it_was_trained_on(settings, tmp_path):
    config = settings(lora_rank=4, n_train=40)
    first = new_run(tmp_path / "first", config)
    train(config, first)
    config = settings(lora_rank=4, model=str(first.path), learning_rate=1e-9, dataset=str(tmp_path / "reviews.csv"))
    second = new_run(tmp_path / "second", config)
    train(config, second)
    one, two = load_file(first.path / MODEL), load_file(second.path / MODEL)
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one if name.endswith((".a", ".b")))
    assert json.loads((second.path / SETTINGS).read_text())["base"] == str(Path(settings().model).resolve())
    assert load_ids(first.path) < load_ids(second.path)


def test_what_an_encoder_was_trained_on_is_not_held_out(settings, tmp_path):
    held_out = load_data(settings()).tests[settings().dataset]
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    save_ids(earlier, [held_out[0].text])
    tested = load_data(settings(model=str(earlier))).tests[settings().dataset]
    assert tested == held_out[1:]


def test_several_sets_are_learned_together_and_scored_apart(settings, tmp_path, monkeypatch):
    def part(words: str, start: int) -> list[Example]:
        names = [chr(97 + i % 26) + chr(97 + i // 26) for i in range(start, start + 12)]
        return [Example(f"{words} {('bad', 'good')[i % 2]} {name}", label=i % 2) for i, name in enumerate(names)]

    sets = {"tweets": "the film", "amazon": "a plot"}
    monkeypatch.setattr(
        trainer, "load_splits", lambda name, **rest: Splits(name, *(part(sets[name], at) for at in (0, 20, 40)))
    )
    config = settings(dataset="tweets,amazon", epochs=10, n_train=None)
    summary = train(config, new_run(tmp_path / "run", config))
    assert summary["n_train"] == 24
    assert summary["accuracy"].keys() == summary["n_test"].keys() == {"tweets", "amazon"}
    assert min(summary["accuracy"].values()) > 0.8


def test_ratings_become_shares_of_raters():
    assert class_shares(Example("a", label=0), 2) == (1.0, 0.0)
    assert class_shares(Example("a", label=2), 3) == (0.0, 0.0, 1.0)
    negative, positive = class_shares(Example("a", label=1, rating=1.0), 2)
    assert positive == pytest.approx(0.858, abs=1e-3) and negative + positive == 1
    assert class_shares(Example("a", rating=-4.0), 2)[1] < 0.001


def test_ratings_are_learned(settings, tmp_path, monkeypatch):
    def rated(words: str, rating: float, start: int) -> list[Example]:
        names = (chr(97 + i % 26) + chr(97 + i // 26) for i in range(start, start + 12))
        return [Example(f"{words} {name}", rating=rating) for name in names]

    def part(start: int) -> list[Example]:
        return rated("a great film", 3.0, start) + rated("the film was dull", -1.5, start) + rated("bad", -3.5, start)

    data = Data(part(0) * 3, part(30), {"tweets": part(60), "nyt": part(90)}, ("negative", "positive"))
    monkeypatch.setattr(trainer, "load_data", lambda config: data)
    config = settings(head="rating", epochs=20, dataset="tweets,nyt")
    run = new_run(tmp_path / "run", config)
    summary = train(config, run)
    assert summary["pearson_r"].keys() == summary["accuracy"].keys() == {"tweets", "nyt"}
    assert min(summary["pearson_r"].values()) > 0.9 and summary["accuracy"]["nyt"] > 0.9
    assert TextClassifier.load(run.path).settings.head == "rating"


@pytest.mark.parametrize("stop_at", [5, 13], ids=["at an evaluation", "between two, in the second pass"])
def test_resuming_continues_bit_for_bit(stop_at, settings, tmp_path):
    """With dropout, texts of several windows, and the early stopping's count."""
    config = settings(patience=9, dropout=0.2)
    whole = new_run(tmp_path / "whole", config)
    train(config, whole)

    broken = new_run(tmp_path / "broken", config)

    def press_ctrl_c(step: int) -> None:
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(config, broken, on_step=press_ctrl_c)
    assert not (broken.path / MODEL).exists() and last_checkpoint(broken.path / CHECKPOINTS).name.endswith(str(stop_at))
    train(config, broken)
    assert_same_weights(whole.path, broken.path)
    assert evaluations(whole) == evaluations(broken)


class Killed(BaseException):
    """As a kill would: nothing is saved."""


def test_a_run_killed_between_checkpoints_repeats_what_was_lost_bit_for_bit(settings, tmp_path):
    config = settings()
    whole = new_run(tmp_path / "whole", config)
    train(config, whole)
    broken = new_run(tmp_path / "broken", config)

    def die(step: int) -> None:
        if step == 13:
            raise Killed

    with pytest.raises(Killed):
        train(config, broken, on_step=die)
    assert last_checkpoint(broken.path / CHECKPOINTS).name == "checkpoint-10"
    train(config, broken)
    assert_same_weights(whole.path, broken.path)
    assert evaluations(whole) == evaluations(broken)


def test_a_checkpoint_cut_short_is_passed_over(settings, tmp_path):
    config = settings()
    run = new_run(tmp_path / "run", config)

    def press_ctrl_c(step: int) -> None:
        if step == 13:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(config, run, on_step=press_ctrl_c)
    newest = last_checkpoint(run.path / CHECKPOINTS)
    (newest / "trainer_state.json").write_text('{"epoch": 1')
    before = last_checkpoint(run.path / CHECKPOINTS)
    assert before.name in ("checkpoint-5", "checkpoint-10"), "the best one so far is kept with the last"
    (before / "optimizer.pt").unlink()
    assert last_checkpoint(run.path / CHECKPOINTS) is None


def test_early_stopping_keeps_the_best_and_counts_on_after_a_stop(settings, tmp_path):
    """Rates of almost zero: nothing improves after the first evaluation, so patience 3 ends it at the fourth."""
    config = settings(patience=3, learning_rate=1e-12, head_learning_rate=1e-12, epochs=5)
    run = new_run(tmp_path / "run", config)
    summary = train(config, run)
    assert summary["steps"] == 20 and summary["best_step"] == 5

    broken = new_run(tmp_path / "broken", config)

    def press_ctrl_c(step: int) -> None:
        if step == 17:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(config, broken, on_step=press_ctrl_c)
    assert train(config, broken)["steps"] == 20, "two evaluations without a new best were counted before the stop"


def test_the_best_model_is_the_one_that_is_kept(settings, tmp_path, monkeypatch):
    scores = iter([0.5, 0.9, 0.6, 0.7])
    monkeypatch.setattr(trainer, "class_metrics", lambda prediction: {"accuracy": next(scores)})
    short = settings(epochs=1)
    kept = new_run(tmp_path / "kept", settings())
    assert train(settings(), kept)["best_step"] == 10
    saved: dict[str, torch.Tensor] = {}

    def note(step: int) -> None:
        if step == 11:  # the eleventh step starts from the tenth's checkpoint
            file = tmp_path / "again" / CHECKPOINTS / "checkpoint-10" / "model.safetensors"
            saved.update(load_file(file))

    scores = iter([0.5, 0.9, 0.6, 0.7])
    train(settings(), new_run(tmp_path / "again", short), on_step=note)
    found = load_file(kept.path / MODEL)
    assert all(torch.equal(found[name], saved[name]) for name in found)


def test_a_run_that_was_moved_keeps_its_best_model(settings, tmp_path, monkeypatch):
    """Stopped after its last step, so that no later checkpoint tells of the best one anew."""
    scores = iter([0.5, 0.9, 0.6, 0.7])
    monkeypatch.setattr(trainer, "class_metrics", lambda prediction: {"accuracy": next(scores)})
    run = new_run(tmp_path / "before", settings())

    def press_ctrl_c(step: int) -> None:
        if step == 20:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(settings(), run, on_step=press_ctrl_c)
    moved = RunFolder.open(run.path.rename(tmp_path / "after"))
    best = load_file(moved.path / CHECKPOINTS / "checkpoint-10" / "model.safetensors")
    assert train(settings(), moved)["best_step"] == 10
    found = load_file(moved.path / MODEL)
    assert all(torch.equal(found[name], best[name]) for name in found)


def test_seeds_differ_and_their_summary_is_the_mean(settings, tmp_path):
    config = settings(n_seeds=2, epochs=1)
    run = new_run(tmp_path / "run", config)
    summary = train_program.run_training(config, run)
    ones = [RunFolder.open(run.path / f"seed-{seed}").summary() for seed in (0, 1)]
    assert summary["accuracy"] == pytest.approx((ones[0]["accuracy"] + ones[1]["accuracy"]) / 2)
    assert summary["n_seeds"] == 2 and "accuracy" in summary["spread"] and run.summary()["spread"]
    first, second = (load_file(run.path / f"seed-{seed}" / MODEL) for seed in (0, 1))
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_the_average_of_summaries_is_taken_set_by_set_and_leaves_counts_alone():
    ones = [
        {"model": "m", "steps": 7, "r": {"tweets": 0.9, "nyt": 0.5}, "n_test": {"nyt": 9}, "ece": None},
        {"model": "m", "steps": 9, "r": {"tweets": 0.7, "nyt": None}, "n_test": {"nyt": 9}, "ece": 0.1},
    ]
    found = train_program.average(ones)
    assert found["r"] == {"tweets": pytest.approx(0.8), "nyt": None} and found["n_test"] == {"nyt": 9}
    assert (found["model"], found["steps"], found["ece"]) == ("m", 7, None)
    assert found["spread"]["r"]["tweets"] == pytest.approx(0.1414, abs=1e-4)


def test_data_that_leaks_is_refused(settings, tmp_path, monkeypatch):
    text = Example("the very same film", label=1)

    leaky = Splits("leaky", [text, Example("bad", label=0)], [text], [Example("good", label=1)])
    monkeypatch.setattr(trainer, "load_splits", lambda *rest, **named: leaky)
    config = settings()
    with pytest.raises(UserError, match="1 texts are both in train and in validation"):
        train(config, new_run(tmp_path / "run", config))


def test_fewer_texts_are_taken_evenly_from_the_whole_set(settings):
    whole, part = load_data(settings(n_train=None)).train, load_data(settings(n_train=10)).train
    assert len(part) == 10 and (part[0], part[-1]) == (whole[0], whole[-1])
    assert {example.label for example in part} == {0, 1}


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"dataset": "no_such_file.csv"}, "no such file"),
        ({"head": "rating", "dataset": "tweets,imdb"}, "imdb: has no human ratings"),
        ({"model": "no-such-model"}, "use the packaged minilm"),
        ({"precision": "fp32", "device": "mps"}, "--device mps"),
    ],
)
def test_a_bad_setting_is_one_clear_line(changes, named, settings, tmp_path):
    config = settings(**changes)
    with pytest.raises(UserError, match=named) as caught:
        train(config, new_run(tmp_path / "run", config))
    assert "\n" not in str(caught.value)


def test_resume_refuses_a_finished_run_another_folder_and_other_options(tmp_path, settings):
    config = settings()
    run = new_run(tmp_path / "run", config)
    with pytest.raises(UserError, match="leave out the other options"):
        train_program.main(["--resume", str(run.path), "--epochs", "9"])
    with pytest.raises(UserError, match="no run here"):
        train_program.main(["--resume", str(tmp_path)])
    run.write_summary({})
    with pytest.raises(UserError, match="has ended"):
        train_program.main(["--resume", str(run.path)])
    with pytest.raises(UserError, match="already holds a run"):
        train_program.main(["--output", str(run.path)])


def test_the_program_ends_with_one_json_line_and_tracks_what_it_is_told_to(settings, tmp_path, capfd):
    config = settings(epochs=1, output=str(tmp_path / "run"))
    try:
        train_program.main(flags(config))
    finally:
        setup_logging()  # lets the log file go
    printed = capfd.readouterr().out.strip().splitlines()
    assert len(printed) == 1
    assert json.loads(printed[0])["run"] == str(tmp_path / "run")
    logged = [json.loads(line)["message"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert any(message.startswith("step 5: ") for message in logged)


def test_a_disk_that_is_full_at_a_checkpoint_is_one_clear_line(settings, tmp_path, monkeypatch):
    def torch_save(*_, **__):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", torch_save)
    run = new_run(tmp_path / "run", config := settings(epochs=1))
    with pytest.raises(OSError, match="No space left"):
        train(config, run)
    assert last_checkpoint(run.path / CHECKPOINTS) is None  # the begun one is not trusted


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_weights_of_one_that_was_not(settings, tmp_path):
    config = settings(epochs=6, output=str(tmp_path / "whole"))
    subprocess.run(command(*flags(config)), cwd=ROOT, check=True, capture_output=True)
    broken = settings(epochs=6, output=str(tmp_path / "broken"))
    process = subprocess.Popen(command(*flags(broken)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 120
    while last_checkpoint(tmp_path / "broken" / CHECKPOINTS) is None and time.time() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "broken" / "summary.json").exists(), "killed too late to show anything"
    subprocess.run(command("--resume", str(tmp_path / "broken")), cwd=ROOT, check=True, capture_output=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.slow
def test_two_processes_train_what_one_does(tiny_encoder, settings, tmp_path):
    """Without dropout, whose masks differ from those of one process. The second run names no folder."""
    plain = {"model": str(tiny_encoder("bert", dropout=0.0)), "dropout": 0.0}
    one, two = (settings(**plain, output=str(tmp_path / name)) for name in ("one", "two"))
    subprocess.run(command(*flags(one)), cwd=ROOT, check=True, capture_output=True)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    launch += ["-m", "bert_sentiment_analysis.train"]
    done = subprocess.run([*launch, *flags(two)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same_weights(tmp_path / "one", tmp_path / "two", tolerance=1e-3)
    first, second = (RunFolder.open(tmp_path / name).summary() for name in ("one", "two"))
    assert first["accuracy"] == pytest.approx(second["accuracy"], abs=0.05) and first["steps"] == second["steps"]
    assert (first["processes"], second["processes"]) == (1, 2)
