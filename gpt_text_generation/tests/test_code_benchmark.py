"""The benchmark: its numbers by hand, what is kept, and that the ranking does not see the tests that judge."""

import itertools
import json
import statistics

import pytest

from gpt_text_generation import code_benchmark
from gpt_text_generation.code_benchmark import PUBLISHED_ROWS, CodeBenchmarkConfig, HumanEvalConfig, code, pass_at_k
from shared.config import parse_config
from shared.errors import UserError

RIGHT = "\n    return 2 * (width + height)"
PROBLEM = {
    "task_id": "Test/0",
    "prompt": 'def f(x):\n    """Double x.\n\n    >>> f(0)\n    0\n    """\n',
    "entry_point": "f",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n",
}


@pytest.mark.parametrize("n, right", [(1, 0), (1, 1), (5, 2), (6, 1), (6, 6), (7, 3)])
def test_pass_at_k_is_the_share_of_choices_that_hold_a_right_answer(n, right):
    answers = [True] * right + [False] * (n - right)
    for k in range(1, n + 1):
        choices = [any(chosen) for chosen in itertools.combinations(answers, k)]
        assert pass_at_k(n, right, k) == pytest.approx(statistics.mean(choices))


def test_pass_at_k_by_hand_and_by_the_formula_of_the_paper():
    # 200 answers, 10 of them right: at k = 1 their share; at k = 10 as the product in the paper's figure 3.
    assert pass_at_k(200, 10, 1) == pytest.approx(0.05)
    product = 1.0
    for number in range(200 - 10 + 1, 200 + 1):
        product *= 1 - 10 / number
    assert pass_at_k(200, 10, 10) == pytest.approx(1 - product)
    assert pass_at_k(3, 1, 3) == 1.0


@pytest.mark.parametrize("k", [0, 4, -1])
def test_more_answers_than_there_are_cannot_be_drawn(k):
    with pytest.raises(ValueError, match="k must be from 1 to 3"):
        pass_at_k(3, 1, k)


@pytest.mark.usefixtures("every_guard")
def test_the_line_counts_what_was_solved(scripted, tmp_path):
    wrong = "\n    return None"
    model = scripted({"def perimeter": [RIGHT, wrong, RIGHT], "": [wrong, wrong, wrong]})
    config = CodeBenchmarkConfig(samples=2, n_problems=1, hostile=False, output=str(tmp_path))
    outcome = code(config, model)
    result = outcome.result
    assert result["n_problems"] == 3
    assert result["pass_at_1"] == pytest.approx(1 / 3)
    assert result["by_tier"] == {"easy": 1.0, "medium": 0.0, "hard": 0.0}
    # Of the first problem's two drawn answers one is right; of the others' none.
    assert result["pass_at_1_drawn"] == pytest.approx(0.5 / 3)
    assert result["pass_at_1_ranked"] == pytest.approx(1 / 3)
    assert 0 < result["pass_at_1_interval"][0] < 1 / 3 < result["pass_at_1_interval"][1] < 1
    shown = [(row["answers"], row["pass_at_1"], row["pass_at_10"]) for row in outcome.rows]
    assert shown == [
        ("greedy", result["pass_at_1"], None),
        ("2 drawn at 0.6", result["pass_at_1_drawn"], None),
        ("ranked by the examples", result["pass_at_1_ranked"], None),
    ]


@pytest.mark.usefixtures("every_guard")
def test_what_is_answered_is_not_asked_again_unless_a_setting_changed(scripted, tmp_path, monkeypatch):
    monkeypatch.setattr(code_benchmark, "PROBLEMS_AT_ONCE", 1)
    model = scripted({"": ["\n    return 0"]})
    real = model.generate

    def dies(prompts, **how):
        if len(model.asked) == 2:
            raise KeyboardInterrupt
        return real(prompts, **how)

    model.generate = dies
    settings = {"samples": 0, "n_problems": 1, "hostile": False, "output": str(tmp_path)}
    with pytest.raises(KeyboardInterrupt):
        code(CodeBenchmarkConfig(**settings), model)
    assert len(list(tmp_path.glob("*.json"))) == 2
    model.generate = real
    first = code(CodeBenchmarkConfig(**settings), model).result
    assert len(model.asked) == 3
    assert code(CodeBenchmarkConfig(**settings), model).result == first and len(model.asked) == 3
    code(CodeBenchmarkConfig(**settings, style="chat"), model)
    assert len(model.asked) == 6


@pytest.mark.usefixtures("every_guard")
def test_the_ranking_sees_the_examples_only(scripted, tmp_path):
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps(PROBLEM))
    # Both hold the example; the wrong one is shorter, which the scripted model takes for likelier.
    model = scripted({"": ["\n    return 2 * x + 0 * 1", "\n    return x"]})
    config = HumanEvalConfig(data=str(file), samples=1, output=str(tmp_path / "run"))
    outcome = code(config, model)
    assert outcome.result["pass_at_1"] == 1.0
    assert outcome.result["pass_at_1_ranked"] == 0.0


@pytest.mark.usefixtures("every_guard")
def test_published_models_stand_beside_ours_on_humaneval_only_and_each_has_a_source(scripted, tmp_path):
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps(PROBLEM))
    model = scripted({"": ["\n    return 2 * x"]})
    rows = code(HumanEvalConfig(data=str(file), samples=0, output=str(tmp_path / "run")), model).rows
    assert [row["model"] for row in rows] == ["smollm2", "GPT-Neo 125M", "PolyCoder 160M", "CodeParrot 110M"]
    assert len({tuple(row) for row in rows}) == 1, "one table has the same columns in every row"
    assert all(0 < row["pass_at_1"] < row["pass_at_10"] < 0.1 and "https://" in row["source"] for row in PUBLISHED_ROWS)


@pytest.mark.usefixtures("every_guard")
def test_an_empty_name_of_a_set_is_our_own_suite_by_name_too(scripted, tmp_path):
    config = HumanEvalConfig(data="", samples=0, n_problems=1, output=str(tmp_path))
    assert code(config, scripted({"": ["\n    return 0"]})).result["problems"] == "our own suite"


@pytest.mark.usefixtures("every_guard")
def test_the_hostile_programs_are_counted(scripted, tmp_path, monkeypatch):
    programs = [each for each in code_benchmark.hostile_programs() if each.name in ("loopback", "environment")]
    monkeypatch.setattr(code_benchmark, "hostile_programs", lambda: programs)
    config = CodeBenchmarkConfig(samples=0, n_problems=1, output=str(tmp_path))
    result = code(config, scripted({"": ["\n    return 0"]})).result
    assert (result["hostile_programs"], result["escapes"]) == (2, 0)


@pytest.mark.parametrize(
    "flags, complaint",
    [
        (["--samples", "-1"], "--samples -1: give 0 or more"),
        (["--temperature", "0"], "--temperature 0.0: give a number above 0"),
        (["--n_problems", "0"], "--n_problems 0: give at least 1"),
        (["--max_new_tokens", "0"], "--max_new_tokens 0: give at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_one_clear_line(flags, complaint):
    with pytest.raises(UserError, match=complaint):
        parse_config(CodeBenchmarkConfig, flags)
