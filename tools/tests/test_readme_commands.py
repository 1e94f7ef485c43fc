"""Every command that a README, a document, the report or a script's head gives can be typed as it stands: it parses."""

import argparse
import ast
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import shared.config
from shared.errors import UserError
from tools.exercise import find_exercise
from tools.projects import CHECKOUT, PROJECTS, our_files

BASH = re.compile(r"^```(?:bash|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
TAKE_NO_FLAGS = ("shared.assets", "shared.server_process", "tools.NAME")
MENTION = "mentioned: "  # amid a sentence, where the settings that a command cannot do without may be left out
TARGETS = re.findall(r"^([a-z][a-z-]*):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
EXTRAS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


def commands_of_markdown(file: Path) -> Iterator[str]:
    """The lines of the bash blocks, and what stands in `backticks` and runs a module of ours, marked by MENTION."""
    text = file.read_text(encoding="utf-8")
    for block in BASH.findall(text):
        yield from re.sub(r"\\\n\s*", "", block).splitlines()
    for code in INLINE.findall(BASH.sub("", text)):
        first, _, rest = code.partition(" ")
        if code.startswith(("python -m ", "accelerate launch ", "make ")):
            yield MENTION + code
        elif rest.startswith("--") and (script := next(file.parent.rglob(f"{first}.py"), None)):
            # "Change this": `train --freeze encoder`
            module = ".".join(script.relative_to(file.parents[1]).with_suffix("").parts)
            yield f"{MENTION}python -m {module} {rest}"


def commands_of_script(file: Path) -> Iterator[str]:
    """The commands at the head of a script, each without the words that explain it."""
    head = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    for line in re.sub(r"\\\n\s*", "", head).splitlines():
        if line.startswith(("python -m ", "accelerate launch ")):
            yield re.split(r"\s{2,}", line)[0]


def all_commands() -> dict[str, list[str]]:
    """By the folder that they stand in, each once."""
    found: dict[str, dict[str, str]] = {}
    for file in [*our_files(CHECKOUT, "*.md"), *our_files(CHECKOUT, "*.py"), CHECKOUT / "shared" / "phrases.yaml"]:
        path = file.relative_to(CHECKOUT)
        if "tests" in path.parts or "exercises" in path.parts:
            continue
        commands = commands_of_script(file) if file.suffix == ".py" else commands_of_markdown(file)
        for command in commands:
            place = path.parts[0] if len(path.parts) > 1 else "root"
            found.setdefault(place, {}).setdefault(command.strip(), str(path))
    return {place: [f"{where}: {command}" for command, where in told.items()] for place, told in found.items()}


COMMANDS = all_commands()


class Parsed(Exception):
    """The command line was taken; nothing further is to run."""


@pytest.fixture
def only_parse(monkeypatch):
    """Programs end once they have understood their command line."""
    parse, parse_args = shared.config._parse, argparse.ArgumentParser.parse_args

    def parsed(*arguments):
        parse(*arguments)
        raise Parsed

    def args_parsed(*arguments, **keywords):
        parse_args(*arguments, **keywords)
        raise Parsed

    monkeypatch.setattr(shared.config, "_parse", parsed)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", args_parsed)


def fault_of(command: str, monkeypatch, capsys) -> str | None:
    """What is wrong with a command of ours; None for one that is right, or that is no business of ours."""
    command, is_mention = command.removeprefix(MENTION), command.startswith(MENTION)
    words = [word for word in shlex.split(command, comments=True) if not re.fullmatch(r"[A-Z_]+=\S*|OPTIONS", word)]
    program = words[0].removeprefix(".venv/bin/") if words else ""
    if program in ("python", "accelerate") and "-m" in words:
        module, *arguments = words[words.index("-m") + 1 :]
        if module.split(".")[0] not in (*PROJECTS, "shared", "tools") or module in TAKE_NO_FLAGS:
            return None
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except Parsed:
            return None
        except ImportError as error:
            return str(error)
        except SystemExit as ending:
            said = capsys.readouterr().err.strip()
            incomplete = is_mention and re.search("missing: give a value|expected one argument", said)
            return None if ending.code in (0, None) or incomplete else said
        return "ends before it has parsed anything"
    if program == "make":
        values = dict(word.split("=", 1) for word in shlex.split(command, comments=True) if "=" in word)
        if wrong := [word for word in words[1:] if word not in TARGETS]:
            return f"no such target: {wrong}"
        if values.get("P") in PROJECTS and values.get("N", "").isdecimal():
            find_exercise(values["P"], int(values["N"]))
    if program == "streamlit" and not (CHECKOUT / words[2]).is_file():
        return f"no file {words[2]}"
    if program == "uvicorn":
        module, _, name = words[1].partition(":")
        source = (CHECKOUT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
        return None if re.search(rf"^(def )?{name}\b|\"{name}\"", source, re.MULTILINE) else f"{module} has no {name}"
    if program == "pip":
        named = re.findall(r"\.\[([\w,-]+)\]", command)
        if unknown := [extra for group in named for extra in group.split(",") if extra not in EXTRAS]:
            return f"no such extra: {unknown}"
        if missing := [file for file in re.findall(r"-[rc] (\S+)", command) if not (CHECKOUT / file).is_file()]:
            return f"no file {missing}"
    return None


@pytest.mark.parametrize("place", COMMANDS)
def test_every_command_that_is_given_can_be_typed(place, only_parse, monkeypatch, capsys):
    faults = {}
    for told in COMMANDS[place]:
        try:
            fault = fault_of(told.partition(": ")[2], monkeypatch, capsys)
        except (UserError, ValueError) as error:
            fault = str(error)
        if fault:
            faults[told] = fault
    assert faults == {}


def test_commands_are_found_where_they_stand():
    assert all(len(COMMANDS[project]) >= 10 for project in PROJECTS)


def test_a_wrong_flag_is_told(only_parse, monkeypatch, capsys):
    wrong = "python -m bert_sentiment_analysis.train --lora_rnak 8  # an adapter"
    assert "did you mean --lora_rank" in (fault_of(wrong, monkeypatch, capsys) or "")
    assert fault_of(wrong.replace("rnak", "rank"), monkeypatch, capsys) is None
    assert fault_of("make dmeo", monkeypatch, capsys) == "no such target: ['dmeo']"
    assert fault_of(".venv/bin/streamlit run qa_system/app.py", monkeypatch, capsys) == "no file qa_system/app.py"
