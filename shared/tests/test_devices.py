"""Device, precision and seed: every choice with its reason."""

import ctypes
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from shared.devices import choose_device, choose_precision, seed_everything, synchronize
from shared.errors import UserError

MISSING = next(name for name in ("cuda", "mps") if not getattr(torch, name).is_available())


def draw() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


@pytest.mark.parametrize("seed", [0, 7, 2**33])
def test_a_seed_reproduces_all_three_generators(seed):
    seed_everything(seed)
    first = draw()
    second = draw()
    seed_everything(seed)
    assert draw() == first
    assert all(a != b for a, b in zip(first, second, strict=True))


def test_auto_takes_a_device_that_works_and_says_why():
    device, reason = choose_device()
    assert float(torch.ones(2, device=device).sum()) == 2
    assert reason in ("no GPU was found", "the fastest device found")


def test_the_cpu_is_there_when_asked_for():
    assert choose_device("cpu") == ("cpu", "as asked")


@pytest.mark.parametrize("device", [MISSING, "nosuch"])
def test_a_missing_device_is_refused_with_what_there_is(device):
    with pytest.raises(UserError, match=f"^--device {device}: not on this machine: choose auto or one of .*cpu"):
        choose_device(device)


def test_a_narrow_model_on_the_cpu_stays_in_fp32_and_says_why():
    assert choose_precision("auto", "cpu", 64) == ("fp32", "bf16 would be slower here")


@pytest.mark.parametrize("native", [True, False])
def test_a_wide_model_on_the_cpu_takes_bf16_exactly_where_the_processor_has_it(monkeypatch, native):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    value, reason = choose_precision("auto", "cpu", 512)
    assert (value == "bf16") == native
    assert ("natively" in reason) == native


def test_a_precision_that_was_asked_for_is_kept():
    assert choose_precision("bf16", "cpu", 8) == ("bf16", "as asked")
    assert choose_precision("fp32", "cpu", 4096) == ("fp32", "as asked")


def test_mps_takes_the_safe_precision():
    assert choose_precision("auto", "mps", 4096) == ("fp32", "the safe choice on this device")


def test_waiting_for_the_cpu_needs_no_gpu():
    synchronize("cpu")
    synchronize(torch.device("cpu"))


def test_kept_memory_saves_page_faults():
    """In a process of its own: freed megabytes are reused without a fault."""
    program = """
import resource, numpy, sys
from shared.devices import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        blocks = [numpy.ones(40_000_000 // 8) for _ in range(2)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""
    if not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("not glibc")
    counts = {
        mode: int(subprocess.run([sys.executable, "-c", program, mode], capture_output=True, text=True).stdout)
        for mode in ("keep", "give")
    }
    assert counts["keep"] < counts["give"] / 10
