"""Importing a module of `shared` is quick and changes nothing."""

from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "mlflow", "streamlit", "plotly", "datasets", "huggingface_hub")
FOLDER = Path(__file__).resolve().parents[1]
# `shared.x` and the files of the package itself; a module that needs a heavy library imports it where it uses it.
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
LEFT_ALONE = f"""
import importlib, logging, sys
for name in {[f"shared.{module}" for module in MODULES]}:
    importlib.import_module(name)
    loaded = [heavy for heavy in {HEAVY} if heavy in sys.modules]
    assert not loaded, f"{{name}} loads {{loaded}}"
    assert not logging.getLogger().handlers and not logging.getLogger("laptop_llm").handlers, name
"""


def test_all_modules_load_nothing_heavy_add_no_handlers_and_warn_of_nothing(run_python):
    done = run_python("-W", "error", "-c", LEFT_ALONE)
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""


def test_the_package_is_this_one_from_another_folder(run_python):
    done = run_python("-c", "import shared; print(shared.__file__)", PYTHONPATH="")
    assert Path(done.stdout.strip()) == FOLDER / "__init__.py", done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_every_module_begins_with_what_it_is(module):
    first = (FOLDER / f"{module}.py").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith('"""') and len(first) > 20
