"""What does each part do? The same short training, with one thing changed at a time.

LADDER goes from `classic` to `modern`: each row keeps the changes above it. PARTS takes one part out of `classic`.
Each row is `train_simple_lm` with the flags that the table prints; the benchmarks `ladder` and `parts` run them all.
"""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.config import to_dict
from shared.files import atomic_path
from shared.runs import RunFolder
from transformer_from_scratch.config import ARCHITECTURES, PROJECT, TrainingConfig

Row = tuple[str, dict[str, Any]]

MAP_LENGTH = 20  # characters in a picture of attention: more could not be read

_MUON = ("optimizer", "learning_rate", "final_learning_rate")

LADDER_STEPS: list[Row] = [
    ("classic", {}),
    ("rotary positions", {"positions": "rotary", "rotary_base": 500.0}),
    ("RMSNorm, no biases", {"norm": "rms", "bias": False}),
    ("squared ReLU", {"activation": "relu_squared"}),
    ("normalised queries and keys", {"normalise_qk": True}),
    ("canon layers", {"canon_reach": ARCHITECTURES["modern"]["canon_reach"]}),
    ("gated heads", {"gate_heads": True, "hidden_factor": ARCHITECTURES["modern"]["hidden_factor"]}),
    ("output layer of its own, zero start", {"tie_embeddings": False, "zero_init": True}),
    ("Muon = modern", {key: ARCHITECTURES["modern"][key] for key in _MUON}),
]

PARTS: list[Row] = [
    ("classic", {}),
    ("without 1/sqrt(Dh)", {"scale_scores": False}),
    ("without residuals", {"residuals": False}),
    ("without layer norm", {"norm": "none"}),
    ("without positions", {"positions": "none"}),
    ("one head", {"n_heads": 1}),
]


def ladder() -> list[Row]:
    """The rows with the changes of those above: the last is `modern`."""
    rows, settings = [], dict[str, Any]()
    for name, change in LADDER_STEPS:
        settings = {**settings, **change}
        rows.append((name, settings))
    return rows


@dataclass(frozen=True)
class AttentionMaps:
    """Where the heads of one trained model look while it reads the start of the text it never saw."""

    text: str
    """(T,) characters."""
    weights: np.ndarray
    """(L, H, T, T) each position's weights on the positions before it."""


def run_rows(
    rows: Sequence[Row], data: str, steps: int, seeds: Sequence[int]
) -> tuple[list[dict[str, Any]], list[AttentionMaps]]:
    """Train each row with each seed; the table, and each row's attention.

    A row's loss is the mean over the seeds; curve, sample and attention are the first seed's.
    """
    from transformer_from_scratch.train_simple_lm import train

    results, maps = [], []
    for name, settings in rows:
        losses, seconds, curve, sample = [], 0.0, [], ""
        for seed in seeds:
            training: dict[str, Any] = {
                "max_steps": steps,
                "eval_every": steps // 10,
                "eval_blocks": 400,
                "tracking": "none",
            }
            config = TrainingConfig(data=data, seed=seed, **training, **settings)
            with tempfile.TemporaryDirectory() as folder:
                run = RunFolder.create(f"{folder}/run", PROJECT, to_dict(config))
                summary = train(config, run)
                if not curve:
                    lines = [line for line in run.metrics() if "val_loss" in line]
                    curve, sample = [[line["step"], line["val_loss"]] for line in lines], lines[-1]["sample"]
                    maps.append(attention_maps(run.path, config))
            losses.append(summary["val_loss"])
            seconds += summary["seconds"]
        results.append(
            {
                "change": name,
                "val_loss": statistics.mean(losses),
                "spread": max(losses) - min(losses),
                "seconds": seconds / len(seeds),
                "flags": " ".join(f"--{key} {str(value).lower()}" for key, value in settings.items()),
                "sample": sample,
                "curve": curve,
            }
        )
    return results, maps


def attention_maps(run: Path, config: TrainingConfig) -> AttentionMaps:
    """What the run's model attends to over the first characters of the validation text."""
    import torch

    from transformer_from_scratch.checkpoint import load_model
    from transformer_from_scratch.training import prepare_text

    model, tokenizer = load_model(run)
    tokens = prepare_text(config).validation[: min(MAP_LENGTH, config.context)].long()  # (T,)
    with torch.inference_mode():
        _, weights = model(tokens[None], need_weights=True)  # L x (1, H, T, T)
    return AttentionMaps(tokenizer.decode(tokens.tolist()), torch.cat(weights).numpy())


def draw_curves(results: Sequence[dict[str, Any]], file: Path, title: str) -> None:
    """The rows' validation losses by step, as a PNG with English labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for result in results:
        # The first evaluation, before any training, is the same for all and would flatten the rest.
        axes.plot(*zip(*result["curve"][1:], strict=True), marker=".", label=result["change"])
    axes.set(xlabel="step", ylabel="loss on unseen text (nats a character)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    with atomic_path(file) as draft:
        figure.savefig(draft, dpi=130, format="png")


def draw_maps(names: Sequence[str], maps: Sequence[AttentionMaps], file: Path) -> None:
    """A row of pictures for each model: the first head of each block, queries downwards, keys to the right."""
    from matplotlib.figure import Figure

    n_blocks = max(len(each.weights) for each in maps)
    figure = Figure(figsize=(2.4 * n_blocks, 2.5 * len(maps)), layout="constrained")
    grid = figure.subplots(len(maps), n_blocks, squeeze=False)
    for row, (line, name, each) in enumerate(zip(grid, names, maps, strict=True)):
        line[0].set_ylabel(name, fontsize=10)
        letters = each.text.replace("\n", "\u21b5")
        for block, (axes, weights) in enumerate(zip(line, each.weights, strict=False), start=1):
            axes.imshow(weights[0], cmap="magma_r", vmin=0, vmax=1)
            axes.set_xticks(range(len(letters)), letters, fontsize=6)
            axes.set_yticks(range(len(letters)), letters, fontsize=6)
            axes.tick_params(length=0)
            if row == 0:
                axes.set_title(f"block {block}", fontsize=10)
    with atomic_path(file) as draft:
        figure.savefig(draft, dpi=110, format="png")
