"""What we measure of this project.

python -m gpt_text_generation.benchmark code                     problems solved, and hostile programs held
python -m gpt_text_generation.benchmark human_eval --data FILE   the same problems as published models
python -m gpt_text_generation.benchmark prompts                  ways to ask, on the same inputs
"""

from pathlib import Path

from gpt_text_generation import code_benchmark, prompt_benchmark
from shared.benchmark import run_benchmarks
from shared.errors import run_program


def main() -> None:
    run_benchmarks(Path(__file__).parent, code_benchmark.BENCHMARKS | prompt_benchmark.BENCHMARKS)


if __name__ == "__main__":
    run_program(main)
