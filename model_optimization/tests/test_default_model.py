"""Told nothing, the server makes its own model once; a failure of that is one clear line and leaves no half model."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from model_optimization.deployment import default_model
from model_optimization.deployment.default_model import default_models
from model_optimization.deployment.model_store import ModelStore
from model_optimization.runtime import VARIANT
from model_optimization.subject import load_subject
from shared.errors import UserError


@pytest.fixture
def fake_maker(monkeypatch, onnx_variant):
    """The program that makes the model copies a finished one instead, and may fail; notes its calls."""
    calls = []

    def run(command, **_):
        calls.append(command)
        made = Path(command[command.index("--output") + 1])
        made.mkdir(parents=True)
        for file in onnx_variant.folder.iterdir():
            (made / file.name).write_bytes(file.read_bytes())
        return SimpleNamespace(returncode=run.code, stderr=run.says)

    run.code, run.says, run.calls = 0, "", calls
    monkeypatch.setattr(default_model.subprocess, "run", run)
    return run


def test_it_is_made_once_and_then_found(make_run, fake_maker, empty_cache):
    source = str(make_run())
    folder = default_models(source)
    assert default_models(source) == folder and len(fake_maker.calls) == 1
    assert empty_cache in folder.parents and ModelStore(folder).versions() == ["1"]
    assert {each.name for each in folder.parent.iterdir()} == {folder.name}, "no draft is left"


def test_other_weights_make_another_model(make_run, fake_maker, empty_cache):
    source = make_run()
    first = default_models(str(source))
    file = source / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert default_models(str(source)) != first and len(fake_maker.calls) == 2


def test_a_failure_is_one_clear_line_and_leaves_nothing(make_run, fake_maker, empty_cache):
    fake_maker.code, fake_maker.says = 2, "a warning\nerror: the disk is full (model.onnx): free some space"
    source = str(make_run())
    with pytest.raises(UserError, match=r"could not be made \(the disk is full .*: free some space\)") as caught:
        default_models(source)
    assert "\n" not in str(caught.value)
    assert not list(empty_cache.rglob(VARIANT))
    fake_maker.says = ""
    with pytest.raises(UserError, match="exit code 2"):
        default_models(source)


def test_another_server_that_was_quicker_is_no_fault(make_run, fake_maker, empty_cache, monkeypatch):
    real = default_model.os.replace

    def late(made, target):
        real(made, target)  # the other one's
        Path(made).mkdir()
        real(made, target)

    monkeypatch.setattr(default_model.os, "replace", late)
    assert ModelStore(default_models(str(make_run()))).versions() == ["1"]


def test_without_the_classifier_that_ships_the_remedy_is_told(tmp_path):
    with pytest.raises(UserError, match="give a folder of models by --models"):
        default_models(str(tmp_path))


@pytest.mark.slow
def test_the_real_maker_gives_the_classifiers_own_answers(make_run, empty_cache):
    source = make_run()
    served = ModelStore(default_models(str(source)), threads=1).serving
    subject = load_subject(source)
    texts = ["a good film", "awful", "the plot is dull and it was bad"]
    ids = [subject.tokenizer.encode(text).ids for text in texts]
    import torch

    with torch.inference_mode():
        expected = [subject.model(torch.tensor([i]), torch.ones(1, len(i), dtype=torch.long))[0].numpy() for i in ids]
    np.testing.assert_allclose(served.variant.logits(texts), expected, atol=0.5)
    assert served.variant.settings.label_names == subject.label_names
    assert served.variant.settings.temperature == subject.temperature
