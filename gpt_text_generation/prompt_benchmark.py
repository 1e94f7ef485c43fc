"""`benchmark prompts`: every packaged template on every task, with intervals and a corrected paired test."""

from dataclasses import dataclass
from typing import Any

from gpt_text_generation.prompt_engineering import PromptConfig, compare_templates, run_comparison
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome
from shared.config import check


@dataclass(frozen=True, kw_only=True)
class PromptBenchmarkConfig(BenchmarkConfig):
    """Ways to put a task to the model, on the same inputs."""

    model: str = "smollm2"
    """Language model with a chat template: short name, hub name or path."""
    n: int = 100
    """Inputs of each task."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n >= 1, "n", self.n, "give at least 1")


def prompts(config: PromptBenchmarkConfig, model: Any = None) -> Outcome:
    """`model` is a LanguageModel; by default the one that the settings name."""
    if model is None:
        from shared.language_model import load_language_model

        model = load_language_model(config.model, "transformers")
    cells = run_comparison(PromptConfig(n=config.n, model=config.model, seed=config.seed), model)
    rows = compare_templates(cells, config.seed)
    asked = sum(len(cell.answers) for cell in cells.values())
    written = sum(cell.answer_tokens * len(cell.answers) for cell in cells.values())
    return Outcome(
        {
            "model": config.model,
            "n": config.n,
            "answers": asked,
            "tokens_per_s": written / sum(cell.seconds for cell in cells.values()),
        },
        rows,
    )


BENCHMARKS = {"prompts": Benchmark(PromptBenchmarkConfig, prompts, sample={"n": 8})}
