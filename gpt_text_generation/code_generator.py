"""A description in, a Python function out: several tries, each run against the tests that there are, the best one kept.

python -m gpt_text_generation.code_generator --description "the average of a list of numbers"
python -m gpt_text_generation.code_generator --description "double a number" --signature "def double(x: int) -> int" \\
    --tests "assert double(4) == 8; assert double(-1) == -2"
python -m gpt_text_generation.code_generator --problem easy/count_vowels
python -m gpt_text_generation.code_generator --file human_eval --problem HumanEval/23

The first try is greedy, the others are drawn. Those that pass the most tests come first, and of equal ones the one that
the model itself takes to be likeliest. Tests are run in the sandbox (sandbox/), and nothing is run without tests.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from gpt_text_generation.code_problems import Problem, problems, read_problems
from gpt_text_generation.code_text import (
    Request,
    Style,
    examples_in,
    first_function,
    is_python,
    model_prompt,
    program_from,
    request_from,
    stops_for,
    tidy,
)
from gpt_text_generation.sandbox.keeper import Limits
from gpt_text_generation.sandbox.runner import Result, run_tests
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.files import write_text
from shared.logging import get_logger, print_result, print_table, setup_logging
from shared.timing import Timer

log = get_logger(__name__)

# Of 78 of our problems smollm2 solves 12 when the request and the answer's first lines are given, and 6 of these when
# it just continues the program (`benchmark code --samples 0`, with --style prefilled and completion).
DEFAULT_STYLE: Style = "prefilled"


@dataclass(frozen=True, kw_only=True)
class CodeConfig:
    """Write a Python function, and run it against tests in a sandbox."""

    description: str | None = None
    """What the function shall do, in words."""
    signature: str | None = None
    """How it begins, for example "def area(width: int, height: int) -> int"; without it the model chooses a name."""
    tests: str | None = None
    """Assertions that it must hold, with semicolons or lines between them; it is called by its name or `candidate`."""
    problem: str | None = None
    """A problem in place of a description: of our own suite, such as easy/count_vowels, or of --file."""
    file: str | None = None
    """human_eval, which ships in a package, or a file of problems in its format."""
    model: str = "smollm2"
    """Language model: short name, hub name or path."""
    style: Literal["completion", "chat", "prefilled"] = DEFAULT_STYLE
    """How the model is asked: to continue a program, by its chat template, or by both."""
    candidates: int = 5
    """How many tries; the first is greedy."""
    temperature: float = 0.6
    """Of the tries after the first: the higher, the more they differ."""
    max_new_tokens: int = 256
    """The longest that a try may be."""
    seconds: float = 10.0
    """How long a try may run."""
    output: str | None = None
    """File for the code too."""
    allow_missing_guards: bool = False
    """Run what was written even where the sandbox lacks a guard: it can then do what you can."""
    seed: int = 0
    """Seed of the draws."""

    def __post_init__(self) -> None:
        asked = bool(self.description and self.description.strip())
        check(self.description is None or asked, "description", self.description, "say in words what it shall do")
        given = asked + bool(self.problem or self.file)
        check(given == 1, "description", self.description, "give either a description or --problem, and not both")
        alone = self.problem is None and self.file is None
        check(self.signature is None or alone, "signature", self.signature, "goes with --description only")
        check(self.tests is None or is_python(self.tests), "tests", self.tests, "write Python, as in assert f(1) == 2")
        check(self.candidates >= 1, "candidates", self.candidates, "give at least 1")
        check(self.temperature > 0, "temperature", self.temperature, "give a number above 0")
        check(self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "give at least 1")
        check(self.seconds > 0, "seconds", self.seconds, "give a number above 0")


class Candidate(NamedTuple):
    """One try: what the model wrote, the program in it, and how it fared."""

    written: str
    program: str
    log_probability: float
    """Mean over the tokens."""
    result: Result | None
    """By the tests that are given, or None where there are none or it is no Python."""

    @property
    def rank(self) -> tuple[bool, int, float]:
        """The larger the better."""
        passed = sum(test.passed for test in self.result.tests) if self.result else 0
        return is_python(self.program), passed, self.log_probability


def write_candidates(
    model: Any,
    request: Request,
    tests: str,
    *,
    style: Style,
    n: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    limits: Limits,
    allow_missing_guards: bool = False,
) -> list[Candidate]:
    """`n` tries of a CodeModel at the request, the best first."""
    prompt = model_prompt(request, style, model.chat)
    how = {"max_new_tokens": max_new_tokens, "stop": stops_for(style), "seed": seed}
    written = model.generate([prompt], temperature=0.0, n=1, **how)[0]
    if n > 1:
        written += model.generate([prompt], temperature=temperature, n=n - 1, **how)[0]
    written = list(dict.fromkeys(written))
    likely = model.mean_log_probabilities(prompt, written)
    found: dict[str, Candidate] = {}
    for text, probability in zip(written, likely, strict=True):
        program = program_from(request, style, text)
        kept = found.get(program)
        if kept is not None and kept.log_probability >= probability:
            continue
        result = kept.result if kept is not None else try_out(program, request, tests, limits, allow_missing_guards)
        found[program] = Candidate(text, program, probability, result)
    return sorted(found.values(), key=lambda candidate: candidate.rank, reverse=True)


def try_out(
    program: str, request: Request, tests: str, limits: Limits, allow_missing_guards: bool = False
) -> Result | None:
    """Run a program against tests; None where there is nothing to run."""
    name = request.entry_point or first_function(program)
    if not tests or name is None or not is_python(program):
        return None
    prompt = request.start if request.entry_point else ""
    return run_tests(program, name, tests, prompt=prompt, limits=limits, allow_missing_guards=allow_missing_guards)


def find_problem(config: CodeConfig) -> Problem:
    """The problem that is asked for. Raises UserError where there is none of that name."""
    known = read_problems(config.file) if config.file else problems()
    if config.problem is None:
        return known[0]
    for problem in known:
        if problem.task_id == config.problem:
            return problem
    import difflib

    names = [problem.task_id for problem in known]
    close = difflib.get_close_matches(config.problem, names, n=3) or names[:3]
    raise UserError(f"--problem {config.problem}: there is none of that name: choose for example {', '.join(close)}")


def generate_code(config: CodeConfig, model: Any = None) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """The code, its tests as rows, and the result line. `model` is a CodeModel; by default the one of that name.

    Raises UserError for a description or problem that nothing can be made of, for a model that cannot be loaded, and
    where the sandbox lacks a guard.
    """
    problem = None
    if config.description is not None:
        try:
            request = request_from(config.description, config.signature)
        except ValueError as error:
            raise UserError(str(error)) from error
        tests = config.tests or ""
    else:
        problem = find_problem(config)
        request = Request(problem.prompt, problem.entry_point)
        # What one may know beforehand: the examples in the docstring, not the tests that judge.
        tests = config.tests or examples_in(problem.prompt, problem.entry_point)
    limits = Limits(seconds=config.seconds, cpu_seconds=max(1, round(config.seconds)))
    if model is None:
        from gpt_text_generation.code_model import load_code_model

        model = load_code_model(config.model)
    with Timer() as timer:
        tries = write_candidates(
            model,
            request,
            tests,
            style=config.style,
            n=config.candidates,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
            seed=config.seed,
            limits=limits,
            allow_missing_guards=config.allow_missing_guards,
        )
    best = tries[0]
    code = tidy(best.program)
    result = best.result
    if problem is not None:
        result = try_out(code, request, problem.test, limits, config.allow_missing_guards)
    rows = (
        [{"test": test.text, "passed": test.passed, "why not": test.error} for test in result.tests] if result else []
    )
    return (
        code,
        rows,
        {
            "entry_point": request.entry_point or first_function(code),
            "parses": is_python(code),
            "outcome": result.outcome if result else "not run",
            "tests_passed": sum(row["passed"] for row in rows),
            "n_tests": len(rows),
            "candidates": len(tries),
            "candidates_passing": sum(bool(each.result and each.result.passed) for each in tries),
            "log_probability": best.log_probability,
            "model": config.model,
            "style": config.style,
            "seconds": timer.seconds,
        },
    )


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(CodeConfig, argv, prog="python -m gpt_text_generation.code_generator")
    setup_logging()
    code, rows, result = generate_code(config)
    sys.stdout.write(f"{code}\n")
    if config.output is not None:
        write_text(Path(config.output), code)
    if rows:
        print_table("tests", rows)
    print_result({**result, "code": code, "output": config.output})


if __name__ == "__main__":
    run_program(main)
