"""The benchmark command: its contract, and that it measures something."""

import json

import pytest

from shared.errors import UserError
from transformer_from_scratch import benchmark
from transformer_from_scratch.parity import _randomise, encoder_difference


def run(monkeypatch, capsys, *arguments: str) -> dict:
    monkeypatch.setattr("sys.argv", ["benchmark", *arguments])
    benchmark.main()
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_parity_ends_with_the_contracts_keys(monkeypatch, capsys):
    result = run(monkeypatch, capsys, "parity", "--n_seeds", "1")
    assert {"max_abs_diff_mha", "max_abs_diff_encoder", "max_abs_diff_gpt2", "seconds", "seed", "threads"} <= set(
        result
    )
    assert all(0 <= result[key] < 1e-5 for key in result if key.startswith("max_abs_diff"))


def test_parity_notices_a_change(monkeypatch):
    """If the copied weights did not matter, parity would prove nothing."""
    monkeypatch.setattr("transformer_from_scratch.parity.copy_attention", lambda theirs, ours: _randomise(ours))
    assert encoder_difference(0) > 1e-2


def test_an_unknown_name_lists_those_there_are(monkeypatch, capsys):
    with pytest.raises(UserError, match="did you mean parity"):
        run(monkeypatch, capsys, "party")
