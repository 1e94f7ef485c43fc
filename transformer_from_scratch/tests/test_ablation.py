"""The ablation tables: each row is what its name says, and the flags it prints make it."""

import shlex

import pytest

from shared.config import parse_config
from shared.errors import UserError
from transformer_from_scratch import ablation
from transformer_from_scratch.config import ARCHITECTURES, PRESETS, TrainingConfig
from transformer_from_scratch.nanogpt_peer import NanoGPT

TEXT = "one change at a time, and each row says which\n" * 200


def test_the_ladder_leads_from_classic_to_modern():
    rows = ablation.ladder()
    assert rows[0][1] == ARCHITECTURES["classic"]
    assert rows[-1][1] == ARCHITECTURES["modern"]
    sizes = [len(settings) for _, settings in rows]
    assert sizes == sorted(sizes), "each row keeps the changes above it"


def test_each_row_trains_and_its_flags_give_its_settings(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text(TEXT)
    small = {"n_layers": 1, "width": 16, "n_heads": 2, "context": 16}
    rows = [(name, {**small, **settings}) for name, settings in ablation.PARTS[1:4]]
    results, maps = ablation.run_rows(rows, str(tmp_path / "text.txt"), steps=20, seeds=[0, 1])
    for result, (name, settings) in zip(results, rows, strict=True):
        assert result["change"] == name and len(result["curve"]) == 11 and result["spread"] >= 0
        parsed = parse_config(
            TrainingConfig, shlex.split(result["flags"]), presets={"preset": PRESETS, "architecture": ARCHITECTURES}
        )
        assert parsed == TrainingConfig(**settings)
    assert [each.weights.shape for each in maps] == [(1, 2, 16, 16)] * 3
    ablation.draw_curves(results, tmp_path / "curves.png", "test")
    ablation.draw_maps([row["change"] for row in results], maps, tmp_path / "maps.png")
    for name in ("curves.png", "maps.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_nanogpt_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no model.py here"):
        NanoGPT(str(tmp_path), 10, None, 0)
