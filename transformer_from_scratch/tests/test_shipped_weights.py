"""The models that ship: small, complete, described, and what their training made."""

import pytest
import torch

from shared.errors import UserError
from shared.runs import RunFolder
from transformer_from_scratch import shipped_weights
from transformer_from_scratch.checkpoint import MODEL, load_model
from transformer_from_scratch.config import PRESETS, TrainingConfig
from transformer_from_scratch.shipped_weights import HASHES, MODELS, WEIGHTS, publish
from transformer_from_scratch.train_simple_lm import train


def test_a_published_model_predicts_what_the_trained_one_does(tmp_path):
    lines = [f"line {n} of a small text, like the others\n" for n in range(200)]
    (tmp_path / "text.txt").write_text("".join(lines))
    config = TrainingConfig(**{**PRESETS["tiny"], "max_steps": 4, "data": str(tmp_path / "text.txt")})
    from shared.config import to_dict

    run = RunFolder.create(tmp_path / "run", "test", to_dict(config))
    train(config, run)
    summary = publish(run, config, tmp_path / "published")
    (trained, _), (published, tokenizer) = load_model(run.path), load_model(tmp_path / "published")
    tokens = torch.from_numpy(tokenizer.encode("line 7 of a"))[None].long()
    with torch.inference_mode():
        torch.testing.assert_close(published(tokens)[0], trained(tokens)[0], atol=1e-2, rtol=1e-2)
    assert summary["val_loss"] == pytest.approx(run.summary()["val_loss"], abs=1e-2)
    # The last line of the training part is cut in two, and its piece counts as one.
    assert len((tmp_path / "published" / HASHES).read_text().split()) == 181
    assert f"{summary['params']:,} parameters" in (tmp_path / "published" / "README.md").read_text()


@pytest.mark.parametrize("name", MODELS)
def test_what_ships_is_small_described_and_loads(name):
    folder = WEIGHTS / name
    assert (folder / MODEL).stat().st_size <= 4_000_000
    assert f"--name {name}" in (folder / "README.md").read_text()
    model, tokenizer = load_model(folder)
    assert len(tokenizer) == len(model.output.weight)
    assert len((folder / HASHES).read_text().split()) > 1000
    metrics = RunFolder.open(folder).metrics()
    assert metrics[-1]["val_loss"] < 0.6 * metrics[0]["val_loss"], "it has learned"


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(UserError, match="choose among en-film-reviews, zh-reviews and all"):
        shipped_weights.main(["--name", "fr"])
