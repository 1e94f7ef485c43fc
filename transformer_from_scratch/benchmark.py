"""What we measure of this project.

python -m transformer_from_scratch.benchmark parity     is it the same mathematics as the references?
"""

from dataclasses import dataclass
from pathlib import Path

from shared.benchmark import Benchmark, BenchmarkConfig, Outcome, run_benchmarks
from shared.config import check
from shared.errors import run_program


@dataclass(frozen=True, kw_only=True)
class ParityConfig(BenchmarkConfig):
    """Largest absolute difference to torch's attention and encoder and to transformers' GPT-2, weights copied."""

    seeds: int = 5
    """How many sets of random weights and inputs to try."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.seeds >= 1, "seeds", self.seeds, "give at least 1")


def parity(config: ParityConfig) -> Outcome:
    from transformer_from_scratch.parity import attention_difference, encoder_difference, gpt2_difference

    comparisons = {
        "max_abs_diff_mha": (attention_difference, "torch.nn.MultiheadAttention"),
        "max_abs_diff_encoder": (encoder_difference, "torch.nn.TransformerEncoder"),
        "max_abs_diff_gpt2": (gpt2_difference, "transformers.GPT2LMHeadModel"),
    }
    seeds = range(config.seed, config.seed + config.seeds)
    result = {key: max(difference(seed) for seed in seeds) for key, (difference, _) in comparisons.items()}
    rows = [{"reference": name, "max_abs_diff": result[key]} for key, (_, name) in comparisons.items()]
    return Outcome({**result, "seeds": config.seeds}, rows)


BENCHMARKS = {
    "parity": Benchmark(ParityConfig, parity),
}


def main() -> None:
    run_benchmarks(Path(__file__).parent, BENCHMARKS)


if __name__ == "__main__":
    run_program(main)
