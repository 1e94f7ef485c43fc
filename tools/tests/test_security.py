"""What SECURITY.md promises of the code as a whole; what single modules promise is tested beside them."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.projects import CHECKOUT, our_files

RUNS_CODE_WHEN_READ = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
SECRETS = ("api_key", "admin_key", "password", "secret")
OURS = [file for file in our_files(CHECKOUT, "*.py") if "tests" not in file.parts and ".venv" not in file.parts]


def nodes(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every such node of our code, with where it stands."""
    for file in OURS:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                yield f"{file.relative_to(CHECKOUT)}:{node.lineno}", node


def named(node: ast.expr) -> str:
    """`torch.load` for a call of it."""
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def given(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == name), None)


def test_the_code_is_found():
    assert len(OURS) > 200 and CHECKOUT / "shared" / "files.py" in OURS


def test_nothing_is_imported_that_runs_code_when_it_reads():
    found = []
    for where, node in nodes(ast.Import):
        found += [f"{where} {name.name}" for name in node.names if name.name.split(".")[0] in RUNS_CODE_WHEN_READ]
    for where, node in nodes(ast.ImportFrom):
        found += [f"{where} {node.module}"] if (node.module or "").split(".")[0] in RUNS_CODE_WHEN_READ else []
    assert found == []


def test_whatever_could_unpickle_is_told_not_to():
    found = []
    for where, call in nodes(ast.Call):
        name = named(call.func)
        if name == "torch.load" and given(call, "weights_only") != "True":
            found.append(f"{where} torch.load without weights_only=True")
        if name in ("np.load", "numpy.load") and given(call, "allow_pickle") not in (None, "False"):
            found.append(f"{where} np.load with pickles")
        safe = name == "yaml.safe_load" or [ast.unparse(each) for each in call.args[1:]] == ["yaml.CSafeLoader"]
        if name.startswith("yaml.") and name.endswith("load") and not safe:
            found.append(f"{where} {name}")
        if given(call, "trust_remote_code") not in (None, "False"):
            found.append(f"{where} trust_remote_code")
        if given(call, "shell") not in (None, "False"):
            found.append(f"{where} a shell")
    assert found == []


def test_code_that_was_written_elsewhere_runs_in_the_sandbox_alone():
    found = [where for where, call in nodes(ast.Call) if named(call.func) in ("exec", "eval")]
    assert {where.rpartition("/")[0] for where in found} == {"gpt_text_generation/sandbox"}


def test_secrets_are_compared_in_constant_time():
    compared = []
    for where, node in nodes(ast.Compare):
        sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
        equal = any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        if equal and any(side.endswith(SECRETS) for side in sides) and "''" not in sides:
            compared.append(f"{where} {ast.unparse(node)}")
    assert compared == []
    assert any(named(call.func) == "hmac.compare_digest" for _, call in nodes(ast.Call))


def test_secrets_among_settings_are_no_part_of_their_repr():
    """What is shown of an object in a message or a log is its repr."""
    shown = []
    for where, node in nodes(ast.ClassDef):
        settings = any("kw_only" in ast.unparse(each) for each in node.decorator_list)
        for line in node.body if settings else ():
            if isinstance(line, ast.AnnAssign) and named(line.target).endswith(SECRETS):
                shown += (
                    [] if line.value and "repr=False" in ast.unparse(line.value) else [f"{where} {named(line.target)}"]
                )
    assert shown == []


def test_servers_and_pages_listen_on_this_machine_alone_and_do_not_show_their_keys():
    from model_optimization.deployment import fastapi_server
    from qa_system.app import fastapi_api

    for module in (fastapi_server, fastapi_api):
        config = module.ServerConfig(api_key="of-a-user")
        assert config.host == "127.0.0.1"
        assert "of-a-user" not in repr(config)
    page = tomllib.loads((CHECKOUT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert page["server"]["address"] == "localhost" and page["browser"]["gatherUsageStats"] is False


def test_what_pages_show_as_html_is_put_together_in_modules_that_escape():
    for where, call in nodes(ast.Call):
        if named(call.func) in ("st.html", "components.html") or given(call, "unsafe_allow_html") == "True":
            file = CHECKOUT / where.rpartition(":")[0]
            assert "escape" in file.read_text(encoding="utf-8"), where


def test_security_md_names_only_files_that_are_here():
    text = (CHECKOUT / "SECURITY.md").read_text(encoding="utf-8")
    names = [part for part in text.split("`") if part.endswith((".py", ".yml", ".txt", ".toml")) and "/" in part]
    assert len(names) > 10
    assert [name for name in names if not (CHECKOUT / name).is_file()] == []


@pytest.mark.parametrize("program", ["shared/files.py", "tools/projects.py"])
def test_bandits_rules_are_on(program, tmp_path):
    copy = tmp_path / Path(program).name
    copy.write_text((CHECKOUT / program).read_text(encoding="utf-8") + "\nimport pickle\npickle.loads(b'')\n")
    command = [Path(sys.executable).parent / "ruff", "check", "--config", CHECKOUT / "pyproject.toml", copy]
    told = subprocess.run([*command, "--output-format", "concise"], capture_output=True, text=True)
    assert "S301" in told.stdout
