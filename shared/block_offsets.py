"""What 4-bit rounding loses of each block of weights on average, put back into an ONNX model that the builder wrote.

A block of 32 weights is rounded to 16 evenly spaced levels, one of which must be 0 (MatMulNBits has whole zero points).
A block whose own levels lie otherwise is shifted, all its weights alike, by up to half a step; and GGUF's Q4_1, in
which smollm2 ships, lays its levels anywhere. The shift is known, so the product can be mended:

    x W = x W' + blocksums(x) C        C: the mean of W - W' over each block, (blocks, outputs)

The sums are as many as there are blocks, so the second product is a thirty-second of the first, in fp32.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

# A node's name as the builder makes it -> the layers whose weights it holds, one below the other.
PARTS = {
    "qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "q_proj": ("self_attn.q_proj",),
    "k_proj": ("self_attn.k_proj",),
    "v_proj": ("self_attn.v_proj",),
    "o_proj": ("self_attn.o_proj",),
    "gate_proj": ("mlp.gate_proj",),
    "up_proj": ("mlp.up_proj",),
    "down_proj": ("mlp.down_proj",),
}
MOST_LOST = 0.1  # of the squared weights: where rounding lost more, these are not the weights that were rounded


def put_back_offsets(model_file: Path, folder: Path) -> int:
    """Add the correction to every 4-bit product of `model_file` whose weights are found in `folder`; say to how many.

    The file is written anew, with its data beside it. What is not found, such as a layer of another name, stays as it
    is.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(model_file)
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    weights = _Weights(folder)
    nodes: list[Any] = []
    summed: set[str] = set()
    mended = 0
    for node in list(graph.node):
        offsets = _offsets(node, stored, weights) if node.op_type == "MatMulNBits" else None
        nodes.append(node)
        if offsets is None:
            continue
        blocks, outputs = offsets.shape
        read, written = node.input[0], node.output[0]
        sums, summing = f"{read}.block_sums", f"block_sums_{blocks}"
        if summing not in stored:
            stored[summing] = numpy_helper.from_array(_summing(node, blocks), summing)
            graph.initializer.append(stored[summing])
        if sums not in summed:  # products of the same input share them
            nodes.insert(-1, helper.make_node("MatMul", [read, summing], [sums], name=sums))
            summed.add(sums)
        graph.initializer.append(numpy_helper.from_array(offsets, f"{node.name}.offsets"))
        node.output[0] = f"{written}.rounded"
        nodes += [
            helper.make_node("MatMul", [sums, f"{node.name}.offsets"], [f"{written}.lost"], name=f"{node.name}.lost"),
            helper.make_node("Add", [f"{written}.rounded", f"{written}.lost"], [written], name=f"{node.name}.mended"),
        ]
        mended += 1
    del graph.node[:]
    graph.node.extend(nodes)
    data = model_file.with_name(f"{model_file.name}.data")
    data.unlink(missing_ok=True)  # onnx would append to it
    onnx.save(model, model_file, save_as_external_data=True, location=data.name)
    return mended


class _Weights:
    """The weights of a model's folder by name, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        self._files = [safe_open(file, framework="pt") for file in sorted(folder.glob("*.safetensors"))]
        self._where = {name: file for file in self._files for name in file.keys()}

    def of_node(self, name: str) -> np.ndarray | None:
        """(outputs, inputs) in fp32, or None where the names are others."""
        found = re.search(r"layers\.(\d+)[./](?:attn|mlp)[./](\w+?)[./]MatMul", name)
        if found is None or found[2] not in PARTS:
            return None
        names = [f"model.layers.{found[1]}.{part}.weight" for part in PARTS[found[2]]]
        if not all(each in self._where for each in names):
            return None
        return np.concatenate([self._where[each].get_tensor(each).float().numpy() for each in names])


def _offsets(node: Any, stored: dict[str, Any], weights: _Weights) -> np.ndarray | None:
    """The mean of W - W' over each block, (blocks, outputs); None where it cannot be known."""
    from onnx import numpy_helper

    size = _numbers(node)
    full = weights.of_node(node.name)
    if size["bits"] != 4 or full is None or full.shape != (size["N"], size["K"]) or size["K"] % size["block_size"]:
        return None
    blocks = size["K"] // size["block_size"]
    shape = (size["N"], blocks, size["block_size"])
    levels = _nibbles(numpy_helper.to_array(stored[node.input[1]])).reshape(shape)
    steps = numpy_helper.to_array(stored[node.input[2]]).reshape(size["N"], blocks, 1)
    zeros: Any = 8.0
    if len(node.input) > 3 and node.input[3]:
        packed = numpy_helper.to_array(stored[node.input[3]]).reshape(size["N"], -1)
        zeros = _nibbles(packed).reshape(size["N"], -1)[:, :blocks, None]
    lost = full.reshape(shape) - (levels - zeros) * steps
    if np.square(lost).sum() > MOST_LOST * np.square(full).sum():
        return None
    return np.ascontiguousarray(lost.mean(axis=-1).T, dtype=np.float32)


def _nibbles(packed: np.ndarray) -> np.ndarray:
    """Two numbers a byte, the lower half first."""
    return np.stack([packed & 15, packed >> 4], axis=-1).astype(np.float32)


def _summing(node: Any, blocks: int) -> np.ndarray:
    """(inputs, blocks): a 1 where an input belongs to a block."""
    return np.kron(np.eye(blocks), np.ones((_numbers(node)["block_size"], 1))).astype(np.float32)


def _numbers(node: Any) -> dict[str, int]:
    return {attribute.name: attribute.i for attribute in node.attribute}
