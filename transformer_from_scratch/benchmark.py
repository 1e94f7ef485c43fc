"""What we measure of this project.

python -m transformer_from_scratch.benchmark parity                                    as the references compute it?
python -m transformer_from_scratch.benchmark char_lm --data FILE                       the loss on a text it never saw
python -m transformer_from_scratch.benchmark nanogpt --data FILE --nanogpt DIR         that loss beside nanoGPT's
python -m transformer_from_scratch.benchmark training_speed --data FILE --nanogpt DIR  tokens a second beside its loop
python -m transformer_from_scratch.benchmark generate                                  how fast does it write?
python -m transformer_from_scratch.benchmark ladder --data FILE                        from classic to modern, by change
python -m transformer_from_scratch.benchmark parts --data FILE                         what is each part for?
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared.benchmark import Benchmark, BenchmarkConfig, Outcome, run_benchmarks
from shared.config import check, to_dict
from shared.errors import run_program
from shared.runs import RunFolder
from shared.timing import Timer
from transformer_from_scratch.config import ARCHITECTURES, PRESETS, PROJECT, Sampling, TrainingConfig

SHAKESPEARE = "text/tinyshakespeare.txt"
# Muon needs a fifth of nanoGPT's steps, and more dropout: .4 was better than .3 on the last tenth of the training text.
MODERN_ON_GPU = {"max_steps": 1000, "dropout": 0.4}


@dataclass(frozen=True, kw_only=True)
class ParityConfig(BenchmarkConfig):
    """Largest absolute difference to torch's attention and encoder and to transformers' GPT-2, weights copied."""

    n_seeds: int = 5
    """How many sets of random weights and inputs to try."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n_seeds >= 1, "n_seeds", self.n_seeds, "give at least 1")


def parity(config: ParityConfig) -> Outcome:
    from transformer_from_scratch.parity import attention_difference, encoder_difference, gpt2_difference

    comparisons = {
        "max_abs_diff_mha": (attention_difference, "torch.nn.MultiheadAttention"),
        "max_abs_diff_encoder": (encoder_difference, "torch.nn.TransformerEncoder"),
        "max_abs_diff_gpt2": (gpt2_difference, "transformers.GPT2LMHeadModel"),
    }
    seeds = range(config.seed, config.seed + config.n_seeds)
    result = {key: max(difference(seed) for seed in seeds) for key, (difference, _) in comparisons.items()}
    rows = [{"reference": name, "max_abs_diff": result[key]} for key, (_, name) in comparisons.items()]
    return Outcome({**result, "seeds": config.n_seeds}, rows)


@dataclass(frozen=True, kw_only=True)
class CharLMConfig(BenchmarkConfig):
    """Train on the first 90 % of a text and score all of the rest; the cpu preset sees 1.536 M tokens at most."""

    data: str
    """The text file."""
    architecture: Literal["classic", "modern"] = "modern"
    """Which model."""
    preset: Literal["cpu", "gpu"] = "cpu"
    """The size: 0.8 M parameters for a processor, 10.6 M for a GPU."""
    max_seconds: float | None = None
    """Train for about this long at most."""

    @property
    def variant(self) -> str:
        return "" if self.preset == "cpu" else f"_{self.preset}"


def char_lm(config: CharLMConfig) -> Outcome:
    shape = PRESETS[config.preset]
    if (config.preset, config.architecture) == ("gpu", "modern"):
        shape = shape | MODERN_ON_GPU
    return Outcome(_train(config.data, config.architecture, config.seed, config.max_seconds, **shape))


@dataclass(frozen=True, kw_only=True)
class NanoGPTConfig(BenchmarkConfig):
    """nanoGPT in its own recipe, and our models beside it."""

    data: str
    """The text file."""
    nanogpt: str
    """A checkout of karpathy/nanoGPT."""


def nanogpt(config: NanoGPTConfig) -> Outcome:
    """nanoGPT's recipe first, then ours for as many tokens, and for as long."""
    from transformer_from_scratch import training
    from transformer_from_scratch.nanogpt_peer import BATCH_SIZE, BLOCK_SIZE, MAX_ITERS, NanoGPT

    text = training.prepare_text(TrainingConfig(data=config.data))
    peer = NanoGPT(config.nanogpt, len(text.tokenizer), text.train, config.seed)
    with Timer() as timer:
        while peer.steps < MAX_ITERS:
            peer.step()
    rows = [
        {
            "model": "nanoGPT",
            "params": sum(weight.numel() for weight in peer.model.parameters()),
            "tokens_seen": MAX_ITERS * BATCH_SIZE * BLOCK_SIZE,
            "seconds": timer.seconds,
            "val_loss": training.evaluate(peer.as_scored(), text.validation),
        }
    ]
    same = {"context": BLOCK_SIZE, "batch_size": BATCH_SIZE, "max_steps": MAX_ITERS}
    for name, architecture, limit, shape in (
        ("classic, same context and batch", "classic", None, same),
        ("modern", "modern", None, {}),
        ("modern, in nanoGPT's time", "modern", timer.seconds, {}),
        ("modern, in fp32 throughout", "modern", None, {"precision": "fp32"}),
    ):
        row = _train(config.data, architecture, config.seed, limit, **shape)
        rows.append({"model": name, **{key: row[key] for key in list(rows[0])[1:]}})
    result = {
        "nanogpt_val_loss": rows[0]["val_loss"],
        "nanogpt_seconds": timer.seconds,
        "val_loss": rows[2]["val_loss"],
        "val_loss_in_nanogpt_seconds": rows[3]["val_loss"],
    }
    return Outcome(result, rows)


def training_speed(config: NanoGPTConfig) -> Outcome:
    """The same size and batch for all. A ratio above 1 is faster than nanoGPT's own loop in the same turns."""
    from transformer_from_scratch.speed import training_speeds

    rows = training_speeds(config.nanogpt, config.data, config.threads)
    names = [re.sub(r"\W+", "_", row["model"].lower()) for row in rows]
    rates = {f"{name}_tokens_per_s": row["tokens_per_s"] for name, row in zip(names, rows, strict=True)}
    ratios = {f"{name}_speed_ratio": row["speed_ratio"] for name, row in zip(names, rows, strict=True)}
    return Outcome({**rates, **ratios}, rows)


@dataclass(frozen=True, kw_only=True)
class GenerateSpeedConfig(BenchmarkConfig):
    """Characters a second that a 0.8 M parameter model of context 256 writes, one text at a time."""

    n_tokens: int = 2000
    """Characters to write in each of three turns."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n_tokens >= 20, "n_tokens", self.n_tokens, "give at least 20")


def generate(config: GenerateSpeedConfig) -> Outcome:
    import statistics

    import torch

    from shared.devices import seed_everything
    from transformer_from_scratch.sampling import generate_tokens
    from transformer_from_scratch.transformer_block import LanguageModel

    rows = []
    for name, settings in ARCHITECTURES.items():
        seed_everything(config.seed)
        model = LanguageModel(TrainingConfig(**{**settings, "context": 256}), 65).eval()
        for way, use_cache, n_tokens in (("cache", True, config.n_tokens), ("no cache", False, config.n_tokens // 20)):
            rates = []
            for turn in range(4):
                with Timer() as timer:
                    list(
                        generate_tokens(model, torch.tensor([1]), n_tokens, Sampling(), seed=turn, use_cache=use_cache)
                    )
                rates.append(timer.rate(n_tokens))
            rate = statistics.median(rates[1:])  # the first warms up
            rows.append({"model": name, "way": way, "tokens_per_s": rate})
    best = {row["way"]: row["tokens_per_s"] for row in rows if row["model"] == "modern"}
    result = {"tokens_per_s": best["cache"], "tokens_per_s_no_cache": best["no cache"], "context": 256, "batch": 1}
    return Outcome({**result, "n_tokens": config.n_tokens}, rows)


@dataclass(frozen=True, kw_only=True)
class AblationConfig(BenchmarkConfig):
    """Short trainings with one thing changed at a time."""

    data: str
    """The text file."""
    steps: int = 500
    """Steps of each training."""
    n_seeds: int = 2
    """Trainings a row."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.steps >= 20, "steps", self.steps, "give at least 20")
        check(self.n_seeds >= 1, "n_seeds", self.n_seeds, "give at least 1")


class LadderConfig(AblationConfig):
    """From classic to modern: short trainings, each row keeping the changes above it."""


class PartsConfig(AblationConfig):
    """What each part is for: short trainings of classic with one part taken out."""


def ladder(config: AblationConfig) -> Outcome:
    from transformer_from_scratch import ablation

    return _ablation(ablation.ladder(), config, "ladder", "From classic to modern, one change at a time")


def parts(config: AblationConfig) -> Outcome:
    from transformer_from_scratch import ablation

    return _ablation(ablation.PARTS, config, "parts", "The classic model with one part taken out")


def _ablation(rows: list[Any], config: AblationConfig, name: str, title: str) -> Outcome:
    from transformer_from_scratch import ablation

    results, maps = ablation.run_rows(rows, config.data, config.steps, range(config.seed, config.seed + config.n_seeds))
    if config.save:
        folder = Path(__file__).parent / "results"
        ablation.draw_curves(results, folder / f"{name}.png", title)
        ablation.draw_maps([row["change"] for row in results], maps, folder / f"{name}_attention.png")
    losses = {re.sub(r"\W+", "_", row["change"].lower()).strip("_"): row["val_loss"] for row in results}
    return Outcome({**losses, "steps": config.steps, "seeds": config.n_seeds}, results)


def _train(data: str, architecture: str, seed: int, max_seconds: float | None, **shape: Any) -> dict[str, Any]:
    """Train in a folder that is thrown away; the summary's numbers."""
    from transformer_from_scratch.train_simple_lm import train

    settings = {**ARCHITECTURES[architecture], "architecture": architecture, "tracking": "none", "eval_every": 1000}
    settings |= shape
    training_config = TrainingConfig(data=data, seed=seed, max_seconds=max_seconds, **settings)
    with tempfile.TemporaryDirectory() as folder:
        return train(training_config, RunFolder.create(f"{folder}/run", PROJECT, to_dict(training_config)))


BENCHMARKS = {
    "parity": Benchmark(ParityConfig, parity),
    "char_lm": Benchmark(CharLMConfig, char_lm, SHAKESPEARE),
    "generate": Benchmark(GenerateSpeedConfig, generate),
    "ladder": Benchmark(LadderConfig, ladder, SHAKESPEARE, long=True),
    "parts": Benchmark(PartsConfig, parts, SHAKESPEARE, long=True),
    "nanogpt": Benchmark(NanoGPTConfig, nanogpt, SHAKESPEARE),
    "training_speed": Benchmark(NanoGPTConfig, training_speed, SHAKESPEARE),
}


def main() -> None:
    run_benchmarks(Path(__file__).parent, BENCHMARKS)


if __name__ == "__main__":
    run_program(main)
