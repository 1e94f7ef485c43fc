"""What we measure of this project.

python -m model_optimization.benchmark compress          every method on the same texts: accuracy, size, speed, memory
python -m model_optimization.benchmark serve             the highest load that each server answers in time
python -m model_optimization.benchmark faults            what becomes of requests when workers are killed, and the like
python -m model_optimization.benchmark drift             false alarms, power and accuracy estimates of the drift monitor

`compress` makes what it compresses from the classifier that bert_sentiment_analysis ships, by each method's own recipe;
what is finished is kept in the run folder, so that an interrupted one goes on. `drift` keeps what was read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_optimization.config import PROJECT, SUBJECT
from model_optimization.faults_benchmark import FaultsConfig, faults
from model_optimization.measurement import BASELINE
from model_optimization.serving_benchmark import ServeConfig, serve
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome, run_benchmarks
from shared.config import check
from shared.errors import run_program

UNTRAINED = "fp32_torch,bf16_torch,fp32_onnx,int8_dynamic,int8_static,trimmed_int8,student,student_int8"
BATCH = {"one_text": 1, "many_texts": 16, "smallest": 1}
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
    train: bool = False
    """Train the student anew instead of taking the one that ships."""
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
        train=config.train,
        turns=config.turns,
        threads=config.threads,
        seed=config.seed,
        output=f"runs/{PROJECT}/compress",
    )
    found = optimize(settings)
    rows = found.pop("rows")
    if config.save:
        _draw(rows)
    printed = [{name: row[name] for name in SHOWN} for row in rows]
    stack = {f"stack_{batch}": compared(rows, "student_int8", batch) for batch in (1, 16)}
    best = {purpose: compared(rows, method, BATCH[purpose]) for purpose, method in found["recommended"].items()}
    return Outcome({**found, **best, **stack, "rows": rows}, rows, printed)


def compared(rows: Sequence[dict[str, Any]], method: str, batch: int) -> dict[str, Any]:
    """How many times as fast and as small as the baseline a method is, and the accuracy lost; empty without it."""
    chosen = {row["method"]: row for row in rows if row["batch"] == batch}
    if method not in chosen:
        return {}
    row, baseline = chosen[method], chosen[BASELINE]
    smaller = baseline["size_mb"] / row["size_mb"]
    return {"method": method, "quicker": row["speed_up"], "smaller": smaller, "loss": row["loss"]}


def _draw(rows: Sequence[dict[str, Any]]) -> None:
    from model_optimization.png_figures import draw_pareto

    results = Path(__file__).parent / "results"
    draw_pareto(rows, "p50_ms", 1, results / "pareto_latency.png")
    draw_pareto(rows, "texts_per_s", 16, results / "pareto_throughput.png")
    draw_pareto(rows, "size_mb", 1, results / "pareto_size.png")


@dataclass(frozen=True, kw_only=True)
class DriftPowerConfig(BenchmarkConfig):
    """How often the drift monitor raises a false alarm, which share of other texts it notices, what it estimates."""

    run: str = SUBJECT
    """Folder of a trained classifier, or a hub name."""
    window: int = 200
    """Texts of a window."""
    n_reference: int = 1000
    """Texts of the reference."""
    n_windows: int = 1000
    """Windows without drift, at least, of each of two kinds of film reviews."""
    n_power: int = 100
    """Windows of each kind of other texts and each share of them."""
    alpha: float = 0.05
    """The share of windows that may raise a false alarm."""
    output: str = f"runs/{PROJECT}/drift_power"
    """Folder for the readings of all texts, which are made once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("window", 20), ("n_reference", 100), ("n_windows", 1), ("n_power", 1)):
            check(getattr(self, name) >= least, name, getattr(self, name), f"give at least {least}")
        check(0 < self.alpha < 1, "alpha", self.alpha, "give a share between 0 and 1")


def drift(config: DriftPowerConfig) -> Outcome:
    from model_optimization.monitoring.drift_power import measure

    result, rows = measure(config)
    if config.save:
        from model_optimization.png_figures import draw_estimates, draw_power

        pictures = Path(__file__).parent / "results"
        draw_power(result["power_by_share"], result["false_alarm_rate"], pictures / "drift_power.png")
        draw_estimates(
            result["accuracy"],
            result["estimates"],
            result["estimate"],
            result["reference_accuracy"],
            pictures / "drift_estimates.png",
        )
    return Outcome(result, rows)


BENCHMARKS = {
    "compress": Benchmark(CompressConfig, compress, sample={"methods": UNTRAINED, "turns": 3}),
    "serve": Benchmark(ServeConfig, serve, sample={"load_seconds": 3.0}),
    "faults": Benchmark(FaultsConfig, faults),
    "drift": Benchmark(DriftPowerConfig, drift, sample={"n_windows": 100, "n_power": 20}),
}


def main() -> None:
    run_benchmarks(Path(__file__).parent, BENCHMARKS)


if __name__ == "__main__":
    run_program(main)
