"""The ONNX file says what torch says at every length and batch size, fused, and what cannot be written is refused."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model_optimization.deployment import onnx_conversion
from model_optimization.deployment.onnx_conversion import (
    BATCHES,
    OPSET,
    export,
    operators,
    parity,
    quiet,
    settings_of,
)
from model_optimization.runtime import ONNX, TOKENIZER, VARIANT, Variant, VariantSettings
from shared.errors import UserError


def test_it_says_what_torch_says_at_every_length_and_batch_size(subject, onnx_variant):
    rows = parity(subject.model, onnx_variant, subject.model.shape.n_pieces)
    assert {row["tokens"] for row in rows} == {2, 7, 25, 64}, "as far as the model has positions"
    assert {row["batch"] for row in rows} == {*BATCHES} and len(rows) == 4 * len(BATCHES)
    assert all(row["equal"] and row["max_abs_diff"] < 1e-5 for row in rows)


def test_a_pruned_and_narrowed_model_with_a_layer_before_its_classes_goes_too(make_subject, tmp_path):
    sizes = {"heads": (3, 1), "neurons": (5, 20), "word_width": 6, "n_classes": 3}
    subject = make_subject(**sizes, pooling="first", inner="tanh")
    variant = onnx_conversion.convert(subject, tmp_path)
    assert all(row["equal"] for row in parity(subject.model, variant, subject.model.shape.n_pieces))
    assert operators(tmp_path / ONNX)["Attention"] == 2, "one a layer, each with its own number of heads"


def test_attention_stays_in_its_parts_where_that_is_asked_for(subject, unfused_variant):
    assert all(row["equal"] for row in parity(subject.model, unfused_variant, subject.model.shape.n_pieces))
    found = operators(unfused_variant.folder / ONNX)
    assert found["Attention"] == 0 and found["Softmax"] == 2 and found["BiasGelu"] == 2


def test_a_variant_reads_and_answers_with_the_settings_of_its_classifier(subject):
    own = replace(subject, max_length=20, overlap=4, temperature=2.5)
    assert settings_of(own, "onnx") == VariantSettings(
        "onnx", ("negative", "positive"), 20, 4, 2.5, batch_independent=True
    )


def test_another_model_is_seen_to_differ(subject, onnx_variant):
    with torch.no_grad():
        subject.model.layers[1].down.bias[3] += 0.01
    rows = parity(subject.model, onnx_variant, subject.model.shape.n_pieces)
    assert not any(row["equal"] for row in rows) and max(row["max_abs_diff"] for row in rows) < 0.1


def test_a_mask_that_is_not_heeded_is_seen_to_differ(subject, onnx_variant):
    class Deaf:
        engine = staticmethod(lambda ids, mask: onnx_variant.engine(ids, np.ones_like(mask)))

    rows = parity(subject.model, Deaf(), subject.model.shape.n_pieces)
    assert all(row["equal"] == (row["batch"] == 1) for row in rows)


def test_single_operators_stand_where_several_were(onnx_variant):
    found = operators(onnx_variant.folder / ONNX)
    assert found["Attention"] == 2 and not {"Softmax", "Reshape", "Transpose"} & found.keys()
    assert found["BiasGelu"] == 2, "one a layer"
    assert found["LayerNormalization"] == 5, "two a layer, and the embedding's"
    assert not {"Erf", "Gelu", "ReduceMean", "Sqrt"} & found.keys()


def test_the_fusion_that_is_slower_is_made_neither_in_the_file_nor_when_it_is_opened(
    onnx_variant, tmp_path, monkeypatch
):
    import onnxruntime

    real, seen = onnxruntime.InferenceSession, tmp_path / "as_run.onnx"

    def opened(file, options, **more):
        options.optimized_model_filepath = str(seen)
        return real(file, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    Variant(onnx_variant.folder)
    as_run = operators(seen)
    assert as_run["LayerNormalization"] == 5 and "SkipLayerNormalization" not in as_run
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(seen)
    real(str(onnx_variant.folder / ONNX), options)
    assert operators(seen)["SkipLayerNormalization"] >= 4, "left to itself ONNX Runtime would make it"


def test_the_folder_is_a_whole_variant_and_nothing_else(onnx_variant, subject):
    import onnx

    assert {file.name for file in onnx_variant.folder.iterdir()} == {ONNX, TOKENIZER, VARIANT}
    settings = json.loads((onnx_variant.folder / VARIANT).read_text())
    reading = {"max_length": 32, "overlap": 32, "temperature": 1.0, "batch_independent": True}
    assert settings == {"engine": "onnx", "label_names": ["negative", "positive"], **reading}
    assert (onnx_variant.folder / TOKENIZER).read_text() == subject.tokenizer.to_str()
    model = onnx.load(onnx_variant.folder / ONNX)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET
    named = {value.name: [part.dim_param for part in value.type.tensor_type.shape.dim] for value in model.graph.input}
    assert named.keys() == {"input_ids", "attention_mask"} and all(all(free) for free in named.values())
    assert [value.name for value in model.graph.output] == ["logits"]


@torch.library.custom_op("model_optimization_tests::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@twice.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


class Eigenvalues(nn.Module):
    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals((ids * mask).float()[:, :, None] * ids.float()[:, None, :]).real


class OwnOperator(nn.Module):
    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return twice((ids * mask).float())


@pytest.mark.parametrize("model, named", [(Eigenvalues(), "linalg_eig"), (OwnOperator(), "twice")])
def test_an_operator_that_onnx_has_not_is_one_clear_line_and_leaves_no_file(model, named, tmp_path):
    with pytest.raises(UserError, match=f"cannot be written as ONNX .*{named}") as caught:
        export(model, tmp_path / ONNX)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_written_leaves_the_variant_that_was_there(subject, onnx_variant, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise UserError("no such operator")

    folder = tmp_path / "variant"
    shutil.copytree(onnx_variant.folder, folder)
    monkeypatch.setattr(onnx_conversion, "export", fail)
    with pytest.raises(UserError, match="no such operator"):
        onnx_conversion.convert(subject, folder)
    assert {file.name for file in folder.iterdir()} == {ONNX, TOKENIZER, VARIANT}
    assert Variant(folder).logits(["good"]).tolist() == onnx_variant.logits(["good"]).tolist()


def test_quiet_silences_the_block_only(capsys, caplog):
    with quiet():
        print("not this")  # noqa: T201
        logging.getLogger("exporter").warning("nor this")
    print("but this")  # noqa: T201
    logging.getLogger("exporter").warning("and this")
    assert capsys.readouterr().out == "but this\n"
    assert [record.message for record in caplog.records] == ["and this"]


def test_the_program_refuses_to_ship_what_differs(subject, onnx_variant, tmp_path, monkeypatch, capsys):
    from model_optimization.subject import save_subject

    def pretend(_: object, folder: Path) -> Variant:
        shutil.copytree(onnx_variant.folder, folder)
        return Variant(folder)

    monkeypatch.setattr(onnx_conversion, "convert", pretend)
    save_subject(subject, tmp_path / "same")
    onnx_conversion.main(["--run", str(tmp_path / "same"), "--output", str(tmp_path / "good")])
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert told["variant"] == str(tmp_path / "good") and told["max_abs_diff"] < 1e-5
    with torch.no_grad():
        subject.model.output.bias += 0.001
    save_subject(subject, tmp_path / "other")
    with pytest.raises(UserError, match="differ from torch's by up to 0.001: do not ship it"):
        onnx_conversion.main(["--run", str(tmp_path / "other"), "--output", str(tmp_path / "bad")])
