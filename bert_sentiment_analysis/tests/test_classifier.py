"""The classifier over every architecture: windows, pooling, heads, and what is saved and loaded again."""

import json
import shutil
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bert_sentiment_analysis.config import TrainingConfig
from bert_sentiment_analysis.models import bert_classifier
from bert_sentiment_analysis.models.batches import (
    EpochSampler,
    Row,
    collate,
    pad,
    parts_by_budget,
    predict_logits,
)
from bert_sentiment_analysis.models.bert_classifier import (
    MODEL,
    SETTINGS,
    TextClassifier,
    average_windows,
    batches_by_budget,
    mean_of_tokens,
)
from bert_sentiment_analysis.models.encoders import position_limit
from bert_sentiment_analysis.models.lora import LoraEmbedding, LoraLinear
from shared.config import build, parse_config, read_settings
from shared.errors import UserError

ARCHITECTURES = ("bert", "roberta", "distilbert", "albert", "llama")
LONG = " ".join("the film was good and the plot was not very bad it is a great scene of this actor".split() * 5)
TEXTS = ["a good film", "awful", LONG, "the plot is dull and it was bad"]


def classifier(folder: Path, **options) -> TextClassifier:
    torch.manual_seed(0)
    made = TextClassifier.from_pretrained(str(folder), **{"max_length": 32, "overlap": 8, **options})
    torch.nn.init.normal_(made.output.weight)
    return made.eval()


def logits_of(model: TextClassifier, texts: list[str] = TEXTS) -> np.ndarray:
    return predict_logits(model, texts)


def test_the_yaml_file_holds_the_defaults():
    file = Path(__file__).parents[1] / "config.yaml"
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == asdict(TrainingConfig())
    assert build(TrainingConfig, read_settings(file, TrainingConfig)) == TrainingConfig()


def test_every_field_is_a_flag_with_a_help_text(capsys):
    with pytest.raises(SystemExit):
        parse_config(TrainingConfig, ["--help"])
    shown = capsys.readouterr().out
    assert all(f"--{field.name}" in shown for field in fields(TrainingConfig))
    assert parse_config(TrainingConfig, ["--lora-rank", "4", "--head", "rating"]).lora_rank == 4


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 0},
        {"overlap": 200},
        {"warmup": 1.0},
        {"freeze": "encoder", "lora_rank": 4},
        {"learning_rate": 0.0},
        {"dropout": 1.0},
        {"n_train": 1},
        {"abstain_target": 0.0},
        {"dataset": ""},
    ],
)
def test_a_refused_setting_is_named(values):
    with pytest.raises(UserError, match=f"--{next(iter(values))}"):
        build(TrainingConfig, values)


def test_a_smaller_rate_is_the_default_for_all_weights_than_for_an_adapter():
    assert TrainingConfig().encoder_learning_rate < TrainingConfig(lora_rank=4).encoder_learning_rate
    assert TrainingConfig(lora_rank=4, learning_rate=3e-4).encoder_learning_rate == 3e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("options", [{}, {"lora_rank": 2}, {"freeze": "encoder"}, {"freeze": "embeddings"}])
def test_every_architecture_answers_learns_and_is_loaded_as_it_was_saved(architecture, options, tiny_encoder, tmp_path):
    model = classifier(tiny_encoder(architecture), label_names=("no", "maybe", "yes"), max_length=24, **options)
    before = logits_of(model)
    assert before.shape == (4, 3) and np.isfinite(before).all() and len({*map(tuple, before)}) == 4
    batch = collate([Row(windows, i % 3) for i, windows in enumerate(model.encode(TEXTS))], 0)
    optimizer = torch.optim.AdamW((weight for weight in model.parameters() if weight.requires_grad), lr=0.02)
    for _ in range(3):
        model(**batch)["loss"].backward()
        optimizer.step()
    after = logits_of(model.eval())
    assert not np.allclose(before, after)
    model.save(tmp_path)
    loaded = TextClassifier.load(tmp_path)
    np.testing.assert_allclose(logits_of(loaded), after, atol=1e-4)
    assert loaded.settings.label_names == ("no", "maybe", "yes") and not loaded.training
    loaded.save(tmp_path / "again")  # whole now, its base no longer needed
    np.testing.assert_allclose(logits_of(TextClassifier.load(tmp_path / "again")), after, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_text_as_long_as_the_model_allows_fits_and_a_longer_one_is_read_in_windows(architecture, tiny_encoder):
    model = classifier(tiny_encoder(architecture), max_length=10_000)
    assert position_limit(model.encoder, model.tokenizer) == model.settings.max_length == 32
    windows = model.encode([LONG])[0]
    assert len(windows) > 1 and {len(window) for window in windows[:-1]} == {32}
    assert np.isfinite(logits_of(model, [LONG])).all()
    if architecture == "llama":  # its positions are angles, not a table that ends
        return
    with pytest.raises((IndexError, RuntimeError)):  # one more position does not exist
        model.window_logits(torch.ones(1, 33, dtype=torch.long) * 5, torch.ones(1, 33, dtype=torch.long))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_windows_cover_every_token_in_order_and_overlap_by_as_much_as_asked(architecture, tiny_encoder):
    model = classifier(tiny_encoder(architecture), max_length=12, overlap=4)
    whole = model.tokenizer(LONG, add_special_tokens=False)["input_ids"]
    special = model.tokenizer.num_special_tokens_to_add()
    assert special == (0 if architecture == "llama" else 2)
    size = 12 - special
    inner = [window[1:-1] if special else window for window in model.encode([LONG])[0]]
    starts = range(0, len(whole), size - 4)
    expected = [whole[start : start + size] for start in starts if start == 0 or start + 4 < len(whole)]
    assert inner == expected


def test_the_windows_of_a_text_are_averaged_by_length_as_by_hand(tiny_encoder):
    model = classifier(tiny_encoder("bert"), max_length=12, overlap=4)
    windows = model.encode([LONG])[0]
    one_by_one = [model.window_logits(**pad([window], 0))[0].detach().numpy() for window in windows]
    lengths = np.array([len(window) for window in windows])
    by_hand = (np.array(one_by_one) * lengths[:, None]).sum(0) / lengths.sum()
    np.testing.assert_allclose(logits_of(model, ["awful", LONG])[1], by_hand, atol=1e-5)
    rows = [Row(text, 0) for text in model.encode(["awful", LONG, "good"])]
    forward = model(**collate(rows, 0))["logits"][1]
    np.testing.assert_allclose(forward.detach().numpy(), by_hand, atol=1e-5)


def test_the_average_is_weighted_by_tokens():
    logits = torch.tensor([[1.0, 0.0], [4.0, 0.0], [5.0, 6.0]])
    averaged = average_windows(logits, torch.tensor([3, 1, 7]), torch.tensor([0, 0, 1]))
    assert torch.allclose(averaged, torch.tensor([[1.75, 0.0], [5.0, 6.0]]))


def test_the_mean_of_tokens_leaves_the_padding_out():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [90.0, 90.0]], [[1.0, 0.0], [2.0, 0.0], [6.0, 3.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert torch.allclose(mean_of_tokens(hidden, mask), torch.tensor([[2.0, 4.0], [3.0, 1.0]]))


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_padding_and_company_do_not_change_an_answer(pooling, tiny_encoder):
    model = classifier(tiny_encoder("roberta"), pooling=pooling)
    together = predict_logits(model, TEXTS, token_budget=10**6)
    alone = np.concatenate([predict_logits(model, [text], token_budget=1) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_mean_pooling_is_chosen_where_the_encoder_was_trained_with_it(tiny_encoder, tmp_path):
    folder = tmp_path / "sentence"
    shutil.copytree(tiny_encoder("bert"), folder)
    assert classifier(folder).settings.pooling == "first"
    (folder / "1_Pooling").mkdir()
    assert classifier(folder).settings.pooling == "mean"
    assert classifier(folder, pooling="first").settings.pooling == "first"


def test_a_language_model_is_read_by_the_mean_and_an_empty_text_has_an_answer(tiny_encoder):
    model = classifier(tiny_encoder("llama"))
    assert model.settings.pooling == "mean"
    assert model.encode(["", "a"])[0] == [[model.tokenizer.eos_token_id]]
    assert np.isfinite(logits_of(model, ["", "a good film"])).all()


@pytest.mark.network
def test_the_packaged_language_model_is_an_encoder_too(tmp_path):
    model = TextClassifier.from_pretrained("smollm2", lora_rank=1).eval()
    before = logits_of(model, ["a good film", "an awful film"])
    model.save(tmp_path)
    assert (tmp_path / MODEL).stat().st_size < 4_000_000
    np.testing.assert_allclose(logits_of(TextClassifier.load(tmp_path), ["a good film", "an awful film"]), before)


@pytest.mark.parametrize("options", [{}, {"lora_rank": 2}], ids=["all weights", "adapter"])
def test_a_batch_in_parts_gives_the_gradients_of_the_whole_with_dropout_off(options, tiny_encoder, monkeypatch):
    model = classifier(tiny_encoder("bert", dropout=0.0), dropout=0.0, max_length=12, overlap=4, **options).train()
    batch = collate([Row(windows, i % 2) for i, windows in enumerate(model.encode(TEXTS))], 0)

    def gradients(parts: list[dict[str, torch.Tensor]]) -> list[torch.Tensor]:
        model.zero_grad()
        for part in parts:
            (model(**part)["loss"] * len(part["labels"]) / len(TEXTS)).backward()
        return [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]

    model.in_groups = False
    whole = gradients([batch])
    model.in_groups = True
    monkeypatch.setattr(bert_classifier, "CPU_TOKENS", 20)
    parts = list(parts_by_budget(batch, 30))
    assert len(parts) > 1
    for one, other in zip(whole, gradients(parts), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=12), st.integers(1, 40))
def test_parts_lose_no_text_and_keep_to_the_budget(texts, budget):
    rows = [Row([[7] * length for length in lengths], label) for label, lengths in enumerate(texts)]
    parts = list(parts_by_budget(collate(rows, 0), budget))
    assert [label for part in parts for label in part["labels"].tolist()] == list(range(len(texts)))
    for part in parts:
        first = int(part["labels"][0])
        assert part["text_index"].unique().tolist() == list(range(len(part["labels"])))
        expected = [length for lengths in texts[first : first + len(part["labels"])] for length in lengths]
        assert part["attention_mask"].sum(1).tolist() == expected
        assert part["attention_mask"].sum() <= budget or len(part["labels"]) == 1


def test_a_rating_is_one_number_with_a_squared_error(tiny_encoder):
    model = classifier(tiny_encoder("bert"), head="rating")
    rows = [Row(windows, rating) for windows, rating in zip(model.encode(TEXTS), (3.5, -4, 0, -1), strict=True)]
    found = model(**collate(rows, 0))
    assert found["logits"].shape == (4, 1)
    by_hand = ((found["logits"][:, 0] - torch.tensor([3.5, -4, 0, -1])) ** 2).mean()
    assert torch.allclose(found["loss"], by_hand)


def test_a_saved_adapter_holds_no_weight_of_its_base(tiny_encoder, tmp_path):
    model = classifier(tiny_encoder("bert"), lora_rank=2)
    model.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {MODEL, SETTINGS}
    settings = json.loads((tmp_path / SETTINGS).read_text())
    assert settings["base"] == str(tiny_encoder("bert")) and len(settings["base_sha256"]) == 64
    adapters = sum(isinstance(part, LoraLinear | LoraEmbedding) for part in model.modules())
    from safetensors.torch import load_file

    assert len(load_file(tmp_path / MODEL)) == 2 * adapters + 2


def test_a_base_that_has_changed_is_refused(tiny_encoder, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_encoder("bert"), base)
    classifier(base, lora_rank=2).save(tmp_path / "run")
    with open(base / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(UserError, match="whose weights are others now"):
        TextClassifier.load(tmp_path / "run")


@pytest.mark.parametrize("options", [{}, {"lora_rank": 2}], ids=["all weights", "adapter"])
def test_a_run_can_be_the_encoder_of_the_next_training(options, tiny_encoder, tmp_path):
    model = classifier(tiny_encoder("distilbert"), pooling="mean", **options)
    model.save(tmp_path)
    following = classifier(tmp_path)
    assert following.settings.pooling == "mean"
    following.output.load_state_dict(model.output.state_dict())
    np.testing.assert_allclose(logits_of(following), logits_of(model), atol=1e-5)


def break_weights(folder: Path) -> None:
    (folder / MODEL).write_bytes(b"not safetensors")


def swap_weights(folder: Path) -> None:
    from safetensors.torch import save_file

    save_file({"output.bias": torch.zeros(2)}, folder / MODEL)


@pytest.mark.parametrize(
    "damage, named",
    [
        (lambda folder: (folder / MODEL).unlink(), "model.safetensors: missing"),
        (lambda folder: (folder / SETTINGS).unlink(), "classifier.json is missing"),
        (lambda folder: (folder / SETTINGS).write_text("{"), "not valid JSON"),
        (lambda folder: (folder / SETTINGS).write_text("[]"), "not a JSON object"),
        (lambda folder: (folder / SETTINGS).write_text('{"colour": 1}'), "unknown setting"),
        (lambda folder: shutil.rmtree(folder / "encoder"), "missing or damaged"),
        (lambda folder: (folder / "encoder" / "tokenizer.json").write_text("{"), "no readable tokenizer"),
        (break_weights, "damaged or unreadable"),
        (swap_weights, "does not fit"),
    ],
)
def test_a_damaged_run_is_one_clear_line(damage, named, tiny_encoder, tmp_path):
    classifier(tiny_encoder("bert")).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=named) as caught:
        TextClassifier.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_encoder_that_cannot_be_had_is_one_clear_line(tiny_encoder, tmp_path):
    with pytest.raises(UserError, match="use the packaged minilm"):
        TextClassifier.from_pretrained("roberta-base")
    with pytest.raises(UserError, match="config.json is missing"):
        TextClassifier.from_pretrained(str(tmp_path))
    broken = tmp_path / "broken"
    shutil.copytree(tiny_encoder("bert"), broken)
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be loaded"):
        TextClassifier.from_pretrained(str(broken))


def test_weights_that_are_missing_are_refused_rather_than_drawn_at_random(tiny_encoder, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "part"
    shutil.copytree(tiny_encoder("bert"), folder)
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="weights are missing, such as encoder.layer.1.output.dense.weight"):
        TextClassifier.from_pretrained(str(folder))


def test_a_pass_shows_every_text_once_and_fills_the_last_batch():
    for grouped in (True, False):
        order = list(EpochSampler(range(10), 4, seed=0, grouped=grouped))
        assert len(order) == 12 and sorted(order[:10]) == list(range(10)) and order[10:] == order[:2]
    assert list(EpochSampler([5], 3, seed=0, grouped=True)) == [0, 0, 0]


def test_the_order_follows_from_seed_and_pass_alone():
    def order(seed: int, epoch: int) -> list[int]:
        torch.manual_seed(torch.seed())  # whatever was drawn before
        sampler = EpochSampler(range(100), 8, seed=seed, grouped=True)
        sampler.epoch = epoch
        return list(sampler)

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3) and order(1, 2) != order(2, 2)


def test_grouped_batches_need_less_padding():
    lengths = np.random.default_rng(0).integers(3, 60, 800).tolist()

    def padding(grouped: bool) -> int:
        order = list(EpochSampler(lengths, 8, seed=0, grouped=grouped))
        batches = [[lengths[i] for i in order[start : start + 8]] for start in range(0, len(order), 8)]
        return sum(max(batch) * 8 - sum(batch) for batch in batches)

    assert padding(True) < padding(False) / 4


def test_a_batch_never_exceeds_the_budget_and_no_window_is_lost():
    lengths = sorted(np.random.default_rng(0).integers(1, 50, 300).tolist())
    batches = [lengths[run] for run in batches_by_budget(lengths, 100)]
    assert [length for batch in batches for length in batch] == lengths
    assert all(len(batch) * batch[-1] <= 100 for batch in batches)
    assert [len(lengths[run]) for run in batches_by_budget(lengths[-3:], 1)] == [1, 1, 1]
    assert list(batches_by_budget([], 100)) == []
