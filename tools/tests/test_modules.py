"""Every module imports alone and without side effects; every script's `--help` answers fast, and without torch."""

import json
import re
import subprocess
import sys
import time

import pytest

from tools.projects import CHECKOUT, existing_projects, our_files

HELP_SECONDS = 2.0
ATTEMPTS = 3  # the best of these counts: other work on the machine must not fail the test
PACKAGES = ("shared", "tools", *existing_projects())

# Third-party packages load once; then each module of ours is imported in a fork that has seen no other of ours.
IMPORT_EACH = """
import contextlib, importlib, io, json, logging, os, sys, warnings
thirds = "torch transformers torchao streamlit plotly mlflow datasets jsonargparse pytest"
for heavy in thirds.split():
    with contextlib.suppress(ImportError):
        importlib.import_module(heavy)
root_handlers, before = list(logging.getLogger().handlers), set(os.listdir("."))
for name in json.loads(sys.argv[1]):
    if os.fork() == 0:
        said, fault = io.StringIO(), ""
        try:
            warnings.filterwarnings("error", module=f"({sys.argv[2]})")  # ours only, by the start of the name
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                importlib.import_module(name)
            if said.getvalue():
                fault = "prints: " + said.getvalue()
            elif logging.getLogger().handlers != root_handlers or logging.getLogger("laptop_llm").handlers:
                fault = "adds a log handler"
            elif set(os.listdir(".")) != before:
                fault = "writes files"
        except BaseException as error:
            fault = f"{type(error).__name__}: {error}"
        if fault:
            print(name, fault, flush=True)
        os._exit(0)
    if os.wait()[1] != 0:
        print(name, "ends the process", flush=True)
"""

# What `python -m NAME --help` does, with a look at what it loaded.
HELP = """
import runpy, sys
name, sys.argv = sys.argv[1], [sys.argv[1], "--help"]
code = 0
try:
    runpy.run_module(name, run_name="__main__", alter_sys=True)
except SystemExit as ending:
    code = ending.code
heavy = [each for each in ("torch", "transformers", "mlflow", "streamlit") if each in sys.modules]
sys.exit(f"loads {heavy} before the arguments are parsed" if heavy else code)
"""


def modules() -> list[str]:
    """The modules of the packages, without tests and Streamlit pages."""
    names = []
    for package in PACKAGES:
        for file in our_files(CHECKOUT / package, "*.py"):
            path = file.relative_to(CHECKOUT)
            is_page = file.name == "streamlit_ui.py" or (file.name == "app.py" and len(path.parts) == 2)
            if "tests" not in path.parts and not is_page and file.name != "conftest.py":
                names.append(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    return names


def scripts() -> list[str]:
    """The modules that are programs, and demo.py."""
    return [name for name in [*modules(), "demo"] if is_script(name)]


def is_script(name: str) -> bool:
    file = CHECKOUT / (name.replace(".", "/") + ".py")
    return (
        file.exists() and re.search(r'^if __name__ == "__main__":', file.read_text("utf-8"), re.MULTILINE) is not None
    )


def test_every_module_imports_alone_and_does_nothing_else(tmp_path):
    command = [sys.executable, "-c", IMPORT_EACH, json.dumps(modules()), "|".join(PACKAGES)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""


def test_shared_loads_neither_torch_nor_transformers():
    names = [name for name in modules() if name.startswith("shared")]
    code = f"import sys, {', '.join(names)}; print([n for n in ('torch', 'transformers') if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


@pytest.mark.parametrize("name", scripts())
def test_help_answers_in_two_seconds_without_torch(name, tmp_path):
    seconds = []
    for _ in range(ATTEMPTS):
        start = time.perf_counter()
        result = subprocess.run(
            [sys.executable, "-c", HELP, name],
            cwd=CHECKOUT if name == "demo" else tmp_path,
            capture_output=True,
            text=True,
        )
        seconds.append(time.perf_counter() - start)
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip()
        if seconds[-1] < HELP_SECONDS:
            return
    pytest.fail(f"the fastest of {ATTEMPTS} took {min(seconds):.1f} s")
