"""Static int8: the ranges of the activations are fixed beforehand, from texts that the model reads for that purpose.

python -m model_optimization.quantization.static_quantization --run RUN --output FOLDER

Each tensor's range is measured while the model reads the calibration texts, and written into the file as pairs of
QuantizeLinear and DequantizeLinear (QDQ), which ONNX Runtime folds into integer operators. Nothing has to be measured
while it answers, and an answer does not depend on the rest of the batch; a value beyond the range is cut off.

The calibration texts are chosen by a rule: `n` texts of the training part, evenly spread over it sorted by length, so
that short and long ones are both seen. They are neither tested on nor chosen by.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from model_optimization.config import PROJECT, SUBJECT
from model_optimization.runtime import ONNX, Variant, batches, write_settings
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.files import atomic_path
from shared.logging import print_result, setup_logging

Method = Literal["minmax", "percentile", "entropy"]


@dataclass(frozen=True)
class StaticConfig:
    """Write a classifier as int8 with ranges measured beforehand."""

    run: str = SUBJECT
    """Folder of a trained classifier, or a hub name."""
    output: str = f"runs/{PROJECT}/int8_static"
    """Folder for the variant; what is there is replaced."""
    dataset: str = "rotten_tomatoes"
    """Set whose training part calibrates: a packaged one, a file, or a hub set."""
    n: int = 256
    """Calibration texts."""
    method: Method = "minmax"
    """A tensor's range: from its least to its largest value, or without the outermost ones."""

    def __post_init__(self) -> None:
        check(self.n >= 1, "n", self.n, "give at least 1 text")


def calibration_texts(texts: Sequence[str], n: int) -> list[str]:
    """`n` of the texts, evenly spread over them sorted by length. Raises UserError where there are none."""
    if not texts:
        raise UserError("the calibration set is empty: give a set with training texts")
    ordered = sorted(texts, key=lambda text: (len(text), text))
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, min(n, len(ordered))).round().astype(int)]


def quantize_statically(source: Variant, texts: Sequence[str], folder: Path, method: Method = "minmax") -> Variant:
    """An int8 variant of one in ONNX, calibrated on these texts.

    It does not know the fused attention, whose weights would stay in 32 bits: give a source without it.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    from model_optimization.deployment.onnx_conversion import quiet

    folder.mkdir(parents=True, exist_ok=True)
    methods = {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
    with atomic_path(folder / ONNX) as draft, quiet():
        quantize_static(
            source.folder / ONNX,
            draft,
            _Texts(source, texts),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=methods[method],
            # Rounding both sides costs accuracy and gains little. (MatMulConstBOnly does nothing in this format.)
            nodes_to_exclude=_products_without_weight(source.folder / ONNX),
            # One text at a time, as the histograms of the other methods cannot join texts of several lengths.
            extra_options={"CalibStridedMinMax": 1},
        )
    write_settings(folder, source.settings, source.reader.tokenizer)
    return Variant(folder)


def _products_without_weight(file: Path) -> list[str]:
    """The names of attention's products, of which neither side is a weight."""
    import onnx

    graph = onnx.load(file).graph
    weights = {weight.name for weight in graph.initializer}
    return [node.name for node in graph.node if node.op_type == "MatMul" and not weights & {*node.input}]


class _Texts:
    """The texts as ONNX Runtime's CalibrationDataReader hands them out: one text at a time, so that none is padded."""

    def __init__(self, source: Variant, texts: Sequence[str]) -> None:
        self.windows = [window for found in source.reader.windows(texts) for window in found]
        self.inputs: Iterator[tuple[np.ndarray, np.ndarray]] = iter(())

    def __len__(self) -> int:
        return len(self.windows)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.inputs = batches(self.windows[start_index:end_index], 1)

    def get_next(self) -> dict[str, Any] | None:
        found = next(self.inputs, None)
        return None if found is None else dict(zip(("input_ids", "attention_mask"), found, strict=True))


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(StaticConfig, argv, prog=f"python -m {PROJECT}.quantization.static_quantization")
    setup_logging()
    from model_optimization.deployment.onnx_conversion import convert
    from model_optimization.subject import load_subject
    from model_optimization.texts import load_texts

    subject = load_subject(config.run)
    texts = load_texts(config.dataset, subject.trained_on, len(subject.label_names))
    folder = Path(config.output)
    whole = convert(subject, folder.with_name("fp32_onnx_unfused"), attention=False)
    chosen = calibration_texts([example.text for example in texts.train], config.n)
    variant = quantize_statically(whole, chosen, folder, config.method)
    sizes = {"size_mb": variant.size_mb, "size_mb_before": whole.size_mb}
    print_result({"variant": str(folder), "calibration_texts": len(chosen), **sizes})


if __name__ == "__main__":
    run_program(main)
