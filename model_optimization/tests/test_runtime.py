"""A variant reads every text whole, answers alike whatever stands beside a text, and says clearly what it lacks."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from model_optimization.runtime import (
    ONNX,
    TOKENIZER,
    VARIANT,
    Reader,
    Variant,
    VariantSettings,
    batches,
    load_settings,
    write_settings,
)
from model_optimization.subject import MODEL, SHAPE, save_subject
from model_optimization.torch_engine import open_torch, quantize_legacy
from shared.errors import UserError

LONG = " ".join("the film was good and the plot was not very bad it is a great scene of this actor".split() * 7)
TEXTS = ["a good film", LONG, "awful", "", "the plot is dull and it was bad"]


@pytest.fixture
def make_variant(subject, tmp_path):
    def make(engine: str) -> Variant:
        folder = tmp_path / engine
        save_subject(subject, folder)
        write_settings(folder, VariantSettings(engine, subject.label_names, subject.max_length), subject.tokenizer)
        return Variant(folder)

    return make


@pytest.mark.parametrize("max_length, overlap", [(12, 3), (32, 8), (200, 32)])
def test_windows_hold_every_token_in_order_and_overlap(max_length, overlap, subject):
    text = " ".join([LONG] * 5)
    whole = subject.tokenizer.encode(text, add_special_tokens=False).ids
    reader = Reader(subject.tokenizer, max_length)
    windows = reader.windows([text])[0]
    assert {len(window) for window in windows[:-1]} == {max_length} and 2 < len(windows[-1]) <= max_length
    assert {(window[0], window[-1]) for window in windows} == {(2, 3)}
    inner = [window[1:-1] for window in windows]
    assert all(one[-overlap:] == other[:overlap] for one, other in zip(inner, inner[1:], strict=False))
    assert inner[0] + [token for window in inner[1:] for token in window[overlap:]] == whole


def test_a_short_text_is_one_window_and_the_given_tokenizer_stays_as_it_was(subject):
    short = subject.tokenizer.encode("a good film").ids
    subject.tokenizer.enable_padding(length=40)
    before = subject.tokenizer.to_str()
    windows = Reader(subject.tokenizer, 12).windows(["a good film", ""])
    assert windows == [[short], [[2, 3]]]
    assert subject.tokenizer.to_str() == before


def test_a_batch_is_padded_to_its_longest_window():
    found = list(batches([[2, 3], [2, 9, 8, 3], [2, 7, 3]], 2))
    assert [ids.tolist() for ids, _ in found] == [[[2, 3, 0, 0], [2, 9, 8, 3]], [[2, 7, 3]]]
    assert [mask.tolist() for _, mask in found] == [[[1, 1, 0, 0], [1, 1, 1, 1]], [[1, 1, 1]]]
    assert all(array.dtype == np.int64 for batch in found for array in batch)


def test_a_long_text_is_the_mean_of_its_windows_weighted_by_their_tokens(onnx_variant):
    windows = onnx_variant.reader.windows([LONG])[0]
    lengths = [len(window) for window in windows]
    assert len(lengths) > 3 and len(set(lengths)) > 1, "a plain mean would differ"
    alone = [
        onnx_variant.engine(np.array([window]), np.ones((1, len(window)), dtype=np.int64))[0] for window in windows
    ]
    by_hand = np.average(alone, axis=0, weights=lengths)
    found = onnx_variant.logits(["awful", LONG, LONG[:30]])
    np.testing.assert_allclose(found[1], by_hand, atol=1e-5)
    np.testing.assert_allclose(found[[0, 2]], onnx_variant.logits(["awful", LONG[:30]]), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_padding_and_company_change_no_answer(batch_size, onnx_variant):
    together = onnx_variant.logits(TEXTS, batch_size)
    alone = np.concatenate([onnx_variant.logits([text]) for text in TEXTS])
    assert len({*map(tuple, alone.round(3))}) == len(TEXTS)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_torch_gives_the_answers_of_the_model_itself(make_variant, subject, onnx_variant):
    variant = make_variant("torch")
    ids = subject.tokenizer.encode("a good film").ids
    with torch.inference_mode():
        expected = subject.model(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long)).numpy()
    np.testing.assert_allclose(variant.logits(["a good film"]), expected, atol=1e-6)
    np.testing.assert_allclose(variant.logits(TEXTS), onnx_variant.logits(TEXTS), atol=1e-4)


@pytest.mark.parametrize("engine", ["torch_bf16", "torch_int8"])
def test_rounding_engines_come_close_and_really_round(engine, make_variant, onnx_variant):
    difference = np.abs(make_variant(engine).logits(TEXTS) - onnx_variant.logits(TEXTS)).max()
    assert 1e-3 < difference < 0.1


def test_an_engine_gives_plain_float32_numbers(make_variant):
    ids, mask = np.array([[2, 9, 3]]), np.ones((1, 3), dtype=np.int64)
    for engine in ("torch", "torch_bf16", "torch_int8"):
        found = open_torch(make_variant(engine).folder, engine)(ids, mask)
        assert found.dtype == np.float32 and found.shape == (1, 2)


def test_torch_without_its_legacy_quantization_is_one_clear_line(make_variant, monkeypatch):
    variant = make_variant("torch")
    monkeypatch.setitem(sys.modules, "torch.ao.quantization", None)
    with pytest.raises(UserError, match="legacy quantization is gone") as caught:
        quantize_legacy(torch.nn.Linear(2, 2))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="legacy quantization is gone"):
        open_torch(variant.folder, "torch_int8")
    assert Variant(variant.folder).logits(["good"]).shape == (1, 2)


def test_the_size_is_that_of_the_weights(onnx_variant, make_variant):
    assert onnx_variant.size_mb == (onnx_variant.folder / ONNX).stat().st_size / 1e6
    variant = make_variant("torch")
    assert variant.size_mb == (variant.folder / MODEL).stat().st_size / 1e6


def test_settings_come_back_as_they_were_written(subject, tmp_path):
    settings = VariantSettings("onnx", ("bad", "so so", "good"), 77)
    write_settings(tmp_path, settings, subject.tokenizer)
    assert load_settings(tmp_path) == settings
    assert (tmp_path / TOKENIZER).read_text() == subject.tokenizer.to_str()


def test_a_folder_that_was_not_finished_is_no_variant(subject, tmp_path, monkeypatch):
    """The settings mark it as whole, so they come last."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("model_optimization.runtime.write_text", full)
    with pytest.raises(OSError):
        write_settings(tmp_path, VariantSettings("onnx", ("a", "b"), 8), subject.tokenizer)
    assert not (tmp_path / VARIANT).exists()


@pytest.mark.parametrize("threads, told", [(3, 3), (None, 0)])
def test_the_engine_has_the_threads_that_it_was_given(threads, told, onnx_variant, monkeypatch):
    import onnxruntime

    real, seen = onnxruntime.InferenceSession, []

    def opened(file, options, **more):
        seen.append(options.intra_op_num_threads)
        return real(file, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    Variant(onnx_variant.folder, threads)
    assert seen == [told]


def cut_short(file) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


SETTINGS = {
    "no settings": (lambda folder: (folder / VARIANT).unlink(), "no finished variant here"),
    "settings that are no JSON": (lambda folder: (folder / VARIANT).write_text("{"), "not valid JSON"),
    "settings that are no object": (lambda folder: (folder / VARIANT).write_text("[]"), "not a JSON object"),
    "a setting that is unknown": (lambda folder: (folder / VARIANT).write_text('{"colour": 1}'), "colour"),
    "a setting that is missing": (lambda folder: (folder / VARIANT).write_text('{"engine": "onnx"}'), "label_names"),
    "an engine that there is not": (
        lambda folder: (folder / VARIANT).write_text(
            json.dumps({**json.loads((folder / VARIANT).read_text()), "engine": "abacus"})
        ),
        "abacus",
    ),
    "no tokenizer": (lambda folder: (folder / TOKENIZER).unlink(), f"{TOKENIZER}: missing or damaged"),
    "half a tokenizer": (lambda folder: cut_short(folder / TOKENIZER), f"{TOKENIZER}: missing or damaged"),
}
FILES = {
    "no model": (lambda folder: (folder / ONNX).unlink(), f"{ONNX}: missing"),
    "half a model": (lambda folder: cut_short(folder / ONNX), "ONNX Runtime cannot load it"),
    "an empty model": (lambda folder: (folder / ONNX).write_bytes(b""), "ONNX Runtime cannot load it"),
}
TORCH = {
    "no weights": (lambda folder: (folder / MODEL).unlink(), "cut short or unreadable"),
    "half of the weights": (lambda folder: cut_short(folder / MODEL), "cut short or unreadable"),
    "no shape": (lambda folder: (folder / SHAPE).unlink(), "no classifier here"),
}


def refuse(folder, named: str) -> None:
    with pytest.raises(UserError, match=named) as caught:
        Variant(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage, named", [*SETTINGS.values(), *FILES.values()], ids=[*SETTINGS, *FILES])
def test_a_damaged_folder_is_one_clear_line(damage, named, onnx_variant, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(onnx_variant.folder, folder)
    damage(folder)
    refuse(folder, named)


@pytest.mark.parametrize("damage, named", [*SETTINGS.values(), *TORCH.values()], ids=[*SETTINGS, *TORCH])
def test_a_damaged_folder_of_torch_is_one_clear_line(damage, named, make_variant):
    folder = make_variant("torch").folder
    damage(folder)
    refuse(folder, named)


def test_an_onnx_variant_answers_without_torch(onnx_variant):
    program = (
        "import sys; from pathlib import Path; from model_optimization.runtime import Variant; "
        f"print(Variant(Path({str(onnx_variant.folder)!r}), threads=1).logits(['a good film']).tolist()); "
        "assert not {'torch', 'transformers', 'onnx'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), onnx_variant.logits(["a good film"]), atol=1e-5)
