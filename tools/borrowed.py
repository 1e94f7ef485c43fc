"""What tools/faults.py and tools/fuzz.py borrow from the projects' tests: tiny models and drawn data."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from tools.projects import CHECKOUT


def of_tests(project: str, name: str) -> ModuleType:
    """A project's tests have tiny models and drawn data."""
    path = CHECKOUT / project / "tests" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{project}_{name}_borrowed", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(*names: str) -> None:
    for name in names:
        importlib.import_module(name)


class Folders(NamedTuple):
    """What a fixture asks pytest for."""

    folder: Path

    def mktemp(self, name: str) -> Path:
        (self.folder / name).mkdir(parents=True)
        return self.folder / name
