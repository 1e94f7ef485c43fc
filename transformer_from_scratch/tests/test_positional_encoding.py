"""Positions: the paper's formula term by term, and the property each encoding is used for."""

import math

import pytest
import torch

from transformer_from_scratch.positional_encoding import (
    LearnedEncoding,
    RotaryEncoding,
    SinusoidalEncoding,
    sinusoidal_table,
)


def test_sinusoidal_table_is_the_papers_formula():
    table = sinusoidal_table(50, 8)
    for position in (0, 1, 7, 49):
        for i in range(4):
            angle = position / 10000 ** (2 * i / 8)
            assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_a_shift_is_the_same_rotation_everywhere():
    """Section 3.5: PE(pos + k) is a linear function of PE(pos), the same for every pos."""
    table, k = sinusoidal_table(40, 16), 5
    for i in range(8):
        angle = k / 10000 ** (2 * i / 16)
        turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        pair = table[:, 2 * i : 2 * i + 2]
        torch.testing.assert_close(pair[k:], pair[:-k] @ turn.T, atol=1e-5, rtol=1e-5)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="even"):
        sinusoidal_table(4, 7)


@pytest.mark.parametrize("kind", [SinusoidalEncoding, LearnedEncoding])
def test_rows_after_a_cache_get_their_own_positions(kind):
    encoding, x = kind(20, 8), torch.zeros(1, 10, 8)
    torch.testing.assert_close(encoding(x)[:, 6:], encoding(x[:, 6:], first=6))


def test_sinusoidal_stores_nothing_with_the_weights():
    assert SinusoidalEncoding(20, 8).state_dict() == {}
    assert RotaryEncoding(20, 8).state_dict() == {}


def test_rotary_scores_depend_on_the_distance_alone():
    torch.manual_seed(0)
    rotary = RotaryEncoding(100, 16)
    query, key = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def score(m: int, n: int) -> float:
        return float((rotary(query, m) * rotary(key, n)).sum())

    assert score(3, 1) == pytest.approx(score(60, 58), abs=1e-4)
    assert score(3, 1) != pytest.approx(score(3, 2), abs=1e-3)


def test_rotary_turns_pairs_by_the_papers_angles_and_keeps_their_length():
    x = torch.randn(1, 1, 30, 8)
    turned = RotaryEncoding(30, 8)(x)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    for i in range(4):
        angle = 29 * 10000 ** (-2 * i / 8)
        a, b = x[0, 0, 29, i].item(), x[0, 0, 29, i + 4].item()
        assert turned[0, 0, 29, i].item() == pytest.approx(a * math.cos(angle) - b * math.sin(angle), abs=1e-5)
        assert turned[0, 0, 29, i + 4].item() == pytest.approx(b * math.cos(angle) + a * math.sin(angle), abs=1e-5)
