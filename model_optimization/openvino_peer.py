"""The peer of our int8: Intel's OpenVINO with its compressor NNCF, from the same ONNX file and calibration texts.

Both are an optional extra: `pip install -e .[peers]`. Without it their rows are reported as failed, and say so.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from model_optimization.runtime import ONNX, Engine, Variant, batches, write_settings
from shared.errors import UserError, reason_of

MODEL = "model.xml"


def quantize_with_nncf(source: Variant, texts: Sequence[str], folder: Path) -> Variant:
    """An int8 variant of one in ONNX whose attention is not fused, by NNCF's recipe for transformers."""
    openvino, nncf = _library("openvino"), _library("nncf")
    nncf.set_log_level("ERROR")
    windows = [window for found in source.reader.windows(texts) for window in found]
    inputs = [dict(zip(("input_ids", "attention_mask"), batch, strict=True)) for batch in batches(windows, 1)]
    model = openvino.convert_model(source.folder / ONNX)
    quantized = nncf.quantize(
        model, nncf.Dataset(inputs), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(inputs)
    )
    return _write(quantized, source, folder)


def convert_to_openvino(source: Variant, folder: Path) -> Variant:
    """As OpenVINO takes it by default: it computes in bf16 where the processor multiplies that natively."""
    return _write(_library("openvino").convert_model(source.folder / ONNX), source, folder)


def _write(model: Any, source: Variant, folder: Path) -> Variant:
    """Two files, model.xml and model.bin, of which neither is there without the other."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as draft:
        _library("openvino").save_model(model, Path(draft) / MODEL)
        for file in Path(draft).iterdir():
            file.replace(folder / file.name)
    write_settings(folder, replace(source.settings, engine="openvino"), source.reader.tokenizer)
    return Variant(folder)


def open_openvino(file: Path, threads: int | None) -> Engine:
    """Raises UserError where the file is missing or damaged, or the library is not there."""
    openvino = _library("openvino")
    if not file.is_file():
        raise UserError(f"{file}: missing: make the variant anew")
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        compiled = openvino.compile_model(file, "CPU", options)
    except RuntimeError as error:
        raise UserError(f"{file}: OpenVINO cannot load it ({reason_of(error)}): make it anew") from error
    request = compiled.create_infer_request()

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return request.infer({"input_ids": ids, "attention_mask": mask})[0].copy()

    return run


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{name} is not here: it is an optional extra, pip install -e .[peers]") from error
