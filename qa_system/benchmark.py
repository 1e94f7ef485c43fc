"""What we measure of this project. The first measurements are in the making: `ingest` and `retrieval`."""

from pathlib import Path

from shared.benchmark import Benchmark, run_benchmarks
from shared.errors import run_program

BENCHMARKS: dict[str, Benchmark] = {}


def main() -> None:
    run_benchmarks(Path(__file__).parent, BENCHMARKS)


if __name__ == "__main__":
    run_program(main)
