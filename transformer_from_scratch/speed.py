"""How many tokens a second a training loop takes in: nanoGPT's and ours, taking turns.

Each loop runs in a process of its own, as people run it: what one does to its memory or threads does not reach another.
All wait, and one at a time takes a turn of a few steps, so that a busy spell of the machine falls on all alike.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from shared.config import to_dict
from shared.runs import RunFolder
from transformer_from_scratch.config import ARCHITECTURES, PROJECT, TrainingConfig
from transformer_from_scratch.train_simple_lm import LOG_EVERY, train

TURNS = 20
STEPS = 2 * LOG_EVERY  # a turn

# Name of the row, the function below that trains, and its settings.
LOOPS: list[tuple[str, str, dict[str, Any]]] = [
    ("nanoGPT", "train_nanogpt", {"bf16": False}),
    ("nanoGPT, bf16 autocast", "train_nanogpt", {"bf16": True}),
    ("classic, fp32", "train_ours", {"architecture": "classic", "precision": "fp32"}),
    ("classic, bf16", "train_ours", {"architecture": "classic", "precision": "bf16"}),
    ("modern, fp32", "train_ours", {"architecture": "modern", "precision": "fp32"}),
    ("modern, bf16", "train_ours", {"architecture": "modern", "precision": "bf16"}),
]


def training_speeds(checkout: str, data: str, threads: int | None) -> list[dict[str, Any]]:
    """A row a loop: median tokens a second, and the median over the turns of its speed by nanoGPT's own loop's."""
    from transformer_from_scratch.nanogpt_peer import BATCH_SIZE, BLOCK_SIZE

    processes = [_start(function, settings, checkout, data, threads) for _, function, settings in LOOPS]
    try:
        rounds = [[_take_turn(process) for process in processes] for _ in range(TURNS + 1)][1:]  # the first warms up
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    rates = [[STEPS * BATCH_SIZE * BLOCK_SIZE / seconds for seconds in turns] for turns in zip(*rounds, strict=True)]
    return [
        {
            "model": name,
            "tokens_per_s": statistics.median(own),
            "speed_ratio": statistics.median(rate / peer for rate, peer in zip(own, rates[0], strict=True)),
        }
        for (name, _, _), own in zip(LOOPS, rates, strict=True)
    ]


def train_ours(architecture: str, precision: Any, data: str, wait: Callable[[], None], **_: Any) -> None:
    """The training script itself at nanoGPT's context and batch, logging included."""
    from transformer_from_scratch.nanogpt_peer import BATCH_SIZE, BLOCK_SIZE

    settings = {**ARCHITECTURES[architecture], "context": BLOCK_SIZE, "batch_size": BATCH_SIZE, "precision": precision}
    settings |= {"max_steps": 10**6, "eval_every": 10**6, "eval_blocks": 1, "tracking": "none"}
    config = TrainingConfig(data=data, **settings)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(f"{folder}/run", PROJECT, to_dict(config))
        train(config, run, on_step=lambda steps, loss: wait() if steps % STEPS == 0 else None)


def train_nanogpt(bf16: bool, checkout: str, data: str, wait: Callable[[], None]) -> None:
    """nanoGPT's loop on the same text."""
    import torch

    from transformer_from_scratch.nanogpt_peer import NanoGPT
    from transformer_from_scratch.training import prepare_text

    text = prepare_text(TrainingConfig(data=data))
    peer = NanoGPT(checkout, len(text.tokenizer), text.train, seed=0)
    while True:
        for _ in range(STEPS):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                peer.step()
        wait()


def _start(
    function: str, settings: dict[str, Any], checkout: str, data: str, threads: int | None
) -> subprocess.Popen[str]:
    arguments = {**settings, "checkout": checkout, "data": data}
    program = f"from {PROJECT} import speed; speed.serve(speed.{function}, {threads!r}, {arguments!r})"
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=nowhere, text=True)
    _seconds(process)  # it has trained its first steps and now sleeps until its turn
    return process


def _take_turn(process: subprocess.Popen[str]) -> float:
    """Let the process train for one turn; the seconds it took."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return _seconds(process)


def _seconds(process: subprocess.Popen[str]) -> float:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a training loop ended before its turn: run it alone to see why")
    return float(line)


def serve(function: Callable[..., None], threads: int | None, arguments: dict[str, Any]) -> None:
    """In the loop's own process: train while it is our turn, and print how long each turn took."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    started = time.perf_counter()
    answer = sys.stdout
    sys.stdout = sys.stderr  # what the loop prints must not look like an answer

    def wait() -> None:
        nonlocal started
        print(time.perf_counter() - started, file=answer, flush=True)
        if not sys.stdin.readline():
            sys.exit()
        started = time.perf_counter()

    function(wait=wait, **arguments)
