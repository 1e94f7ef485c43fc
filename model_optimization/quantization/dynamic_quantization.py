"""Dynamic int8: weights are rounded once, activations while they pass, by the range that each batch happens to have.

python -m model_optimization.quantization.dynamic_quantization --run RUN --output FOLDER

A weight becomes an integer of 8 bits and a scale a column: w = scale * q (arXiv 1712.05877, equation 1, with the zero
point at 0 for weights). A quarter of the bytes, and processors multiply four such integers in the time of one float.
No data is needed, so this is what to try first. What it costs: a pass over each activation to find its range, and an
answer that depends a little on what else is in the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model_optimization.config import PROJECT, SUBJECT
from model_optimization.runtime import ONNX, Variant, write_settings
from shared.config import parse_config
from shared.errors import run_program
from shared.files import atomic_path
from shared.logging import print_result, setup_logging

# Everything that holds weights: linear layers, and the word vectors, which are half of a small model.
QUANTIZED = ["MatMul", "Attention", "Gather"]


@dataclass(frozen=True)
class DynamicConfig:
    """Write a classifier as int8 with activations quantized as they come."""

    run: str = SUBJECT
    """Folder of a trained classifier, or a hub name."""
    output: str = f"runs/{PROJECT}/int8_dynamic"
    """Folder for the variant; what is there is replaced."""
    per_channel: bool = True
    """A scale for each column of a weight instead of one for all of it."""


def quantize_dynamically(source: Variant, folder: Path, per_channel: bool = True) -> Variant:
    """An int8 variant of one in ONNX."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from model_optimization.deployment.onnx_conversion import quiet

    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / ONNX) as draft, quiet():
        quantize_dynamic(
            source.folder / ONNX,
            draft,
            op_types_to_quantize=QUANTIZED,
            per_channel=per_channel,
            weight_type=QuantType.QInt8,
        )
    write_settings(folder, replace(source.settings, batch_independent=False), source.reader.tokenizer)
    return Variant(folder)


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(DynamicConfig, argv, prog=f"python -m {PROJECT}.quantization.dynamic_quantization")
    setup_logging()
    from model_optimization.deployment.onnx_conversion import convert
    from model_optimization.subject import load_subject

    folder = Path(config.output)
    whole = convert(load_subject(config.run), folder.with_name("fp32_onnx"))
    variant = quantize_dynamically(whole, folder, config.per_channel)
    print_result({"variant": str(folder), "size_mb": variant.size_mb, "size_mb_before": whole.size_mb})


if __name__ == "__main__":
    run_program(main)
