"""A model takes another's place only if it answers; what is refused leaves the old one; going back takes no time."""

import asyncio
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from model_optimization.deployment import model_store
from model_optimization.deployment.model_store import Busy, ModelStore, UnknownVersion
from model_optimization.runtime import ONNX, TOKENIZER, VARIANT
from shared.errors import UserError


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def put_nan(file: Path) -> None:
    """A network whose output layer holds no numbers."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(file)
    weights = model.graph.initializer
    biases = [each for each in weights if list(each.dims) == [2] and each.data_type == onnx.TensorProto.FLOAT]
    assert biases
    for each in biases:
        each.CopyFrom(numpy_helper.from_array(np.full(2, np.nan, dtype=np.float32), each.name))
    onnx.save(model, file)


def settings(folder: Path, **changes: object) -> None:
    values = json.loads((folder / VARIANT).read_text())
    (folder / VARIANT).write_text(json.dumps({**values, **changes}))


BROKEN = {
    "cut short": (lambda folder: cut_short(folder / ONNX), "ONNX Runtime cannot load it"),
    "no network": (lambda folder: (folder / ONNX).unlink(), "missing"),
    "no tokenizer": (lambda folder: (folder / TOKENIZER).unlink(), "missing or damaged"),
    "settings that are no JSON": (lambda folder: (folder / VARIANT).write_text("{"), "not valid JSON"),
    "no numbers": (lambda folder: put_nan(folder / ONNX), "does not give a logit for each label"),
    "a label too many": (lambda folder: settings(folder, label_names=["a", "b", "c"]), "a logit for each label"),
    "other labels": (lambda folder: settings(folder, label_names=["no", "yes"]), "other labels"),
    "longer texts than it has positions for": (lambda folder: settings(folder, max_length=200), "does not answer"),
}


def test_versions_are_numbers_by_size_after_names_and_nothing_else(two_models):
    for name in ("10", "best", ".draft", "with space"):
        shutil.copytree(two_models / "1", two_models / name)
    (two_models / "3").mkdir()
    (two_models / "notes.txt").write_text("")
    store = ModelStore(two_models, "2")
    assert store.versions() == ["best", "1", "2", "10"]
    assert ModelStore(two_models).serving.version == "10"
    assert store.serving.version == "2" and store.previous is None


def test_a_start_without_a_model_that_answers_is_one_clear_line(two_models, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, version, named in (
        (tmp_path / "empty", None, "holds no model"),
        (tmp_path / "nowhere", None, "holds no model"),
        (two_models, "7", "--version 7: not in .* choose among 1, 2"),
        (two_models, "../1", "choose among"),
    ):
        with pytest.raises(UserError, match=named) as caught:
            ModelStore(folder, version)
        assert "\n" not in str(caught.value)
    cut_short(two_models / "2" / ONNX)
    with pytest.raises(UserError, match="cannot load"):
        ModelStore(two_models)


def test_a_swap_changes_who_answers_and_keeps_the_one_before(two_models):
    store = ModelStore(two_models, "1")
    old = store.serving
    asyncio.run(store.swap("2"))
    assert store.serving.version == "2" and store.serving.variant.settings.temperature == 3.0
    assert store.previous is old and store.get("1") is old and store.get("2") is store.get() is store.serving
    with pytest.raises(UnknownVersion, match="'7' is not in memory"):
        store.get("7")


def test_a_swap_to_what_is_served_changes_nothing(two_models):
    store = ModelStore(two_models, "1")
    asyncio.run(store.swap("2"))
    before = store.serving, store.previous
    asyncio.run(store.swap("2"))
    assert (store.serving, store.previous) == before


def test_going_back_needs_no_file_and_goes_one_step(two_models):
    store = ModelStore(two_models, "1")
    with pytest.raises(Busy, match="nothing to go back to"):
        store.roll_back()
    old = store.serving
    asyncio.run(store.swap("2"))
    shutil.rmtree(two_models)
    assert store.roll_back() is old is store.serving
    with pytest.raises(Busy, match="nothing to go back to"):
        store.roll_back()
    assert store.versions() == []


@pytest.mark.parametrize("damage, named", BROKEN.values(), ids=BROKEN)
def test_a_broken_model_is_refused_and_the_old_one_serves_on(damage, named, two_models):
    store = ModelStore(two_models, "1")
    damage(two_models / "2")
    before = store.serving, store.previous
    with pytest.raises(UserError, match=named) as caught:
        asyncio.run(store.swap("2"))
    assert "\n" not in str(caught.value)
    assert (store.serving, store.previous) == before
    assert store.serving.variant.logits(["a good film"]).shape == (1, 2)


@pytest.mark.parametrize("name", ["7", "", "..", ".", "1/../2", "/etc"])
def test_what_is_not_in_the_folder_is_unknown(name, two_models):
    store = ModelStore(two_models, "1")
    with pytest.raises(UnknownVersion):
        asyncio.run(store.swap(name))
    assert store.serving.version == "1"


def test_a_model_that_does_not_come_back_is_refused_in_time(two_models, monkeypatch):
    store, gate = ModelStore(two_models, "1"), threading.Event()
    monkeypatch.setattr(store, "_open", lambda version: gate.wait(10))
    monkeypatch.setattr(model_store, "OPEN_WITHIN_S", 0.1)

    async def scenario():
        with pytest.raises(UserError, match="2: does not answer within 0.1 s"):
            await store.swap("2")
        gate.set()
        assert store.serving.version == "1"

    asyncio.run(scenario())


def test_one_swap_at_a_time_and_the_loop_goes_on_meanwhile(two_models, monkeypatch):
    store = ModelStore(two_models, "1")
    asyncio.run(store.swap("2"))
    gate, real = threading.Event(), store._open
    monkeypatch.setattr(store, "_open", lambda version: gate.wait(10) and real(version))

    async def scenario():
        swap = asyncio.create_task(store.swap("1"))
        await asyncio.sleep(0.05)
        assert not swap.done() and store.serving.version == "2", "served until the new one answers"
        for other in (lambda: store.swap("2"), store.roll_back):
            with pytest.raises(Busy, match="another swap is under way"):
                await other()
        gate.set()
        assert (await swap).version == "1"

    asyncio.run(scenario())
    assert store.roll_back().version == "2"
