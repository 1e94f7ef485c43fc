"""Exercises: the real function passes its check and the blank one fails, for every exercise and for a small example."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.errors import UserError
from tools.exercise import exercise_files, find_exercise, main, read_exercise, run_tests
from tools.projects import CHECKOUT, existing_projects

EXERCISES = [file for project in existing_projects() for file in exercise_files(project)]

REAL = """
def double(x):
    return 2 * x


class Shelf:
    def __init__(self, books):
        self.books = books

    def first(self):
        return min(self.books)

    @staticmethod
    def label(name):
        return name.upper()
"""
IMPORTER = """
from toyproject.numbers_ import double


class Machine:
    run = staticmethod(double)


def quadruple(x):
    return double(double(x))
"""
TESTS = """
from toyproject.importer import Machine, quadruple
from toyproject.numbers_ import Shelf, double


def test_double():
    assert double(3) == 6


def test_where_it_was_imported():
    assert quadruple(3) == 12
    assert Machine.run(3) == 6


def test_first():
    assert Shelf(["b", "a"]).first() == "a"


def test_label():
    assert Shelf.label("x") == "X"
"""
BLANK = """
REPLACES = "toyproject.numbers_.{name}"
CHECKED_BY = {checks!r}


def {function}:
    {body}
"""
TEST_FILE = "toyproject/tests/test_numbers.py"


@pytest.fixture
def toy(tmp_path):
    """A project of one module, its importer and its tests, in a folder of its own."""
    project = tmp_path / "toyproject"
    for folder in ("tests", "exercises"):
        (project / folder).mkdir(parents=True)
    (project / "__init__.py").touch()
    (project / "numbers_.py").write_text(REAL)
    (project / "importer.py").write_text(IMPORTER)
    (project / "tests" / "test_numbers.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    return tmp_path


def add_exercise(toy, number, name, function, body, checks=TEST_FILE):
    file = toy / "toyproject" / "exercises" / f"exercise_{number}_toy.py"
    file.write_text(BLANK.format(name=name, function=function, body=body, checks=checks))
    return find_exercise("toyproject", number, toy)


@pytest.fixture(scope="module")
def blank(request):
    """The checks of the blank exercises that are asked for, as many at a time as there are processors."""
    asked = [item.callspec.params["file"] for item in request.session.items if "blank" in item.fixturenames]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {file: pool.submit(run_tests, read_exercise(file).checked_by, file) for file in asked}


@pytest.mark.parametrize("file", EXERCISES, ids=lambda file: f"{file.parent.parent.name}/{file.stem}")
def test_the_blank_exercise_fails_its_check(file, blank):
    passed, words = blank[file].result()
    assert not passed, f"{file.name} is blank, yet {words}: its tests do not reach {read_exercise(file).replaces}"


@pytest.mark.parametrize("project", [name for name in existing_projects() if exercise_files(name)])
def test_the_real_functions_pass_the_same_checks(project):
    checks = {check for file in exercise_files(project) for check in read_exercise(file).checked_by}
    passed, words = run_tests(sorted(checks), None)
    assert passed, words


@pytest.mark.parametrize("project", [name for name in existing_projects() if exercise_files(name)])
def test_a_project_has_five_exercises_numbered_from_one(project):
    numbers = [int(file.name.split("_")[1]) for file in exercise_files(project)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 5


@pytest.mark.parametrize("project", [name for name in existing_projects() if exercise_files(name)])
def test_an_exercise_says_where_to_read_and_what_to_expect(project):
    for file in exercise_files(project):
        text = file.read_text(encoding="utf-8")
        assert "Expect: " in text and re.search(r"Read: .*(https://|arXiv \d)", text, re.DOTALL), file


@pytest.mark.parametrize("page", ["learning-path.md", "learning-path.zh-CN.md"])
def test_the_learning_path_leads_to_every_exercise(page):
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    assert [file.name for file in EXERCISES if f"(../{file.relative_to(CHECKOUT)})" not in text] == []


def test_the_real_function_passes(toy):
    passed, words = run_tests([TEST_FILE], None, toy)
    assert passed and "4 passed" in words


@pytest.mark.parametrize("body", ["return None", 'raise RuntimeError("fill in double")'])
def test_a_blank_function_fails(toy, body, capsys):
    exercise = add_exercise(toy, 1, "double", "double(x)", body)
    passed, words = run_tests(exercise.checked_by, exercise.file, toy)
    assert not passed and "1 failed" in words


def test_a_right_function_passes(toy):
    exercise = add_exercise(toy, 1, "double", "double(x)", "return x + x")
    assert run_tests(exercise.checked_by, exercise.file, toy)[0]


def test_the_function_is_replaced_where_others_imported_it(toy):
    checks = [f"{TEST_FILE}::test_where_it_was_imported"]
    exercise = add_exercise(toy, 1, "double", "double(x)", "return None", checks)
    assert not run_tests(exercise.checked_by, exercise.file, toy)[0]


@pytest.mark.parametrize(
    "name, function, right",
    [("Shelf.first", "first(self)", "sorted(self.books)[0]"), ("Shelf.label", "label(n)", "n.upper()")],
)
def test_a_method_is_replaced_in_its_class(toy, name, function, right):
    blank = add_exercise(toy, 1, name, function, "return None")
    assert not run_tests(blank.checked_by, blank.file, toy)[0]
    filled = add_exercise(toy, 2, name, function, f"return {right}")
    assert run_tests(filled.checked_by, filled.file, toy)[0]


def test_a_file_that_is_not_python_is_told_with_its_line(toy):
    with pytest.raises(UserError, match=r"exercise_1_toy.py, line 7: not valid Python"):
        add_exercise(toy, 1, "double", "double(x)", "return (")


def test_a_file_that_does_not_import_is_told(toy):
    exercise = add_exercise(toy, 1, "double", "double(x)", "return x\n\n\nimport no_such_module")
    with pytest.raises(UserError, match="exercise_1_toy.py does not import: ModuleNotFoundError"):
        run_tests(exercise.checked_by, exercise.file, toy)


def test_tests_that_do_not_exist_are_told(toy):
    exercise = add_exercise(toy, 1, "double", "double(x)", "return x", "toyproject/tests/test_nothing.py")
    with pytest.raises(UserError, match="the tests cannot run: .*test_nothing"):
        run_tests(exercise.checked_by, exercise.file, toy)


def test_an_unknown_project_or_number_names_the_choices():
    with pytest.raises(UserError, match="P=nothing: no such project: choose one of transformer_from_scratch"):
        main(["nothing", "1"])
    with pytest.raises(UserError, match="N=99: transformer_from_scratch has no such exercise"):
        main(["transformer_from_scratch", "99"])


def test_without_arguments_the_exercises_are_listed(capsys):
    main([])
    shown = capsys.readouterr().out
    assert all(str(file.relative_to(CHECKOUT)) in shown for file in EXERCISES)
