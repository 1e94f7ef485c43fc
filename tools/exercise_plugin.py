"""The pytest plugin that puts the learner's function in the real one's place, before any test is imported."""

import importlib
import importlib.util
import inspect
import os
import sys
import warnings
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from tools.exercise import EXERCISE_FILE, Exercise, read_exercise


def pytest_configure(config: pytest.Config) -> None:
    exercise = read_exercise(Path(os.environ[EXERCISE_FILE]))
    try:
        learners = getattr(load_file(exercise.file), exercise.name)
    except Exception as error:  # the learner's file may raise anything
        pytest.exit(f"{exercise.file.name} does not import: {type(error).__name__}: {error}", returncode=3)
    replace(exercise, learners)


def load_file(file: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("learners_exercise", file)
    assert specification is not None and specification.loader is not None  # its name ends in .py
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def replace(exercise: Exercise, learners: Any) -> None:
    """Put `learners` wherever the real function is held: modules that imported it, and classes.

    Modules imported later find it in the real one's own module.
    """
    owner = import_owner(exercise.replaces)
    real = inspect.getattr_static(owner, exercise.name)
    if isinstance(real, staticmethod | classmethod | property):
        learners = type(real)(learners)
    setattr(owner, exercise.name, learners)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what other packages have deprecated says so when it is only looked at
        for module in list(sys.modules.values()):
            if isinstance(module, ModuleType) and module.__name__ != "learners_exercise":
                _replace_in_module(module, real, learners)


def _replace_in_module(module: ModuleType, real: Any, learners: Any) -> None:
    for name, value in list(vars(module).items()):
        if value is real:
            setattr(module, name, learners)
        elif isinstance(value, type) and value.__module__ == module.__name__:
            _replace_in_class(value, real, learners)


def _replace_in_class(holder: type, real: Any, learners: Any) -> None:
    for name, value in list(vars(holder).items()):
        if value is real:
            setattr(holder, name, learners)
        elif isinstance(value, staticmethod) and value.__func__ is real and isinstance(real, FunctionType):
            setattr(holder, name, staticmethod(learners))


def import_owner(path: str) -> Any:
    """The module or class that holds the last name of a dotted path."""
    parts = path.split(".")[:-1]
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if _is_module(name):
            owner = importlib.import_module(name)
            for part in parts[length:]:
                owner = getattr(owner, part)
            return owner
    raise ImportError(f"no module in {path}")


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module, not a package: the rest are classes
        return False
