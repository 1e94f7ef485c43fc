"""The compiled loops compute what the torch model computes, for every kind of model."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from transformer_from_scratch.compiled_model import CompiledModel
from transformer_from_scratch.config import ARCHITECTURES, ModelConfig
from transformer_from_scratch.sampling import CachedReader
from transformer_from_scratch.transformer_block import LanguageModel

FIELDS = [field.name for field in fields(ModelConfig)]
OPTIONS = {
    "context": [13],
    "n_layers": [1, 3],
    "n_heads": [1, 2],
    "n_kv_heads": [1, 2],
    "width": [24],
    "hidden_factor": [2.7],
    "dropout": [0.5],
    "positions": ["sinusoidal", "learned", "rotary", "none"],
    "rotary_base": [50.0],
    "norm": ["layer", "rms", "none"],
    "norm_position": ["pre", "post"],
    "activation": ["relu", "gelu", "gelu_tanh", "relu_squared"],
    "bias": [True, False],
    "normalise_qk": [True, False],
    "gate_heads": [True, False],
    "zero_init": [True],
    "canon_reach": [0, 1, 2, 5, 14],
    "scale_scores": [False],
    "residuals": [False],
    "tie_embeddings": [True, False],
}
BASES = {
    "classic": {},
    "modern": {name: value for name, value in ARCHITECTURES["modern"].items() if name in FIELDS},
    "post-norm": {"norm_position": "post", "positions": "learned", "activation": "gelu_tanh", "canon_reach": 2},
    "bare": {"norm": "none", "positions": "none", "residuals": False, "scale_scores": False, "activation": "relu"},
}
CASES = {
    f"{base}-{name}-{value}": {**settings, name: value}
    for base, settings in BASES.items()
    for name, values in OPTIONS.items()
    for value in values
}
CASES["odd heads"] = {"width": 12}


def make_model(**settings):
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig(**{"context": 12, "n_layers": 2, "width": 16, **settings}), 30).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model


def expect_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_no_option_is_forgotten():
    """One that was added to the torch model alone would be ignored in writing, without a word."""
    assert list(OPTIONS) == FIELDS


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES.keys())
@torch.no_grad()
def test_it_scores_as_torch_does_one_at_a_time_and_at_once_and_starts_afresh(settings):
    model = make_model(**settings)
    tokens = torch.randint(0, 30, (1, 12))
    expected = model(tokens)[0][0].numpy()
    assert np.ptp(expected[-1]) > 0.01, "scores that are all alike would prove nothing"
    compiled = CompiledModel(model)
    expect_close([compiled.read([token]) for token in tokens[0].tolist()], expected)
    compiled.start()
    expect_close(compiled.read(tokens[0].tolist()), expected[-1])


@pytest.mark.parametrize("base", BASES)
@torch.no_grad()
def test_both_readers_agree_piece_by_piece(base):
    model = make_model(**BASES[base])
    readers = CompiledModel(model), CachedReader(model, torch.device("cpu"))
    for piece in ([1, 2, 3], [4], [5, 6]):
        expect_close(*(reader.read(piece) for reader in readers))
    assert readers[0].length == readers[1].length == 6


@torch.no_grad()
def test_scores_far_from_zero_do_not_overflow():
    """exp of a score above 88 is infinite in float32: without taking the largest away, the text would be NaN."""
    model = make_model()
    for block in model.blocks:
        block.attention.query.weight *= 100
        block.attention.key.weight *= 100
    expected = model(torch.tensor([[1, 2, 3]]))[0][0, -1].numpy()
    expect_close(CompiledModel(model).read([1, 2, 3]), expected)


@pytest.mark.parametrize("tokens", [[], [30], [-1], [1] * 13])
def test_what_it_cannot_read_is_an_error_and_not_a_look_into_foreign_memory(tokens):
    """Compiled loops check no index: token 30 of 30 gave scores from whatever lay behind the embeddings."""
    with pytest.raises(ValueError, match="give 1 to 12 from 0 to 29"):
        CompiledModel(make_model()).read(tokens)


def test_it_holds_a_copy_so_that_training_on_does_not_change_it():
    model = make_model()
    compiled = CompiledModel(model)
    before = compiled.read([3])
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    compiled.start()
    np.testing.assert_array_equal(compiled.read([3]), before)
