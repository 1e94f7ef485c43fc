"""Every variant on the same texts, with the same threads, taking turns: accuracy, size, latency, throughput, memory.

A text goes in as text: its way through the tokenizer counts. The turns spread the noise of a shared machine over all,
and a speed-up is the median of the turns' own ratios. Memory is asked of a process of its own, as only that shows what
one variant needs; an ONNX file there needs no torch.
"""

import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from model_optimization.gate import paired_loss, wilson_interval
from model_optimization.runtime import Variant
from shared.datasets import Example
from shared.errors import UserError
from shared.logging import progress_bar
from shared.timing import Timer, percentile

BASELINE = "fp32_torch"
N_TIMED = {1: 64, 16: 256}  # texts a turn, by batch size
MEMORY_TEXTS = 64


def measure(
    variants: Sequence[Variant], test: Sequence[Example], batch_sizes: Sequence[int], turns: int, most_lost: float
) -> list[dict[str, Any]]:
    """A row a variant and batch size, the baseline's first. `most_lost` is the accuracy that may be lost to ship."""
    texts, labels = [example.text for example in test], np.array([example.label for example in test])
    memory = {variant.name: peak_mb(variant.folder) for variant in variants}
    right = _right(variants, texts, labels, batch_sizes)
    rows = []
    for batch in batch_sizes:
        seconds = _take_turns(variants, texts, batch, turns)
        for variant in variants:
            own = right[variant.name, batch]
            lost = paired_loss(right[BASELINE, batch], own)
            calls = [call for turn in seconds[variant.name] for call in turn]
            ratios = zip(seconds[BASELINE], seconds[variant.name], strict=True)
            rows.append(
                {
                    "method": variant.name,
                    "batch": batch,
                    "accuracy": float(own.mean()),
                    "accuracy_ci": wilson_interval(int(own.sum()), len(own)),
                    "loss": lost.loss,
                    "loss_bound": lost.bound,
                    "ships": lost.passes(most_lost),
                    "size_mb": variant.size_mb,
                    "p50_ms": 1000 * percentile(calls, 50),
                    "p95_ms": 1000 * percentile(calls, 95),
                    "texts_per_s": batch * len(calls) / sum(calls),
                    "speed_up": median(percentile(theirs, 50) / percentile(ours, 50) for theirs, ours in ratios),
                    "peak_mb": memory[variant.name],
                }
            )
    return rows


def _right(
    variants: Sequence[Variant], texts: Sequence[str], labels: np.ndarray, batch_sizes: Sequence[int]
) -> dict[tuple[str, int], np.ndarray]:
    """Which texts are answered rightly (N,), by variant and batch size; once only where the batch changes nothing."""
    right: dict[tuple[str, int], np.ndarray] = {}
    with progress_bar("accuracy", len(variants)) as update:
        for done, variant in enumerate(variants, 1):
            for batch in sorted(batch_sizes, reverse=True):
                if variant.settings.batch_independent and batch != max(batch_sizes):
                    right[variant.name, batch] = right[variant.name, max(batch_sizes)]
                else:
                    right[variant.name, batch] = variant.logits(texts, batch).argmax(1) == labels
            update(done, note=variant.name)
    return right


def _take_turns(
    variants: Sequence[Variant], texts: Sequence[str], batch: int, turns: int
) -> dict[str, list[list[float]]]:
    """Seconds of each call, by variant and turn. The texts are spread evenly over the test set, in whole batches."""
    places = np.linspace(0, len(texts) - 1, N_TIMED.get(batch, 16 * batch)).astype(int)
    chosen = [texts[place] for place in places]
    calls = [chosen[start : start + batch] for start in range(0, len(chosen) - batch + 1, batch)]
    seconds: dict[str, list[list[float]]] = {variant.name: [] for variant in variants}
    with progress_bar(f"timing, batch {batch}", turns * len(variants)) as update:
        for turn in range(turns):
            first = turn % len(variants)
            for place, variant in enumerate([*variants[first:], *variants[:first]], 1):
                variant.logits(calls[0], batch)  # what was evicted by the others comes back into the caches
                own = []
                for call in calls:
                    with Timer() as timer:
                        variant.logits(call, batch)
                    own.append(timer.seconds)
                seconds[variant.name].append(own)
                update(done=turn * len(variants) + place)
    return seconds


def peak_mb(folder: Path) -> float:
    """The most memory, in MB, that a process had which loaded the variant in this folder and answered some texts.

    Raises UserError where that process fails.
    """
    program = f"from model_optimization.measurement import answer_alone; answer_alone({str(folder)!r})"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"{folder}: could not be run alone ({reason}): make the variant anew, or free some memory")
    return float(done.stdout.splitlines()[-1])


def answer_alone(folder: str) -> None:
    """Load the variant in this folder, answer some texts, and print the most memory that this process had."""
    Variant(Path(folder)).logits(["a film that is neither good nor bad , but long"] * MEMORY_TEXTS)
    sys.stdout.write(f"{_own_peak_kilobytes() * 1024 / 1e6}\n")


def _own_peak_kilobytes() -> float:
    # Not ru_maxrss on Linux: a process that was started by a larger one begins with the other's peak there.
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return float(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
