"""The classifier as an ONNX file: any batch, any length, its operators fused, and proved to say the same.

python -m model_optimization.deployment.onnx_conversion --run RUN --output FOLDER

torch.export follows the tensors through the model once and writes down what happened to them. ONNX Runtime's optimizer
then puts single operators in the place of what takes several: attention with its three projections, normalisation, and
GELU with its bias.
"""

import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model_optimization.config import PROJECT, SUBJECT
from model_optimization.runtime import ONNX, EngineName, Variant, VariantSettings, write_settings
from shared.config import parse_config
from shared.errors import UserError, run_program
from shared.files import atomic_path
from shared.logging import print_result, print_table, setup_logging

if TYPE_CHECKING:
    from onnx import GraphProto
    from torch import nn

    from model_optimization.classifier import Classifier
    from model_optimization.subject import Subject

OPSET = 20  # the first with GELU as one operator
TOLERANCE = 1e-4  # of a logit: sums in another order, in 32 bits
LENGTHS, BATCHES = (2, 7, 25, 64, 200), (1, 3, 16)


@dataclass(frozen=True)
class ConversionConfig:
    """Write a classifier as ONNX, and compare its answers with torch's."""

    run: str = SUBJECT
    """Folder of a trained classifier, or a hub name."""
    output: str = f"runs/{PROJECT}/fp32_onnx"
    """Folder for the variant; what is there is replaced."""


def convert(subject: "Subject", folder: Path, attention: bool = True) -> Variant:
    """Export, fuse, and write as a variant that answers. Raises UserError for an operator that ONNX has not.

    Without `attention` that stays in its parts, which is how static int8 can reach its weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / ONNX) as draft:
        export(subject.model, draft)
        fuse(draft, attention)
    write_settings(folder, settings_of(subject, "onnx"), subject.tokenizer)
    return Variant(folder)


def settings_of(subject: "Subject", engine: EngineName) -> VariantSettings:
    """What a variant keeps of its classifier."""
    return VariantSettings(
        engine,
        subject.label_names,
        subject.max_length,
        subject.overlap,
        subject.temperature,
        batch_independent=engine != "torch_int8",
    )


def export(model: "nn.Module", file: Path) -> None:
    """Write the graph with a free batch size and length. Raises UserError for an operator that ONNX has not."""
    import torch

    ids = torch.ones((2, 5), dtype=torch.long)  # neither 0 nor 1: those would be taken for fixed sizes
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    with quiet():
        try:
            program = torch.onnx.export(
                model.eval(),
                (ids, torch.ones_like(ids)),
                dynamo=True,
                opset_version=OPSET,
                input_names=["input_ids", "attention_mask"],
                output_names=["logits"],
                dynamic_shapes=(free, free),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise UserError(f"the model cannot be written as ONNX ({_reason(error)}): use another operation") from error
    program.save(str(file))


def fuse(file: Path, attention: bool = True) -> None:
    """Put ONNX Runtime's own operators in the place of several each, but for the one that is slower than those."""
    import onnx
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    model = onnx.load(file)
    _spell_out(model.graph)
    options = FusionOptions("bert")
    options.enable_attention = attention
    options.enable_skip_layer_norm = False  # see SLOW_FUSION in runtime.py
    with quiet():
        fused = optimize_model(model, "bert", num_heads=0, hidden_size=0, optimization_options=options, opt_level=0)
    fused.save_model_to_file(str(file))


def _spell_out(graph: "GraphProto") -> None:
    """Write the graph as the optimizer's search for attention expects it: a number for each size, an axis at a time.

    Texts and tokens are the first two axes wherever this model reshapes, so that their sizes are 0, "as before".
    """
    from onnx import helper, numpy_helper

    values = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}

    def constant(name: str, numbers: Sequence[int]) -> str:
        graph.initializer.append(numpy_helper.from_array(np.array(numbers, dtype=np.int64), name))
        return name

    for place, node in reversed(list(enumerate(graph.node))):
        if node.op_type == "Reshape" and (sizes := made_by.get(node.input[1])) and sizes.op_type == "Concat":
            numbers = [number for part in sizes.input for number in values.get(part, np.zeros(1)).tolist()]
            node.input[1] = constant(f"{node.name}_sizes", numbers)
            del node.attribute[:]  # `allowzero`, with which 0 would mean an axis without elements
        elif node.op_type == "Unsqueeze" and values[node.input[1]].tolist() == [1, 2]:
            before = f"{node.input[0]}_wider"
            axis = constant(f"{node.name}_first", [1])
            graph.node.insert(place, helper.make_node("Unsqueeze", [node.input[0], axis], [before]))
            node.input[0], node.input[1] = before, constant(f"{node.name}_second", [2])


def parity(model: "Classifier", variant: Variant, n_pieces: int, seed: int = 0) -> list[dict[str, Any]]:
    """Largest difference of a logit from torch's, a row a length and batch size, half of the texts padded."""
    import torch

    draw = np.random.default_rng(seed)
    rows = []
    for length in (length for length in LENGTHS if length <= model.shape.n_positions):
        for batch in BATCHES:
            ids = draw.integers(1, n_pieces, (batch, length))
            mask = np.ones_like(ids)
            mask[1::2, max(1, length // 2) :] = 0
            with torch.inference_mode():
                expected = model(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
            difference = float(np.abs(variant.engine(ids, mask) - expected).max())
            rows.append({"tokens": length, "batch": batch, "max_abs_diff": difference, "equal": difference < TOLERANCE})
    return rows


def operators(file: Path) -> Counter[str]:
    """How often each operator stands in the graph."""
    import onnx

    return Counter(node.op_type for node in onnx.load(file, load_external_data=False).graph.node)


@contextmanager
def quiet() -> Iterator[None]:
    """Neither the exporter's printed progress nor the optimizer's advice in the log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(ConversionConfig, argv, prog=f"python -m {PROJECT}.deployment.onnx_conversion")
    setup_logging()
    from model_optimization.subject import load_subject  # only now: `--help` does not wait for torch

    subject = load_subject(config.run)
    folder = Path(config.output)
    variant = convert(subject, folder)
    rows = parity(subject.model, variant, subject.model.shape.n_pieces)
    print_table("difference of a logit from torch's", rows)
    print_table("operators", [{"operator": name, "times": n} for name, n in operators(folder / ONNX).most_common()])
    worst = max(row["max_abs_diff"] for row in rows)
    if worst >= TOLERANCE:
        raise UserError(f"{folder}: its answers differ from torch's by up to {worst:.2g}: do not ship it")
    print_result({"variant": str(folder), "size_mb": variant.size_mb, "max_abs_diff": worst})


if __name__ == "__main__":
    run_program(main)
