"""Seeds, and the choice of device and precision: each choice comes with its reason, which the scripts log."""

import ctypes
import random
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from shared.errors import UserError

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


class Choice(NamedTuple):
    """What was chosen, and why."""

    value: str
    reason: str


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def choose_device(requested: str = "auto") -> Choice:
    """`cuda`, `mps` or `cpu`. Raises UserError where the requested one is not there."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if requested == "auto":
        device = next(name for name, there in present.items() if there)
        return Choice(device, "no GPU was found" if device == "cpu" else "the fastest device found")
    if not present.get(requested, False):
        found = ", ".join(name for name, there in present.items() if there)
        raise UserError(f"--device {requested}: not on this machine: choose auto or one of {found}")
    return Choice(requested, "as asked")


def choose_precision(requested: str, device: str, width: int) -> Choice:
    """`bf16` or `fp32` for automatic mixed precision; `width` is the model's, which decides whether bf16 pays.

    Raises UserError where bf16 is asked of a device that cannot do it.
    """
    import torch

    if requested != "auto":
        if requested == "bf16" and device == "cuda" and not torch.cuda.is_bf16_supported():
            raise UserError("--precision bf16: this GPU cannot do it: choose auto or fp32")
        return Choice(requested, "as asked")
    if device == "cuda":
        if torch.cuda.is_bf16_supported():
            return Choice("bf16", "the GPU computes it natively")
        return Choice("fp32", "this GPU has no bf16")
    if device == "cpu" and torch.cpu._is_avx512_bf16_supported() and width >= 128:
        return Choice("bf16", "the processor multiplies it natively and the model is wide enough to gain")
    return Choice("fp32", "bf16 would be slower here" if device == "cpu" else "the safe choice on this device")


def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, instead of handing it back and fetching it anew page by page.

    A training step frees and asks for the same blocks of a megabyte or so, over and over. glibc returns such blocks to
    the system, and on a small model the page faults cost as much as the arithmetic (8,000 a step, measured on a 2-core
    virtual machine). Only glibc is asked; elsewhere nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def synchronize(device: "str | torch.device") -> None:
    """Wait for the GPU, so that a stopped clock has seen all the work."""
    import torch

    if str(device).startswith("cuda"):
        torch.cuda.synchronize()
