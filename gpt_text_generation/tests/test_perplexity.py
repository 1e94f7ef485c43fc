"""Perplexity beside the plain loop of the definition, by hand, and at any batch size."""

import json
import math

import numpy as np
import pytest

from gpt_text_generation.evaluation import perplexity_calculator
from gpt_text_generation.evaluation.perplexity_calculator import (
    PerplexityConfig,
    Score,
    choose_bf16,
    main,
    measure,
    score_ids,
    windows,
)
from gpt_text_generation.speed_benchmark import plain_loop
from shared.config import parse_config
from shared.devices import Choice
from shared.errors import UserError
from shared.language_model import load_language_model

TEXT = "the cat sat on the mat and the dog ran after the cat, 水 and all. " * 6


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request, tiny_language_model):
    return load_language_model(str(tiny_language_model(request.param)), "transformers")


def by_definition(model, ids, context, stride):
    """Each window alone, each scored token's probability one by one: sum and count."""
    import torch

    nats, scored, done = 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + context, len(ids))
        with torch.inference_mode():
            logits = model.network(torch.tensor([ids[begin:end]])).logits[0].double().log_softmax(-1)
        for place in range(max(done, begin + 1), end):
            nats -= logits[place - begin - 1, ids[place]].item()
            scored += 1
        done = end
        if end == len(ids):
            break
    return nats, scored


@pytest.mark.parametrize("context, stride", [(32, 16), (32, 32), (32, 5), (100, 64), (16, 1), (128, 128), (128, 50)])
def test_it_is_the_definition_at_any_batch_size(model, context, stride):
    ids = model.encode(TEXT)
    nats, scored = by_definition(model, ids, context, stride)
    for batch in (1, 2, 3, 50):
        found = score_ids(model, ids, context=context, stride=stride, batch=batch)
        assert found.n_scored == scored
        assert found.nats == pytest.approx(nats, rel=1e-5)


@pytest.mark.parametrize("context, stride", [(64, 32), (50, 20), (128, 100)])
def test_it_is_the_loop_of_the_transformers_page(model, context, stride):
    ids = model.encode(TEXT)
    found = score_ids(model, ids, context=context, stride=stride)
    assert found.perplexity == pytest.approx(plain_loop(model, ids, context, stride), rel=1e-5)


def test_windows_score_every_token_but_the_first_once():
    for n_tokens in (2, 3, 31, 32, 33, 64, 65, 100):
        for context, stride in ((32, 32), (32, 16), (32, 7), (3, 1), (2, 1)):
            chosen = list(windows(n_tokens, context, stride))
            scored = [place for window in chosen for place in range(window.end - window.scored, window.end)]
            if stride < context:
                assert scored == list(range(1, n_tokens))
                # Past the first window, as much context as was promised.
                assert all(window.end - window.begin - window.scored >= context - stride or not window.begin
                           or window.end == n_tokens for window in chosen)  # fmt: skip
            assert len(set(scored)) == len(scored)
            assert all(window.scored < window.end - window.begin <= context for window in chosen)
    assert list(windows(1, 32, 16)) == []


def test_a_model_that_knows_nothing_has_the_vocabulary_as_perplexity(tiny_language_model):
    import torch

    model = load_language_model(str(tiny_language_model("llama")), "transformers")
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.zero_()
    found = score_ids(model, model.encode(TEXT), context=32, stride=16)
    assert found.perplexity == pytest.approx(model.vocabulary, rel=1e-5)
    n_tokens, n_bytes = len(model.encode(TEXT)), len(TEXT.encode())
    first = len(model.decode(model.encode(TEXT)[:1]).encode())
    expected = (n_tokens - 1) * math.log2(model.vocabulary) / (n_bytes - first)
    assert found.bits_per_byte == pytest.approx(expected, rel=1e-5)


def test_bits_per_byte_counts_only_the_bytes_of_scored_tokens(model):
    """With a stride of a whole window the first token of every window is left out."""
    ids = model.encode("the cat sat on the mat and the dog ran after the cat" * 3)
    found = score_ids(model, ids, context=16, stride=16)
    scored = [place for place in range(len(ids)) if place % 16]
    assert found.n_bytes == sum(len(model.decode([ids[place]])) for place in scored)


def test_score_by_hand():
    score = Score(nats=4 * math.log(8), n_scored=4, n_bytes=6)  # four tokens of probability 1/8 each, six bytes
    assert score.perplexity == pytest.approx(8) and score.bits_per_byte == pytest.approx(12 / 6)


@pytest.mark.parametrize("shift, taken", [(0.0004, "bf16"), (-0.0004, "bf16"), (0.002, "fp32"), (-0.002, "fp32")])
def test_bf16_is_taken_only_where_the_first_windows_are_equal(model, monkeypatch, shift, taken):
    monkeypatch.setattr("shared.devices.choose_precision", lambda *_: Choice("bf16", "native"))
    asked = []

    def score(model, ids, chosen, batch, bf16, on_progress):
        asked.append((len(chosen), bf16))
        return Score(math.log(20 * (1 + shift * bf16)) * 10, 10, 10)

    monkeypatch.setattr(perplexity_calculator, "_score", score)
    choice = choose_bf16(model, list(range(100)), 32, 16)
    assert choice.value == taken and asked == [(2, False), (2, True)]


def test_bf16_is_near_and_does_not_change_the_model(model):
    ids = model.encode(TEXT)
    before = score_ids(model, ids, context=64, stride=32)
    half = score_ids(model, ids, context=64, stride=32, bf16=True)
    assert half.nats != before.nats and half.perplexity == pytest.approx(before.perplexity, rel=0.05)
    assert score_ids(model, ids, context=64, stride=32) == before


def test_too_short_a_text_or_too_wide_a_window_is_refused(model):
    with pytest.raises(ValueError, match="a text of 1 tokens"):
        score_ids(model, [5])
    with pytest.raises(ValueError, match="a context of 200: the model's window holds 128"):
        score_ids(model, [5] * 300, context=200, stride=100)


@pytest.fixture
def folder(tiny_language_model):
    return str(tiny_language_model("llama"))


def test_the_program_ends_with_one_json_line(folder, tmp_path, capsys):
    file = tmp_path / "text.txt"
    file.write_text(TEXT, encoding="utf-8")
    main(["--file", str(file), "--model", folder, "--context", "64", "--stride", "32", "--precision", "fp32"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    model = load_language_model(folder, "transformers")
    expected = score_ids(model, model.encode(TEXT), context=64, stride=32)
    assert result["perplexity"] == pytest.approx(expected.perplexity, rel=1e-5)
    assert result["n_tokens"] == len(model.encode(TEXT)) and result["tokens_per_s"] > 0
    assert np.isclose(result["bits_per_byte"], expected.bits_per_byte, rtol=1e-5)
    shorter = measure(PerplexityConfig(file=str(file), model=folder, context=64, stride=32, max_tokens=50))
    assert shorter["n_tokens"] == 50


@pytest.mark.parametrize(
    "content, flags, complaint",
    [
        (None, [], "cannot read it .No such file or directory."),
        (b"", [], "0 tokens: the first is not scored"),
        (b"\xff\xfe\x00", [], "not UTF-8 text"),
        (b"t", [], "1 tokens: the first is not scored"),
        (b"the cat", ["--context", "200"], "--context 200: the window of .* holds 128 tokens"),
    ],
)
def test_a_file_that_cannot_be_scored_is_one_clear_line(folder, tmp_path, content, flags, complaint):
    file = tmp_path / "text.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as raised:
        main(["--file", str(file), "--model", folder, "--context", "64", "--stride", "32", *flags])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "flags, complaint",
    [
        (["--stride", "0"], "--stride 0: give at least 1"),
        (["--stride", "2000"], "--stride 2000: give at least 1, and at most --context"),
        (["--context", "1"], "--context 1: give at least 2"),
        (["--batch_size", "0"], "--batch_size 0"),
        (["--max_tokens", "1"], "--max_tokens 1"),
    ],
)
def test_settings_that_make_no_sense_are_one_clear_line(flags, complaint):
    with pytest.raises(UserError, match=complaint):
        parse_config(PerplexityConfig, ["--file", "x", *flags])
