"""What rounding loses of each block on average comes back, and nothing else changes."""

import shutil

import numpy as np
import pytest

from shared.block_offsets import put_back_offsets

onnxruntime = pytest.importorskip("onnxruntime")
INPUTS, OUTPUTS, BLOCK = 64, 6, 32


def product(tmp_path, levels, steps, zeros, name="/model/layers.0/mlp/down_proj/MatMul_Q4"):
    """A model of one 4-bit product: levels (N, blocks, 32) from 0 to 15, steps (N, blocks), zeros (N, blocks)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    packed = (levels[..., ::2] | levels[..., 1::2] << 4).astype(np.uint8)
    node = helper.make_node(
        "MatMulNBits", ["x", "levels", "steps", "zeros"], ["y"], name=name, domain="com.microsoft",
        K=INPUTS, N=OUTPUTS, bits=4, block_size=BLOCK, accuracy_level=1,
    )  # fmt: skip
    stored = {"levels": packed, "steps": steps.astype(np.float32).ravel()}
    stored["zeros"] = (zeros[:, 0] | zeros[:, 1] << 4).astype(np.uint8)
    graph = helper.make_graph(
        [node], "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "t", INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "t", OUTPUTS])],
        [numpy_helper.from_array(value, key) for key, value in stored.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    file = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), file)
    return file


def run(file, x):
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.fixture
def rounded(tmp_path):
    """Weights on a grid whose levels lie anywhere, rounded to one that has a 0: file, input, weights, folder."""
    import torch
    from safetensors.torch import save_file

    draws = np.random.default_rng(0)
    levels = draws.integers(0, 16, (OUTPUTS, 2, BLOCK))
    steps = draws.uniform(0.05, 0.1, (OUTPUTS, 2))
    lowest = -steps * draws.uniform(6, 9, (OUTPUTS, 2))  # where the grid begins
    weights = (lowest[..., None] + steps[..., None] * levels).reshape(OUTPUTS, INPUTS).astype(np.float32)
    save_file({"model.layers.0.mlp.down_proj.weight": torch.tensor(weights)}, tmp_path / "model.safetensors")
    zeros = np.round(-lowest / steps).astype(int)
    x = draws.normal(1, 1, (1, 5, INPUTS)).astype(np.float32)
    return product(tmp_path, levels, steps, zeros), x, weights, tmp_path


def test_a_block_that_was_only_shifted_comes_back_whole(rounded):
    file, x, weights, folder = rounded
    exact = x @ weights.T
    before = run(file, x)
    assert np.abs(before - exact).max() > 0.1
    assert put_back_offsets(file, folder) == 1
    np.testing.assert_allclose(run(file, x), exact, atol=1e-4)


def test_other_weights_than_those_that_were_rounded_are_left_alone(rounded):
    import torch
    from safetensors.torch import save_file

    file, x, weights, folder = rounded
    before = run(file, x)
    for name, others in (
        ("model.layers.0.mlp.down_proj.weight", np.roll(weights, 7)),
        ("model.layers.0.mlp.down_proj.weight", weights[:3]),
        ("transformer.h.0.weight", weights),
    ):
        save_file({name: torch.tensor(others.copy())}, folder / "model.safetensors")
        assert put_back_offsets(file, folder) == 0
        np.testing.assert_array_equal(run(file, x), before)


def test_a_product_of_an_unknown_name_is_left_alone(rounded, tmp_path):
    _, x, _, folder = rounded
    draws = np.random.default_rng(1)
    other = tmp_path / "other"
    other.mkdir()
    zeros = np.full((OUTPUTS, 2), 8)
    file = product(other, draws.integers(0, 16, (OUTPUTS, 2, BLOCK)), np.ones((OUTPUTS, 2)), zeros, "/lm_head/MatMul")
    assert put_back_offsets(file, folder) == 0


@pytest.mark.slow
def test_a_whole_model_on_such_a_grid_comes_back(tiny_language_model, tmp_path, monkeypatch):
    """Its products are then exact but for the 8 bits of what is multiplied with, and the output layer's."""
    import onnxruntime_genai
    import torch
    from transformers import AutoModelForCausalLM

    from shared import fast_decoding

    folder = tmp_path / "grid"
    shutil.copytree(tiny_language_model("llama"), folder)
    network = AutoModelForCausalLM.from_pretrained(folder)
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if ".layers." in name and weight.ndim == 2:
                blocks = weight.view(weight.shape[0], -1, BLOCK)
                low, high = blocks.amin(-1, keepdim=True), blocks.amax(-1, keepdim=True)
                step = (high - low) / 15
                weight.copy_((((blocks - low) / step).round() * step + low).view_as(weight))
    network.save_pretrained(folder)
    with monkeypatch.context() as plain:
        plain.setattr(fast_decoding, "put_back_offsets", lambda *_: 0)
        fast_decoding._build(folder, tmp_path)
    built = tmp_path / "whole"
    ids = torch.randint(0, 250, (1, 40), generator=draws)
    with torch.inference_mode():
        exact = network(ids).logits[0].numpy()

    def error():
        model = onnxruntime_genai.Model(str(built))
        settings = onnxruntime_genai.GeneratorParams(model)
        settings.set_search_options(max_length=64)
        generator = onnxruntime_genai.Generator(model, settings)
        generator.append_tokens(ids.numpy().astype(np.int32))
        return np.square(generator.get_output("logits")[0] - exact).mean()

    before = error()
    assert put_back_offsets(built / "model.onnx", folder) == 2 * 5
    assert error() < before / 4
