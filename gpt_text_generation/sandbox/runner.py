"""Run a program's function against tests, in two boxes, under the eye of a clock.

    result = run_tests("def double(x): return 2 * x", "double", "assert double(3) == 6")
    result.outcome          passed, failed, timeout, killed, output_limit or broken_tests
    result.tests            each test's text, whether it passed, and if not, why

What each guard does is told in box.py, why a program cannot forge a pass in judge.py.
"""

import json
import os
import selectors
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from gpt_text_generation.sandbox.guards import guards_to_use
from gpt_text_generation.sandbox.keeper import Keeper, Limits
from shared.errors import UserError

Outcome = Literal["passed", "failed", "timeout", "killed", "output_limit", "broken_tests"]

_SECONDS_TO_START = 60.0  # on a machine that is busy with other things
_LONGEST_VERDICT = 1 << 22


@dataclass(frozen=True)
class Test:
    """One test as written, and how it went; `error` is None where it passed."""

    text: str
    passed: bool
    error: str | None

    __test__ = False  # for pytest


@dataclass(frozen=True)
class Result:
    """How a program fared."""

    outcome: Outcome
    detail: str
    """One line on why it is not `passed`."""
    tests: list[Test]
    stdout: str
    """What it printed, up to the limit of both streams together."""
    stderr: str
    seconds: float
    """From the moment it was loaded."""
    cpu_seconds: float
    memory_mb: float
    """Of its first process, at most."""

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


@dataclass
class _Heard:
    """What has come through the pipes so far."""

    verdict: bytearray = field(default_factory=bytearray)
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    printed: int = 0
    started: float | None = None
    ended: float = 0.0
    stopped: Outcome | None = None
    """Why the program was not let go on."""


def run_tests(
    program: str,
    entry_point: str,
    test: str,
    *,
    prompt: str = "",
    limits: Limits = Limits(),  # noqa: B008 - frozen
    allow_missing_guards: bool = False,
    guards: Iterable[str] | None = None,
) -> Result:
    """Load `program` in a box and judge its function `entry_point` by `test`, in another.

    `test` has either a function `check(candidate)`, as HumanEval's, or plain statements with assertions; `prompt` is
    code whose definitions the tests may use. `guards` names those to use; by default all, and a missing one raises
    UserError unless that is allowed.
    """
    used = guards_to_use(allow_missing_guards) if guards is None else list(guards)
    requests_out, requests_in = os.pipe()
    answers_out, answers_in = os.pipe()
    verdict_out, verdict_in = os.pipe()
    ours = {"requests": requests_out, "answers": answers_in}
    judges = {"requests": requests_in, "answers": answers_out, "verdict": verdict_in}
    try:
        with (
            Keeper("candidate", used, limits, ours, program=program, entry_point=entry_point) as candidate,
            Keeper("judge", used, limits, judges, prompt=prompt, test=test, entry_point=entry_point) as judge,
        ):
            heard = _listen(candidate, verdict_out, limits)
            ways = candidate.end(), judge.end()
            if heard.started is None:
                heard.stderr.extend(candidate.stderr.read())  # no program ran that could keep it open
            return _result(heard, *ways, limits)
    finally:
        os.close(verdict_out)


def _listen(candidate: Keeper, verdict: int, limits: Limits) -> _Heard:
    """Hear both until the judge has done, the time is over, or too much was printed."""
    heard = _Heard()
    deadline = time.monotonic() + _SECONDS_TO_START
    with selectors.DefaultSelector() as selector:
        selector.register(verdict, selectors.EVENT_READ, heard.verdict)
        selector.register(candidate.stdout, selectors.EVENT_READ, heard.stdout)
        selector.register(candidate.stderr, selectors.EVENT_READ, heard.stderr)
        while verdict in selector.get_map() and heard.stopped is None:
            _read(selector, max(0.0, deadline - time.monotonic()), heard)
            heard.ended = time.monotonic()
            if heard.started is None and b"\n" in heard.verdict:
                heard.started, deadline = heard.ended, heard.ended + limits.seconds
            if len(heard.verdict) > _LONGEST_VERDICT:
                heard.stopped = "broken_tests"
            elif heard.printed > limits.output_kb * 1000:
                heard.stopped = "output_limit"
            elif heard.ended >= deadline and verdict in selector.get_map():
                heard.stopped = "timeout"
        _read(selector, 0, heard)  # what it printed last
    return heard


def _read(selector: selectors.BaseSelector, wait: float, heard: _Heard) -> None:
    for key, _ in selector.select(wait):
        block = os.read(key.fd, 1 << 16)
        if not block:
            selector.unregister(key.fileobj)
        key.data.extend(block)
        if key.data is not heard.verdict:
            heard.printed += len(block)


def _result(heard: _Heard, candidate: dict[str, Any], judge: dict[str, Any], limits: Limits) -> Result:
    for how in candidate, judge:
        if "setup" in how:
            raise UserError(
                f"the sandbox could not be set up ({how['setup']}): see what this machine lacks by "
                "`python -m gpt_text_generation.sandbox.guards`"
            )
    if heard.started is None and (heard.stopped is not None or not candidate):
        said = heard.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1] if said else "no answer"
        raise UserError(f"the sandbox did not start ({why}): try again when the machine is less busy")
    verdict: dict[str, Any] = {"planned": []}
    passed = []
    for line in bytes(heard.verdict).split(b"\n")[:-1]:
        said = json.loads(line)
        if "passed" in said:
            passed.append((said["passed"], said["error"]))
        else:
            verdict |= said
    passed += [(False, "not run")] * (len(verdict["planned"]) - len(passed))
    tests = [Test(text, *each) for text, each in zip(verdict["planned"], passed, strict=True)]
    outcome, detail = _outcome(heard, verdict, tests, candidate, judge, limits)
    return Result(
        outcome,
        detail,
        tests,
        heard.stdout.decode(errors="replace"),
        heard.stderr.decode(errors="replace"),
        heard.ended - (heard.started or heard.ended),
        candidate.get("cpu_seconds", 0.0),
        candidate.get("memory_mb", 0.0),
    )


def _outcome(
    heard: _Heard,
    verdict: dict[str, Any],
    tests: list[Test],
    candidate: dict[str, Any],
    judge: dict[str, Any],
    limits: Limits,
) -> tuple[Outcome, str]:
    if "broken" in verdict:
        return "broken_tests", verdict["broken"]
    if heard.stopped is not None:
        why = {
            "timeout": f"not done after {limits.seconds:g} s",
            "output_limit": f"printed more than {limits.output_kb} kB",
            "broken_tests": "the verdict is too long",
        }
        return heard.stopped, why[heard.stopped]
    if "done" not in verdict:
        if judge.get("cpu_seconds", 0) >= limits.cpu_seconds:
            return "timeout", f"the tests used more than {limits.cpu_seconds} s of processor time"
        return "broken_tests", f"the tests {_way(judge)}"
    if verdict["gone"]:
        if candidate.get("cpu_seconds", 0) >= limits.cpu_seconds:
            return "timeout", f"used more than {limits.cpu_seconds} s of processor time"
        return "killed", _way(candidate)
    if not tests:
        return "broken_tests", "there is no assertion among the tests"
    wrong = next((test for test in tests if not test.passed), None)
    return ("passed", "") if wrong is None else ("failed", f"{wrong.text}: {wrong.error}")


def _way(how: dict[str, Any]) -> str:
    if how.get("signal"):
        return f"ended by {signal.Signals(how['signal']).name}"
    return f"ended with exit code {how.get('exit_code')}"
