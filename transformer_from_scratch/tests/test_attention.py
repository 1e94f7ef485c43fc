"""Attention: hand-worked numbers, then torch's own, then our two paths against each other."""

import math

import pytest
import torch
import torch.nn.functional as functional

from transformer_from_scratch import parity
from transformer_from_scratch.attention import (
    KeyValueCache,
    MultiHeadAttention,
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
    softmax,
)
from transformer_from_scratch.positional_encoding import RotaryEncoding

BATCH, LENGTH, WIDTH, HEADS = 2, 6, 16, 4


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(BATCH, LENGTH, WIDTH)


def test_softmax_equals_torch_and_survives_large_scores():
    scores = torch.tensor([[1.0, 2.0, 3.0], [1000.0, 1000.0, -1000.0]])
    torch.testing.assert_close(softmax(scores), scores.softmax(-1))


def test_attention_on_numbers_worked_by_hand():
    query = torch.tensor([[1.0, 0.0]])
    key = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    value = torch.tensor([[10.0], [20.0]])
    # scores 1/sqrt(2) and 0, so the first key's weight is e^0.7071 / (e^0.7071 + 1) = 0.6698
    first = math.exp(1 / math.sqrt(2)) / (math.exp(1 / math.sqrt(2)) + 1)
    out, weights = scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(weights, torch.tensor([[first, 1 - first]]))
    torch.testing.assert_close(out, torch.tensor([[10 * first + 20 * (1 - first)]]))


def test_equal_keys_give_equal_weights():
    value = torch.arange(4.0)[:, None]
    out, weights = scaled_dot_product_attention(torch.randn(3, 8), torch.ones(4, 8), value)
    torch.testing.assert_close(weights, torch.full((3, 4), 0.25))
    torch.testing.assert_close(out, torch.full((3, 1), 1.5))


def test_causal_mask_is_a_lower_triangle():
    expected = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=torch.bool)
    assert torch.equal(causal_mask(3, 3), expected)
    assert torch.equal(causal_mask(2, 3), expected[1:]), "new queries after a cache are the last rows"


def test_padding_mask_shows_the_text_and_hides_the_rest():
    mask = padding_mask(torch.tensor([2, 3]), 3)
    assert mask.shape == (2, 1, 1, 3)
    assert mask[:, 0, 0].tolist() == [[True, True, False], [True, True, True]]


def test_a_fully_masked_row_gives_zeros_in_both_paths(x):
    mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool)
    mask[2] = False
    out, weights = scaled_dot_product_attention(x, x, x, mask)
    fused = functional.scaled_dot_product_attention(x, x, x, mask)
    assert torch.equal(weights[:, 2], torch.zeros(BATCH, LENGTH))
    assert torch.equal(out[:, 2], torch.zeros(BATCH, WIDTH))
    torch.testing.assert_close(out, fused)


def test_a_fully_masked_row_passes_no_nan_back(x):
    attention = MultiHeadAttention(WIDTH, HEADS)
    nothing = padding_mask(torch.tensor([0, LENGTH]), LENGTH)
    for need_weights in (False, True):
        source = x.clone().requires_grad_()
        out, _ = attention(source, mask=nothing, need_weights=need_weights)
        out.sum().backward()
        assert out.isfinite().all() and source.grad.isfinite().all()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
def test_explicit_and_fused_paths_agree(x, causal, masked, n_kv_heads):
    attention = MultiHeadAttention(WIDTH, HEADS, n_kv_heads=n_kv_heads, rotary=RotaryEncoding(LENGTH, WIDTH // HEADS))
    mask = padding_mask(torch.tensor([LENGTH, 3]), LENGTH) if masked else None
    fused, nothing = attention(x, mask=mask, causal=causal)
    explicit, weights = attention(x, mask=mask, causal=causal, need_weights=True)
    assert nothing is None
    assert weights.shape == (BATCH, HEADS, LENGTH, LENGTH)
    torch.testing.assert_close(fused, explicit, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, HEADS, LENGTH))


@pytest.mark.parametrize("seed", range(3))
def test_equals_torch_multihead_attention(seed):
    assert parity.attention_difference(seed) < 1e-5


def test_grouped_query_equals_full_heads_with_shared_keys(x):
    """Two query heads per key head is the same as full attention whose key heads come in equal pairs."""
    grouped = MultiHeadAttention(WIDTH, HEADS, n_kv_heads=2)
    full = MultiHeadAttention(WIDTH, HEADS)
    with torch.no_grad():
        full.query.load_state_dict(grouped.query.state_dict())
        full.output.load_state_dict(grouped.output.state_dict())
        for ours, theirs in ((full.key, grouped.key), (full.value, grouped.value)):
            ours.weight.copy_(theirs.weight.unflatten(0, (2, -1)).repeat_interleave(2, 0).flatten(0, 1))
            ours.bias.copy_(theirs.bias.unflatten(0, (2, -1)).repeat_interleave(2, 0).flatten())
    torch.testing.assert_close(grouped(x)[0], full(x)[0])


@pytest.mark.parametrize("n_kv_heads", [4, 2])
@pytest.mark.parametrize("normalise_qk", [False, True])
def test_cache_gives_what_the_whole_sequence_gives(x, n_kv_heads, normalise_qk):
    rotary = RotaryEncoding(LENGTH, WIDTH // HEADS)
    attention = MultiHeadAttention(WIDTH, HEADS, n_kv_heads=n_kv_heads, rotary=rotary, normalise_qk=normalise_qk)
    whole, _ = attention(x, causal=True)
    cache = KeyValueCache(BATCH, n_kv_heads, LENGTH, WIDTH // HEADS, x)
    pieces = [attention(piece, causal=True, cache=cache)[0] for piece in (x[:, :3], x[:, 3:4], x[:, 4:])]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-5, rtol=1e-5)


def test_a_full_cache_says_so(x):
    cache = KeyValueCache(BATCH, HEADS, 4, WIDTH // HEADS, x)
    with pytest.raises(ValueError, match="holds 4 positions, not 6"):
        MultiHeadAttention(WIDTH, HEADS)(x, cache=cache)


def test_cross_attention_ignores_what_padding_hides(x):
    attention = MultiHeadAttention(WIDTH, HEADS)
    context = torch.randn(BATCH, 5, WIDTH)
    mask = padding_mask(torch.tensor([3, 3]), 5)
    changed = context.clone()
    changed[:, 3:] = 99.0
    torch.testing.assert_close(attention(x, context, mask=mask)[0], attention(x, changed, mask=mask)[0])


@pytest.mark.parametrize(("width", "heads", "kv_heads", "message"), [(10, 3, None, "multiple"), (12, 4, 3, "divisor")])
def test_heads_that_do_not_divide_are_refused_with_the_remedy(width, heads, kv_heads, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(width, heads, n_kv_heads=kv_heads)


@pytest.mark.parametrize("need_weights", [False, True])
def test_a_mask_and_causality_hold_together(need_weights):
    torch.manual_seed(0)
    attention = MultiHeadAttention(8, 2).eval()
    x = torch.randn(1, 4, 8)
    mask = padding_mask(torch.tensor([3]), 4)  # the last position is padding
    before, weights = attention(x, mask=mask, causal=True, need_weights=need_weights)
    for place in (2, 3):
        changed = x.clone()
        changed[0, place] += 5
        after, _ = attention(changed, mask=mask, causal=True, need_weights=need_weights)
        assert torch.allclose(after[0, :place], before[0, :place], atol=1e-6)
    if need_weights:
        assert not weights[..., 3].any() and not weights.triu(1).any()
