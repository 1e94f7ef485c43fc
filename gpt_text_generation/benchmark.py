"""What we measure of this project.

python -m gpt_text_generation.benchmark decode                   how fast it writes, beside transformers
python -m gpt_text_generation.benchmark perplexity --data FILE   how fast it reads, beside the plain loop
python -m gpt_text_generation.benchmark strategies               nine ways to choose tokens, with equal budgets
python -m gpt_text_generation.benchmark code                     problems solved, and hostile programs held
python -m gpt_text_generation.benchmark human_eval --data FILE   the same problems as published models
python -m gpt_text_generation.benchmark prompts                  ways to ask, on the same inputs
"""

from pathlib import Path

from gpt_text_generation import code_benchmark, prompt_benchmark, speed_benchmark, strategies
from shared.benchmark import run_benchmarks
from shared.errors import run_program


def main() -> None:
    benchmarks = {}
    for module in (speed_benchmark, strategies, code_benchmark, prompt_benchmark):
        benchmarks |= module.BENCHMARKS
    run_benchmarks(Path(__file__).parent, benchmarks)


if __name__ == "__main__":
    run_program(main)
