"""The list of mutants fits the code as it is, and the tool tells a fault that is found from one that lives."""

import json
import subprocess
import sys

import pytest

from shared.errors import UserError
from tools.mutants import Mutant, changed_text, read_mutants
from tools.projects import CHECKOUT, existing_projects

FILE = "qa_system/evaluation/retrieval_metrics.py"
TEST = "qa_system/tests/test_retrieval_metrics.py"


def test_there_are_many_over_all_projects_and_each_has_its_place_and_its_tests():
    mutants = read_mutants()
    assert len(mutants) >= 40 and len(set(mutants_key(mutants))) == len(mutants)
    assert {mutant.file.split("/")[0] for mutant in mutants} >= set(existing_projects())
    for mutant in mutants:
        compile(changed_text(mutant), mutant.file, "exec")
        assert all((CHECKOUT / test).is_file() for test in mutant.tests)


def mutants_key(mutants: list[Mutant]) -> list[tuple[str, str, str]]:
    return [(mutant.file, mutant.was, mutant.becomes) for mutant in mutants]


def test_the_results_are_of_this_list_and_nothing_lives():
    file = CHECKOUT / "tools" / "results" / "mutants.json"
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert {(row["file"], row["was"], row["becomes"]) for row in rows} <= set(mutants_key(read_mutants()))
    assert len(rows) >= 40 and {row["file"].split("/")[0] for row in rows} >= set(existing_projects())
    assert all(row["killed"] for row in rows)


def test_a_place_that_is_gone_or_not_alone_is_said():
    for was, times in (("no such line", 0), ("return", 6)):
        with pytest.raises(UserError, match=f"stands {times} times"):
            changed_text(Mutant(FILE, [TEST], was, ""))


def test_a_fault_is_found_and_one_that_changes_nothing_lives():
    """In a process of its own, since it forks."""
    program = "\n".join(
        [
            "from tools.mutants import Mutant, is_killed",
            f"right = Mutant({FILE!r}, [{TEST!r}], 'return [] if', '')",
            f"loud = Mutant({FILE!r}, [{TEST!r}], 'total += found / place', 'total += 1')",
            f"same = Mutant({FILE!r}, [{TEST!r}], 'found, total = 0, 0.0', 'total, found = 0.0, 0')",
            "print(is_killed(None, right.tests), is_killed(loud, loud.tests), is_killed(same, same.tests))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["False True False"], done.stdout + done.stderr
