"""The training loop: it learns, and stopping it anywhere loses nothing."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from shared.errors import UserError
from shared.runs import RunFolder
from transformer_from_scratch import train_simple_lm, training
from transformer_from_scratch.checkpoint import CHECKPOINT, MODEL, load_model, save_model
from transformer_from_scratch.config import ARCHITECTURES, PRESETS, TrainingConfig
from transformer_from_scratch.optimizer import NEWTON_SCHULZ, Muon, build_optimizers, orthogonalise
from transformer_from_scratch.tokenizer import CharTokenizer
from transformer_from_scratch.transformer_block import LanguageModel

ROOT = Path(__file__).parents[2]
TEXT = "".join(f"line {n}: the quick brown fox jumps over {n * 7 % 13} lazy dogs.\n" for n in range(200))


@pytest.fixture
def corpus(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(TEXT, encoding="utf-8")
    return str(file)


def settings(**changes) -> TrainingConfig:
    return TrainingConfig(**{**PRESETS["tiny"], "max_steps": 24, "eval_every": 8, **changes})


def new_run(folder: Path, config: TrainingConfig) -> RunFolder:
    from shared.config import to_dict

    return RunFolder.create(folder, "test", to_dict(config))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "transformer_from_scratch.train_simple_lm", *arguments]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_preset_and_architecture_builds(preset, architecture):
    config = TrainingConfig(**PRESETS[preset] | ARCHITECTURES[architecture])
    with torch.device("meta"):
        LanguageModel(config, 65)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_batch_is_learned_by_heart(architecture):
    values = {**PRESETS["tiny"], **ARCHITECTURES[architecture], "learning_rate": 5e-3, "width": 64, "batch_size": 4}
    config = TrainingConfig(**values)
    tokenizer = CharTokenizer.train(TEXT, 100)
    inputs, targets = training.batch(torch.from_numpy(tokenizer.encode(TEXT)), config, step=0)
    model, optimizers = training.make_model(config, len(tokenizer))
    for _ in range(150):
        loss = training.next_token_loss(model(inputs)[0], targets)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert loss.item() < 0.1


def test_batches_follow_from_seed_and_step_and_targets_are_one_on():
    tokens, config = torch.arange(1000, dtype=torch.int32), settings()
    inputs, targets = training.batch(tokens, config, step=5)
    assert torch.equal(targets, inputs + 1)
    assert torch.equal(inputs, training.batch(tokens, config, step=5)[0])
    assert not torch.equal(inputs, training.batch(tokens, config, step=6)[0])
    assert not torch.equal(inputs, training.batch(tokens, replace(config, seed=1), step=5)[0])


def test_a_pass_shows_each_character_once_before_any_comes_again():
    tokens, config = torch.arange(1000, dtype=torch.int32), settings(batch_size=5)
    blocks = (1000 - 1) // config.context - 1  # 30 blocks, 6 batches
    seen = torch.cat([training.batch(tokens, config, step)[0].flatten() for step in range(blocks // 5)])
    assert len(seen) == len(set(seen.tolist())) == blocks * config.context
    again = torch.cat([training.batch(tokens, config, step)[0].flatten() for step in range(6, 12)])
    assert len(set(again.tolist())) == len(again) and not torch.equal(seen, again)


def test_the_shortest_text_still_gives_blocks():
    config = settings()
    inputs, targets = training.batch(torch.arange(config.context + 1, dtype=torch.int32), config, step=3)
    assert inputs.shape == (config.batch_size, config.context) and torch.equal(targets, inputs + 1)


def test_two_processes_share_the_rows_of_one_batch():
    tokens, config = torch.arange(1000, dtype=torch.int32), settings()
    whole = training.batch(tokens, config, step=3)[0]
    halves = [training.batch(tokens, config, 3, rank, 2)[0] for rank in (0, 1)]
    assert torch.equal(whole[0::2], halves[0]) and torch.equal(whole[1::2], halves[1])


def test_learning_rate_rises_straight_then_falls_as_a_cosine():
    config = settings(max_steps=110, warmup_steps=10, final_learning_rate=0.1)
    factor = [training.learning_rate_factor(step, training.progress(step, 0.0, config), config) for step in range(111)]
    assert factor[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert factor[10] == pytest.approx(1.0)
    assert factor[60] == pytest.approx(0.55)  # halfway between 1 and 0.1
    assert factor[110] == pytest.approx(0.1)


def test_a_limit_in_seconds_ends_the_course_of_the_learning_rate_in_time():
    config = settings(max_steps=1000, warmup_steps=10, max_seconds=60.0, final_learning_rate=0.0)
    assert training.progress(100, 30.0, config) == 0.5
    assert training.progress(900, 30.0, config) == 0.9
    assert training.learning_rate_factor(200, training.progress(200, 60.0, config), config) == pytest.approx(0.0)


def test_a_run_ends_in_time_and_says_how_many_tokens_it_saw(corpus, tmp_path):
    config = settings(data=corpus, max_steps=10**6, max_seconds=1.0)
    summary = train_simple_lm.train(config, new_run(tmp_path / "run", config))
    assert 1.0 <= summary["seconds"] < 20
    assert 0 < summary["tokens_seen"] < 10**6 and summary["tokens_seen"] % (config.batch_size * config.context) == 0


@pytest.mark.parametrize("length", [33, 32 * 3 + 1, 32 * 3 + 9])
def test_evaluation_scores_every_position_once(length):
    """Against a loop that scores one character after the other."""
    torch.manual_seed(0)
    model = LanguageModel(settings(dropout=0.5), 20)
    tokens = torch.randint(0, 20, (length,), dtype=torch.int32)
    model.eval()
    expected = []
    for target in range(1, length):
        start = (target - 1) // 32 * 32
        logits = model(tokens[None, start:target].long())[0][0, -1]
        expected.append(-logits.log_softmax(-1)[tokens[target]].item())
    model.train()
    assert training.evaluate(model, tokens) == pytest.approx(sum(expected) / len(expected), abs=1e-5)
    assert model.training, "evaluation leaves the model as it found it"


def test_some_blocks_to_evaluate_on_are_spread_over_the_whole_text():
    """Regression: of 39 blocks 20 were the first 20."""
    model, read = LanguageModel(settings(), 20), []
    model.register_forward_pre_hook(lambda _, given: read.append(given[0][:, 0]))
    tokens = (torch.arange(39 * 32 + 1) // 32 % 20).int()  # a block is one number, 0 to 19, then 0 to 18 and a bit
    training.evaluate(model, tokens, blocks=20)
    assert torch.cat(read).tolist() == [block * 39 // 20 % 20 for block in range(20)]


def test_orthogonalised_matrices_have_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((1, 32, 32), (2, 64, 16), (3, 16, 64)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert values.min() > 0.5 and values.max() < 1.3


@pytest.mark.parametrize("rows", [None, 4], ids=["whole", "by head"])
def test_muon_equals_torchs_own(rows):
    """By head, one weight of six heads must move as six weights of torch's would."""
    torch.manual_seed(0)
    start = torch.randn(24, 8)
    ours = torch.nn.Parameter(start.clone())
    theirs = [torch.nn.Parameter(part.clone()) for part in start.split(rows or 24)]
    mine = Muon([{"params": [ours], "rows": rows}], lr=0.02, momentum=0.9, decay=0.1)
    reference = torch.optim.Muon(theirs, lr=0.02, momentum=0.9, weight_decay=0.1, adjust_lr_fn="original")
    for _ in range(5):
        ours.grad = torch.randn(24, 8)
        for weight, gradient in zip(theirs, ours.grad.split(rows or 24), strict=True):
            weight.grad = gradient.clone()
        mine.step()
        reference.step()
    # torch runs the products in bfloat16, whose error is about 1 %
    assert (ours - torch.cat(theirs)).norm() < 0.03 * (ours - start).norm()


def test_orthogonalising_on_the_small_side_is_the_iteration_of_the_source():
    torch.manual_seed(0)
    a, b, c = NEWTON_SCHULZ
    matrices = torch.randn(3, 16, 48)
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    assert torch.allclose(orthogonalise(matrices), x, atol=1e-4)


def test_only_matrices_decay_and_muon_takes_those_inside_the_blocks():
    config = settings(**ARCHITECTURES["modern"] | {"canon_reach": 3, "n_kv_heads": 1})
    model = LanguageModel(config, 20)
    adamw, muon = build_optimizers(model, config)
    whole, by_head = muon.param_groups
    assert (len(whole["params"]), len(by_head["params"])) == (3 * config.n_layers, 3 * config.n_layers)
    assert all(weight.size(0) % by_head["rows"] == 0 for weight in by_head["params"]), "grouped heads are heads too"
    assert [group["weight_decay"] for group in adamw.param_groups] == [config.weight_decay, 0.0]
    count = sum(len(group["params"]) for optimizer in (adamw, muon) for group in optimizer.param_groups)
    assert count == len(list(model.parameters())), "each weight has one optimizer"


def test_a_run_folder_is_complete_and_its_loss_has_fallen(corpus, tmp_path):
    config = settings(data=corpus, learning_rate=1e-2)
    run = new_run(tmp_path / "run", config)
    summary = train_simple_lm.train(config, run)
    losses = [line["val_loss"] for line in run.metrics() if "val_loss" in line]
    assert len(losses) == 4 and losses[-1] < losses[0] - 0.5
    assert summary["val_loss"] == losses[-1]
    assert {"model.safetensors", "tokenizer.json", "config.json", "metrics.jsonl", "summary.json"} <= {
        file.name for file in run.path.iterdir()
    }
    stored = load_file(run.path / MODEL)
    assert sum(tensor.numel() for tensor in stored.values()) == summary["params"]
    assert json.loads((run.path / "summary.json").read_text())["hardware"]


def test_a_saved_model_writes_what_the_trained_one_writes(corpus, tmp_path):
    """Under settings far from the defaults, compared by behaviour."""
    changes = {"positions": "rotary", "norm": "rms", "n_kv_heads": 1, "bias": False, "tie_embeddings": False}
    config = settings(data=corpus, hidden_factor=3.0, activation="relu_squared", vocabulary=20, **changes)
    run = new_run(tmp_path / "run", config)
    text = training.prepare_text(config)
    model, _ = training.make_model(config, len(text.tokenizer))
    save_model(run.path, model)
    text.tokenizer.save(run.path)
    loaded, tokenizer = load_model(run.path)
    tokens = torch.from_numpy(tokenizer.encode(TEXT[:20]))[None].long()
    assert torch.equal(loaded(tokens)[0], model.eval()(tokens)[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_resuming_continues_bit_for_bit(corpus, tmp_path, monkeypatch, architecture):
    """With dropout, and stopped between two evaluations."""
    config = settings(data=corpus, dropout=0.2, **ARCHITECTURES[architecture])
    whole = new_run(tmp_path / "whole", config)
    train_simple_lm.train(config, whole)

    broken = new_run(tmp_path / "broken", config)

    def press_ctrl_c(steps: int, loss: float) -> None:
        if steps == 10:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_simple_lm.train(config, broken, on_step=press_ctrl_c)
    assert not (broken.path / MODEL).exists()
    train_simple_lm.train(config, broken, resume=True)

    first, second = load_file(whole.path / MODEL), load_file(broken.path / MODEL)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)

    def without_seconds(run):
        return [{key: value for key, value in line.items() if key != "seconds"} for line in run.metrics()]

    assert without_seconds(whole) == without_seconds(broken)


def test_resuming_where_it_was_killed_between_checkpoint_and_end_or_before_all_logs_each_step_once(corpus, tmp_path):
    config = settings(data=corpus)
    run = new_run(tmp_path / "run", config)
    run.log_metrics({"step": 0, "val_loss": 9.9})  # the disk was full before its first checkpoint: as from the start
    train_simple_lm.train(config, run, resume=True)
    assert [line["step"] for line in run.metrics() if "val_loss" in line].count(0) == 1
    before, weights = run.metrics(), (run.path / MODEL).read_bytes()
    (run.path / MODEL).unlink()
    train_simple_lm.train(config, run, resume=True)
    assert run.metrics() == before and (run.path / MODEL).read_bytes() == weights


@pytest.mark.slow
def test_a_killed_run_resumes_from_its_last_checkpoint(corpus, tmp_path):
    flags = ["--preset", "tiny", "--data", corpus, "--max_steps", "4000", "--eval_every", "20"]
    process = subprocess.Popen(command(*flags, "--output", str(tmp_path / "run")), cwd=ROOT, stderr=subprocess.PIPE)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.time() + 120
    while time.time() < deadline and not (metrics.exists() and '"step": 40,' in metrics.read_text()):
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert (tmp_path / "run" / CHECKPOINT).exists()
    resumed = subprocess.Popen(command("--resume", str(tmp_path / "run")), cwd=ROOT, stderr=subprocess.PIPE)
    while time.time() < deadline and '"step": 100,' not in metrics.read_text():
        time.sleep(0.05)
    resumed.send_signal(signal.SIGINT)
    _, errors = resumed.communicate(timeout=60)
    assert resumed.returncode == 130, errors.decode()
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines() if "train_loss" in line]
    assert steps == sorted(set(steps)), "no step is logged twice"


@pytest.mark.slow
def test_two_processes_train_to_the_same_weights_as_one(corpus, tmp_path):
    flags = ["--preset", "tiny", "--data", corpus, "--device", "cpu"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    launch += ["-m", "transformer_from_scratch.train_simple_lm"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for start, folder in ((command()[:3], "one"), (launch, "two")):
        result = subprocess.run(
            [*start, *flags, "--output", str(tmp_path / folder)], cwd=ROOT, env=environment, capture_output=True
        )
        assert result.returncode == 0, result.stderr.decode()
    # `accelerate launch --cpu` started one process, and this test once compared one with one.
    assert [RunFolder.open(tmp_path / folder).summary()["processes"] for folder in ("one", "two")] == [1, 2]
    one, two = (load_file(tmp_path / folder / MODEL) for folder in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nosuch.txt"], "no such file"),
        (["--context", "9999"], "too few for --context 9999"),
        (["--widht", "3"], "did you mean --width"),
        (["--learning_rate", "-1"], "--learning_rate -1.0: give a number above 0"),
        (["--resume", "nowhere"], "no run here"),
        (["--resume", "nowhere", "--seed", "1"], "leave out the other options"),
        (["--device", "cuda"], "not on this machine"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(corpus, tmp_path, arguments, message):
    if arguments[0] == "--device" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    before = [] if arguments[0] in ("--data", "--resume") else ["--data", corpus]
    output = [] if arguments[0] == "--resume" else ["--output", str(tmp_path / "run")]
    with pytest.raises(UserError) as refusal:
        train_simple_lm.main([*before, *output, *arguments])
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_one_process_trains_in_one_precision_after_another(corpus, tmp_path):
    """A bug that was: accelerate refuses a second precision, so a page that had trained a small model failed."""
    losses = []
    for precision in ("fp32", "bf16"):
        config = settings(data=corpus, precision=precision, max_steps=8)
        losses.append(train_simple_lm.train(config, new_run(tmp_path / precision, config))["val_loss"])
    assert losses[0] != losses[1], "bf16 rounds, so it leaves other weights"
    assert losses[0] == pytest.approx(losses[1], abs=0.05)


def test_a_folder_with_a_run_is_never_overwritten(corpus, tmp_path):
    new_run(tmp_path / "run", settings())
    before = (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(UserError, match="already holds a run"):
        train_simple_lm.main(["--data", corpus, "--preset", "tiny", "--output", str(tmp_path / "run")])
    assert (tmp_path / "run" / "config.json").read_text() == before


def test_a_damaged_or_foreign_model_file_is_one_clear_line(corpus, tmp_path):
    config = settings(data=corpus)
    run = new_run(tmp_path / "run", config)
    CharTokenizer.train(TEXT, 100).save(run.path)
    with pytest.raises(UserError, match="no trained model yet"):
        load_model(run.path)
    (run.path / MODEL).write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(UserError, match="damaged"):
        load_model(run.path)
    save_model(run.path, LanguageModel(replace(config, width=64), 20))
    with pytest.raises(UserError, match="does not fit"):
        load_model(run.path)


def test_weights_are_as_unsure_as_the_alphabet_before_training(corpus):
    config = settings(data=corpus)
    text = training.prepare_text(config)
    model, _ = training.make_model(config, len(text.tokenizer))
    assert training.evaluate(model, text.validation) == pytest.approx(math.log(len(text.tokenizer)), abs=0.5)
