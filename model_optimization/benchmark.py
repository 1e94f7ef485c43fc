"""What we measure of this project.

python -m model_optimization.benchmark compress          every method on the same texts: accuracy, size, speed, memory
python -m model_optimization.benchmark serve             the highest load that each server answers in time

`compress` makes what it compresses from the classifier that bert_sentiment_analysis ships, by each method's own recipe;
what is finished is kept in the run folder, so that an interrupted one goes on.
"""

from dataclasses import dataclass
from pathlib import Path

from model_optimization.config import PROJECT, SUBJECT
from model_optimization.serving_benchmark import ServeConfig, serve
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome, run_benchmarks
from shared.config import check
from shared.errors import run_program

SHOWN = (
    "method",
    "batch",
    "accuracy",
    "loss_bound",
    "ships",
    "size_mb",
    "p50_ms",
    "texts_per_s",
    "speed_up",
    "peak_mb",
)


@dataclass(frozen=True, kw_only=True)
class CompressConfig(BenchmarkConfig):
    """Compress a classifier in every way, and measure all of them side by side."""

    run: str = SUBJECT
    """Folder of a trained classifier, or a hub name."""
    dataset: str = "rotten_tomatoes"
    """Texts: a packaged set, a file, or a hub set."""
    methods: str = "all"
    """Which ones, with commas between."""
    turns: int = 5
    """Turns in which the speeds are taken."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.turns >= 1, "turns", self.turns, "give at least 1")


def compress(config: CompressConfig) -> Outcome:
    from model_optimization.optimize import OptimizeConfig, optimize

    settings = OptimizeConfig(
        run=config.run,
        dataset=config.dataset,
        methods=config.methods,
        turns=config.turns,
        threads=config.threads,
        seed=config.seed,
        output=f"runs/{PROJECT}/compress",
    )
    found = optimize(settings)
    rows = found.pop("rows")
    printed = [{name: row[name] for name in SHOWN} for row in rows]
    return Outcome({**found, "rows": rows}, rows, printed)


BENCHMARKS = {"compress": Benchmark(CompressConfig, compress), "serve": Benchmark(ServeConfig, serve)}


def main() -> None:
    run_benchmarks(Path(__file__).parent, BENCHMARKS)


if __name__ == "__main__":
    run_program(main)
