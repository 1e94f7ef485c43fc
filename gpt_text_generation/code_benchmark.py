"""`benchmark code`: how many problems the model solves, and how many hostile programs get out of the sandbox.

pass@1 is the share of problems that the greedy answer solves. With samples there is pass@k too: the chance that one of
k drawn answers is right, by the unbiased estimate of Chen et al. 2021 (section 2.1) from n of them; and what our
generator makes of the same answers, which it ranks by the examples in the docstring, not by the tests that judge.

Every problem's answers are kept in the run folder as soon as they are judged: an interrupted run goes on from there.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpt_text_generation.code_generator import DEFAULT_STYLE, try_out
from gpt_text_generation.code_problems import HUMAN_EVAL, TIERS, Problem, problems, read_problems
from gpt_text_generation.code_text import Request, Style, examples_in, is_python, model_prompt, program_from, stops_for
from gpt_text_generation.sandbox.hostile import hostile_programs, run_all
from gpt_text_generation.sandbox.keeper import Limits
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome
from shared.config import check
from shared.files import write_json
from shared.logging import get_logger, progress_bar

log = get_logger(__name__)

PROBLEMS_AT_ONCE = 6  # an interrupted run loses no more
LIMITS = Limits(seconds=20, cpu_seconds=5)

# Measured on HumanEval with 200 drawn answers a problem, so they stand beside ours on HumanEval only.
_PUBLISHED = (
    ("GPT-Neo 125M", 0.0075, 0.0188, "Chen et al. 2021, table 1, https://arxiv.org/abs/2107.03374"),
    ("PolyCoder 160M", 0.0213, 0.0335, "Xu et al. 2022, https://arxiv.org/abs/2202.13169"),
    ("CodeParrot 110M", 0.0380, 0.0657, "https://huggingface.co/spaces/codeparrot/code-generation-models"),
)
PUBLISHED_ROWS = [
    {
        "model": model,
        "problems": "HumanEval",
        "answers": "200 drawn",
        "pass_at_1": one,
        "pass_at_10": ten,
        "source": source,
    }
    for model, one, ten, source in _PUBLISHED
]


@dataclass(frozen=True, kw_only=True)
class CodeBenchmarkConfig(BenchmarkConfig):
    """Problems solved, on our own suite, and hostile programs held."""

    model: str = "smollm2"
    """Language model: short name, hub name or path."""
    style: Literal["completion", "chat", "prefilled"] = DEFAULT_STYLE
    """How the model is asked."""
    samples: int = 5
    """Answers drawn for each problem, for pass@k; 0 gives the greedy one only."""
    temperature: float = 0.6
    """Of the drawn answers."""
    max_new_tokens: int = 192
    """The longest that an answer may be."""
    n_problems: int | None = None
    """Only the first so many problems of each tier."""
    hostile: bool = True
    """Run the hostile programs too."""
    output: str = "runs/gpt_text_generation/code"
    """Folder in which answers are kept, so that an interrupted run goes on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.samples >= 0, "samples", self.samples, "give 0 or more")
        check(self.temperature > 0, "temperature", self.temperature, "give a number above 0")
        check(self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "give at least 1")
        check(self.n_problems is None or self.n_problems >= 1, "n_problems", self.n_problems, "give at least 1")


@dataclass(frozen=True, kw_only=True)
class HumanEvalConfig(CodeBenchmarkConfig):
    """Problems solved of a file in HumanEval's format, beside published models."""

    data: str = HUMAN_EVAL
    """The packaged set, or a file, packed by gzip or not."""
    hostile: bool = False
    """Run the hostile programs too."""


def pass_at_k(n: int, right: int, k: int) -> float:
    """The chance that one of `k` of the `n` drawn answers is right, where `right` of them are.

    Drawing k without putting back: 1 - C(n - right, k) / C(n, k). Raises ValueError for k above n.
    """
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} of {n} answers: k must be from 1 to {n}")
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def code(config: CodeBenchmarkConfig, model: Any = None) -> Outcome:
    """`model` is a CodeModel; by default the one that the settings name."""
    data = getattr(config, "data", None)
    asked = _first_of_each_tier(read_problems(data) if data else problems(), config.n_problems)
    answers = _answers(config, asked, model)
    result: dict[str, Any] = {
        "pass_at_1": _mean([answer["greedy"]["passed"] for answer in answers]),
        "pass_at_1_interval": _interval([answer["greedy"]["passed"] for answer in answers]),
        "n_problems": len(asked),
        "problems": _set_name(data),
        "model": config.model,
        "style": config.style,
        "temperature": config.temperature,
        "samples": config.samples,
        "parses": _mean([answer["greedy"]["parses"] for answer in answers]),
        "by_tier": _by_tier(asked, answers),
    }
    if config.samples:
        result |= {
            f"pass_at_{k}_drawn": _mean([pass_at_k(config.samples, _right(answer), k) for answer in answers])
            for k in (1, 5, 10, 100)
            if k <= config.samples
        }
        result["pass_at_1_ranked"] = _mean([answer["ranked"]["passed"] for answer in answers])
    if config.hostile:
        result |= run_all(hostile_programs())
    return Outcome(result, _rows(config, result) + (PUBLISHED_ROWS if data else []))


def _set_name(data: str | None) -> str:
    if not data:
        return "our own suite"
    return "HumanEval" if data == HUMAN_EVAL else Path(data).name


def _rows(config: CodeBenchmarkConfig, result: dict[str, Any]) -> list[dict[str, Any]]:
    """The greedy answer, the drawn ones, and what our generator makes of all of them."""
    how = {"greedy": (result["pass_at_1"], None)}
    if config.samples:
        drawn = f"{config.samples} drawn at {config.temperature:g}"
        how[drawn] = (result["pass_at_1_drawn"], result.get("pass_at_10_drawn"))
        how["ranked by the examples"] = (result["pass_at_1_ranked"], None)
    named = {"model": config.model, "problems": result["problems"]}
    return [
        {**named, "answers": name, "pass_at_1": one, "pass_at_10": ten, "source": "here"}
        for name, (one, ten) in how.items()
    ]


def _answers(config: CodeBenchmarkConfig, asked: list[Problem], model: Any) -> list[dict[str, Any]]:
    """What became of each problem, from the run folder or anew."""
    files = [Path(config.output) / f"{_key(config, problem)}.json" for problem in asked]
    waiting = [(problem, file) for problem, file in zip(asked, files, strict=True) if not file.exists()]
    if waiting and model is None:
        from gpt_text_generation.code_model import load_code_model

        model = load_code_model(config.model)
    with progress_bar("problems", len(asked), done=len(asked) - len(waiting)) as update:
        for start in range(0, len(waiting), PROBLEMS_AT_ONCE):
            together = waiting[start : start + PROBLEMS_AT_ONCE]
            for (problem, file), answer in zip(together, _answer(config, [p for p, _ in together], model), strict=True):
                write_json(file, {"task_id": problem.task_id, **answer})
            done = len(asked) - len(waiting) + start + len(together)
            update(done)
            log.info("%d of %d problems", done, len(asked))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def _key(config: CodeBenchmarkConfig, problem: Problem) -> str:
    """A file name that changes with whatever the answer depends on."""
    named = (config.model, config.style, config.samples, config.temperature, config.max_new_tokens, config.seed)
    told = json.dumps([*named, problem.prompt, problem.test])
    return f"{problem.task_id.replace('/', '_')}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def _answer(config: CodeBenchmarkConfig, together: Sequence[Problem], model: Any) -> list[dict[str, Any]]:
    """Ask for some problems at once, and judge every answer."""
    requests = [Request(problem.prompt, problem.entry_point) for problem in together]
    prompts = [model_prompt(request, config.style, model.chat) for request in requests]
    how = {"max_new_tokens": config.max_new_tokens, "stop": stops_for(config.style), "seed": config.seed}
    greedy = [written for (written,) in model.generate(prompts, temperature=0.0, n=1, **how)]
    drawn: list[list[str]] = [[] for _ in together]
    if config.samples:
        drawn = model.generate(prompts, temperature=config.temperature, n=config.samples, **how)
    found = []
    for problem, request, prompt, first, others in zip(together, requests, prompts, greedy, drawn, strict=True):
        judged = {written: _judge(problem, request, config.style, written) for written in [first, *others]}
        answer = {"greedy": judged[first], "drawn": [judged[written] for written in others]}
        if others:
            answer["ranked"] = _best(problem, request, prompt, judged, model)
        found.append(answer)
    return found


def _judge(problem: Problem, request: Request, style: Style, written: str) -> dict[str, Any]:
    program = program_from(request, style, written)
    result = try_out(program, request, problem.test, LIMITS)
    return {
        "passed": result is not None and result.passed,
        "outcome": "no Python" if result is None else result.outcome,
        "detail": result.detail if result else "",
        "parses": is_python(program),
        "program": program,
    }


def _best(problem: Problem, request: Request, prompt: str, judged: dict[str, dict], model: Any) -> dict[str, Any]:
    """The answer that code_generator would choose: by the docstring's examples, then by the model's own probability."""
    examples = examples_in(problem.prompt, problem.entry_point)
    likely = dict(zip(judged, model.mean_log_probabilities(prompt, list(judged)), strict=True))

    def rank(written: str) -> tuple[bool, int, float]:
        tried = try_out(judged[written]["program"], request, examples, LIMITS)
        return judged[written]["parses"], sum(test.passed for test in tried.tests) if tried else 0, likely[written]

    return judged[max(judged, key=rank)]


def _first_of_each_tier(asked: list[Problem], most: int | None) -> list[Problem]:
    if most is None:
        return asked
    return [each for tier in (*TIERS, None) for each in [p for p in asked if p.tier == tier][:most]]


def _by_tier(asked: list[Problem], answers: list[dict[str, Any]]) -> dict[str, float]:
    passed = [(problem.tier, answer["greedy"]["passed"]) for problem, answer in zip(asked, answers, strict=True)]
    tiers = [tier for tier in TIERS if any(each == tier for each, _ in passed)]
    return {tier: _mean([right for each, right in passed if each == tier]) for tier in tiers}


def _right(answer: dict[str, Any]) -> int:
    return sum(each["passed"] for each in answer["drawn"])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _interval(passed: Sequence[bool]) -> list[float]:
    """The two-sided 95 % interval of a share (Wilson)."""
    from scipy.stats import binomtest

    return list(binomtest(sum(passed), len(passed)).proportion_ci(method="wilson"))


BENCHMARKS = {
    "code": Benchmark(CodeBenchmarkConfig, code, sample={"samples": 0, "n_problems": 5}),
    "human_eval": Benchmark(HumanEvalConfig, code, sample={"samples": 0, "n_problems": 10}),
}
