"""The variants that torch runs: as trained, in bf16, and with torch's own dynamic int8, which it is about to drop."""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from model_optimization.runtime import Engine
from model_optimization.subject import load_subject
from shared.errors import UserError


def open_torch(folder: Path, engine: str) -> Engine:
    """The engine of a folder that `save_subject` wrote."""
    model: nn.Module = load_subject(folder).model
    if engine == "torch_int8":
        model = quantize_legacy(model)

    @torch.inference_mode()
    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=engine == "torch_bf16"):
            return model(torch.from_numpy(ids), torch.from_numpy(mask)).float().numpy()

    return run


def quantize_legacy(model: nn.Module) -> nn.Module:
    """torch.ao's eager dynamic int8 of the linear layers. Raises UserError where this torch has it no longer."""
    try:
        from torch.ao.quantization import quantize_dynamic
    except ImportError as error:
        raise UserError("torch's legacy quantization is gone from this version: use int8_dynamic") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own removal
        return quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
