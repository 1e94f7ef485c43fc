"""Check an exercise: the project's own tests, run against your function. `make exercise P=PROJECT N=NUMBER`.

An exercise is a file PROJECT/exercises/exercise_N_NAME.py with a function to fill in and two constants: REPLACES, the
dotted path of the real function or method, and CHECKED_BY, the tests (pytest paths) that tell whether it is right.
"""

import argparse
import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from shared.errors import UserError, run_program
from tools.projects import CHECKOUT, existing_projects

EXERCISE_FILE = "LAPTOP_LLM_EXERCISE_FILE"  # how the plugin in the other process learns which file to try
_TESTS_PASSED, _TESTS_FAILED = 0, 1  # pytest's exit codes; any other means that it could not run them


class Exercise(NamedTuple):
    """One exercise file and what it says of itself."""

    file: Path
    replaces: str
    checked_by: list[str]

    @property
    def name(self) -> str:
        return self.replaces.rsplit(".", 1)[-1]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make exercise P=PROJECT N=NUMBER", description=__doc__.splitlines()[0])
    parser.add_argument("project", nargs="?", help="a project folder, for example transformer_from_scratch")
    parser.add_argument("number", nargs="?", type=int, help="the exercise's number; without it, the list")
    parser.add_argument("--solution", action="store_true", help="run the tests on the real function instead of yours")
    arguments = parser.parse_args(argv)
    if arguments.project is None or arguments.number is None:
        print_list([arguments.project] if arguments.project else existing_projects())
        return
    exercise = find_exercise(arguments.project, arguments.number)
    where = exercise.file.relative_to(CHECKOUT)
    print(f"{where}: checked by {', '.join(exercise.checked_by)}", flush=True)
    passed, words = run_tests(exercise.checked_by, None if arguments.solution else exercise.file)
    if passed:
        whose = "the real" if arguments.solution else "your"
        print(f"\nRight: {words} with {whose} {exercise.name}.")
        return
    print(f"\nNot yet: {words}. The hints are in the docstring of {where}; the real one is {exercise.replaces}.")
    sys.exit(1)


def print_list(projects: list[str]) -> None:
    print("make exercise P=PROJECT N=NUMBER checks your function. There are:")
    for project in projects:
        for file in exercise_files(project):
            print(f"  P={project} N={number_of(file)}  {file.relative_to(CHECKOUT)}")


def exercise_files(project: str, root: Path = CHECKOUT) -> list[Path]:
    files = [file for file in (root / project / "exercises").glob("exercise_*.py") if number_of(file)]
    return sorted(files, key=lambda file: (number_of(file), file.name))


def number_of(file: Path) -> int:
    """The number in the file's name; 0 where there is none."""
    found = re.match(r"exercise_(\d+)_", file.name)
    return int(found[1]) if found else 0


def find_exercise(project: str, number: int, root: Path = CHECKOUT) -> Exercise:
    """The exercise of that number. Raises UserError where there is none."""
    if not (root / project).is_dir():
        raise UserError(f"P={project}: no such project: choose one of {', '.join(existing_projects(root))}")
    files = exercise_files(project, root)
    for file in files:
        if number_of(file) == number:
            return read_exercise(file)
    choices = ", ".join(str(number_of(file)) for file in files) or "none yet"
    raise UserError(f"N={number}: {project} has no such exercise: the numbers are {choices}")


def read_exercise(file: Path) -> Exercise:
    """Read the two constants without running the file. Raises UserError where it cannot be read."""
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except (SyntaxError, UnicodeDecodeError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UserError(f"{file}{line}: not valid Python ({error.args[0]}): mend that line first") from error
    constants = {}
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            constants[statement.targets[0].id] = statement.value
    try:
        replaces = ast.literal_eval(constants["REPLACES"])
        checked_by = ast.literal_eval(constants["CHECKED_BY"])
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{file}: REPLACES and CHECKED_BY must be plain strings: give each as plain text, as the other exercises do"
        ) from error
    return Exercise(file, replaces, [checked_by] if isinstance(checked_by, str) else list(checked_by))


def run_tests(tests: list[str], learners_file: Path | None, root: Path = CHECKOUT) -> tuple[bool, str]:
    """Run the tests, with the learner's function in the real one's place where a file is given.

    Gives whether they pass, and pytest's count in words. Raises UserError where they cannot run.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=short", "--no-header", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(CHECKOUT)])}
    if learners_file is not None:
        command += ["-p", "tools.exercise_plugin"]
        environment[EXERCISE_FILE] = str(learners_file)
    result = subprocess.run([*command, *tests], cwd=root, env=environment, capture_output=True, text=True)
    lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()] or ["pytest said nothing"]
    if result.returncode == _TESTS_FAILED:
        print("\n".join(lines))
    elif result.returncode != _TESTS_PASSED:
        reasons = [line for line in lines if re.match(r"ERROR|Exit:|E  |.*Error", line)]
        raise UserError(f"the tests cannot run: {(reasons or lines)[-1].strip()}")
    counted = [line for line in lines if re.search(r"\d+ (passed|failed|error)", line)]
    return result.returncode == _TESTS_PASSED, counted[-1].strip("= ") if counted else "no test was counted"


if __name__ == "__main__":
    run_program(main)
