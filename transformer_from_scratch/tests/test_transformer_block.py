"""Blocks and models: against torch and transformers, then causality, caching, shapes and refusals."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as functional

from transformer_from_scratch import parity
from transformer_from_scratch.attention import padding_mask
from transformer_from_scratch.canon import CanonLayer
from transformer_from_scratch.config import ARCHITECTURES, ModelConfig
from transformer_from_scratch.transformer_block import (
    EncoderDecoder,
    FeedForward,
    LanguageModel,
    LayerNorm,
    RMSNorm,
    layer_norm,
)

SMALL = ModelConfig(context=12, n_layers=2, n_heads=4, width=16)
MODERN = {key: value for key, value in ARCHITECTURES["modern"].items() if hasattr(SMALL, key)}
VARIANTS = {
    "classic": SMALL,
    "post-norm": replace(SMALL, norm_position="post"),
    "learned": replace(SMALL, positions="learned", tie_embeddings=False),
    "modern": replace(SMALL, **MODERN),
    "canon": replace(SMALL, canon_reach=3, positions="none"),
    "gated": replace(SMALL, gate_heads=True),
    "grouped": replace(SMALL, n_kv_heads=2, positions="rotary"),
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def model(request):
    torch.manual_seed(1)
    model = LanguageModel(request.param, 30).eval()
    for weight in model.parameters():  # away from the near-zero start, where errors would hide
        torch.nn.init.normal_(weight, std=0.2)
    return model


@pytest.fixture
def tokens():
    torch.manual_seed(2)
    return torch.randint(0, 30, (2, 12))


def test_layer_norm_written_out_equals_the_fused_one():
    x, weight, bias = torch.randn(3, 5, 8) * 4 + 1, torch.randn(8), torch.randn(8)
    torch.testing.assert_close(layer_norm(x, weight, bias), functional.layer_norm(x, (8,), weight, bias))
    torch.testing.assert_close(layer_norm(x, weight), functional.layer_norm(x, (8,), weight))
    torch.testing.assert_close(layer_norm(x, torch.ones(8)), LayerNorm(8)(x))


def test_rms_norm_has_mean_square_one():
    x = RMSNorm(8)(torch.randn(4, 8) * 7)
    torch.testing.assert_close(x.square().mean(-1), torch.ones(4))


def test_feed_forward_treats_each_position_alone():
    torch.manual_seed(0)
    feed_forward, x = FeedForward(SMALL), torch.randn(1, 4, 16)
    torch.testing.assert_close(feed_forward(x)[:, 2], feed_forward(x[:, 2]))


def test_canon_layer_is_a_causal_convolution_of_each_number():
    torch.manual_seed(0)
    layer, x = CanonLayer(4, 3), torch.randn(2, 7, 4)
    torch.testing.assert_close(layer(x), x)  # it starts as the identity
    torch.nn.init.normal_(layer.weight)
    kernel = layer.weight.T.flip(1)[:, None]  # torch slides the kernel from the oldest to the newest
    expected = functional.conv1d(functional.pad(x.mT, (2, 0)), kernel, groups=4).mT
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("seed", range(3))
def test_equals_torch_transformer_encoder(seed):
    assert parity.encoder_difference(seed) < 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_equals_gpt2_of_transformers(seed):
    assert parity.gpt2_difference(seed) < 1e-5


def test_the_future_does_not_reach_the_past(model, tokens):
    changed = tokens.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 30
    before, after = model(tokens)[0], model(changed)[0]
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_cached_steps_equal_the_whole_sequence(model, tokens):
    caches = model.new_caches(batch=2)
    steps = [model(tokens[:, :5], caches)[0]]
    steps += [model(tokens[:, i : i + 1], caches)[0] for i in range(5, 12)]
    torch.testing.assert_close(torch.cat(steps, 1), model(tokens)[0], atol=1e-5, rtol=1e-5)


def test_asking_for_weights_changes_no_logit(model, tokens):
    logits, nothing = model(tokens)
    again, maps = model(tokens, need_weights=True)
    assert nothing == []
    assert [m.shape for m in maps] == [(2, 4, 12, 12)] * 2
    torch.testing.assert_close(logits, again, atol=1e-5, rtol=1e-5)


def test_more_tokens_than_the_context_are_refused(model, tokens):
    with pytest.raises(ValueError, match="13 tokens are more than the context of 12"):
        model(torch.cat([tokens, tokens[:, :1]], 1))


def test_order_matters_only_through_the_positions():
    """Without positions the last query sees a set: shuffling what stands before it changes nothing."""
    torch.manual_seed(0)
    shuffled = torch.tensor([[3, 1, 2, 9]])
    for positions, same in (("none", True), ("sinusoidal", False), ("rotary", False), ("learned", False)):
        model = LanguageModel(replace(SMALL, n_layers=1, positions=positions), 30).eval()
        torch.nn.init.normal_(model.embedding.tokens.weight)
        for weight in model.blocks.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        ordered, other = model(torch.tensor([[1, 2, 3, 9]]))[0][:, -1], model(shuffled)[0][:, -1]
        assert torch.allclose(ordered, other, atol=1e-5) == same, positions


def test_encoder_decoder_sees_all_of_the_source_and_the_past_of_the_target():
    torch.manual_seed(0)
    model = EncoderDecoder(SMALL, 20, 30).eval()
    source, target = torch.randint(0, 20, (2, 8)), torch.randint(0, 30, (2, 6))
    mask = padding_mask(torch.tensor([8, 5]), 8)
    logits = model(source, target, mask)
    assert logits.shape == (2, 6, 30)

    future = target.clone()
    future[:, 4:] = (future[:, 4:] + 1) % 30
    torch.testing.assert_close(model(source, future, mask)[:, :4], logits[:, :4])

    padding, text = source.clone(), source.clone()
    padding[1, 5:] = (padding[1, 5:] + 1) % 20
    text[1, 0] = (text[1, 0] + 1) % 20
    torch.testing.assert_close(model(padding, target, mask), logits)
    assert not torch.allclose(model(text, target, mask)[1], logits[1])


def test_tied_embeddings_are_one_matrix():
    tied, free = LanguageModel(SMALL, 30), LanguageModel(replace(SMALL, tie_embeddings=False), 30)
    assert tied.output.weight is tied.embedding.tokens.weight
    assert sum(p.numel() for p in free.parameters()) - sum(p.numel() for p in tied.parameters()) == 30 * 16


def test_a_fresh_model_is_about_as_unsure_as_a_uniform_guess():
    torch.manual_seed(0)
    tokens = torch.randint(0, 30, (8, 12))
    loss = functional.cross_entropy(LanguageModel(SMALL, 30)(tokens)[0].flatten(0, 1), tokens.flatten())
    assert abs(loss.item() - torch.tensor(30.0).log().item()) < 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 10}, "--width 10: give a multiple of n_heads 4"),
        ({"n_kv_heads": 3}, "--n_kv_heads 3: give a divisor of n_heads 4"),
        ({"n_layers": 0}, "--n_layers 0: give a whole number"),
        ({"dropout": 1.0}, "--dropout 1.0: give a share"),
        ({"width": 12, "positions": "rotary"}, "rotary wants even heads"),
    ],
)
def test_impossible_shapes_are_refused_by_name_value_and_remedy(change, message):
    with pytest.raises(ValueError) as refusal:
        replace(SMALL, **change)
    assert message in str(refusal.value)


def test_derived_values_follow_a_changed_field():
    config = replace(SMALL, width=24, hidden_factor=2.0)
    assert (config.head_width, config.hidden) == (6, 48)
