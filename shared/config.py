"""Configuration: a frozen dataclass, filled from defaults, a preset, a YAML file and flags, in that order.

Every field of the dataclass is a flag and a YAML key; the line under the field is its help text. A dataclass checks
its own values in `__post_init__` and raises ValueError with the field, the value and the remedy.
"""

import dataclasses
import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from shared.errors import UserError

Config = TypeVar("Config")
Presets = Mapping[str, Mapping[str, Any]]  # a preset's name -> the values it sets


def parse_config(
    config_class: type[Config],
    argv: Sequence[str] | None = None,
    *,
    prog: str | None = None,
    description: str | None = None,
    presets: Mapping[str, Presets] | None = None,
) -> Config:
    """Build `config_class` from the command line (default: this process's own).

    `presets` maps a field to what its value stands for, as in `{"preset": {"tiny": {"width": 32}}}`: the chosen
    values replace the defaults (a later field's those of an earlier one), and a YAML file or a flag replaces them.

    Raises UserError naming the field, the value and the remedy; exits with 0 after `--help`.
    """
    files, flags = _split_off_files(list(sys.argv[1:] if argv is None else argv))
    parser = _parser(config_class, prog, description)
    # jsonargparse reads a file again, and lets the later argument win: the files go first, so that a flag beats them
    # wherever it stands. It refuses an empty file, which for us sets nothing.
    arguments = [part for file in files if read_settings(file, config_class) for part in ("--config", str(file))]
    arguments += flags
    values = _parse(parser, config_class, arguments)
    for field, choices in (presets or {}).items():
        if values[field] not in choices:
            raise UserError(f"--{field} {values[field]}: unknown, choose one of {', '.join(choices)}")
        parser.set_defaults(dict(choices[values[field]]))
    return build(config_class, _parse(parser, config_class, arguments) if presets else values)


def parse_command(
    commands: Mapping[str, type], argv: Sequence[str] | None = None, *, prog: str | None = None
) -> tuple[str, Any]:
    """The name of the chosen command and its configuration, for a script with several (`benchmark NAME`).

    The first argument names the command, the rest are its flags. Raises UserError like `parse_config`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    usage = [f"usage: {prog or 'program'} NAME [--help] [options]", "", "NAME is one of:"]
    usage += [f"  {name:16} {first_line(config_class)}" for name, config_class in commands.items()]
    if not arguments or arguments[0] in ("-h", "--help"):
        print("\n".join(usage))
        sys.exit(0 if arguments else 2)
    name, *rest = arguments
    if name not in commands:
        raise UserError(f"unknown name {name!r}{_did_you_mean(name, commands)}: choose one of {', '.join(commands)}")
    return name, parse_config(commands[name], rest, prog=f"{prog} {name}")


def environment_flags(config_class: type, prefix: str, environment: Mapping[str, str]) -> list[str]:
    """The settings that stand in an environment, each as PREFIX and its name in capitals, as flags."""
    names = [field.name for field in dataclasses.fields(config_class)]
    return [f"--{name}={environment[key]}" for name in names if (key := prefix + name.upper()) in environment]


def split_texts(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options, each with its value, and the texts among or after them. After `--` all are texts."""
    options: list[str] = []
    texts: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            texts.extend(rest)
        elif not argument.startswith("--"):
            texts.append(argument)
        else:
            options.append(argument)
            if "=" not in argument and argument != "--help" and (value := next(rest, None)) is not None:
                options.append(value)
    return options, texts


def read_settings(file: Path, config_class: type) -> dict[str, Any]:
    """The settings in a YAML file. Raises UserError where it is unreadable or holds an unknown key."""
    try:
        values = parse_yaml(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"--config {file}: cannot read it ({reason}): give a YAML file of settings") from error
    except yaml.YAMLError as error:
        raise UserError(f"--config {file}: not valid YAML ({' '.join(str(error).split())}): mend the file") from error
    if not isinstance(values, dict):
        raise UserError(f"--config {file}: not a YAML mapping: write one 'name: value' a line")
    _refuse_unknown(config_class, values, f"--config {file}: ")
    for field in dataclasses.fields(config_class):
        may_be_none = "None" in str(field.type) or "Optional" in str(field.type)
        if values.get(field.name, "") is None and not may_be_none:
            raise UserError(f"--config {file}: {field.name} has no value: give it one or leave the line out")
    return values


def parse_yaml(text: str) -> Any:
    """The value of a YAML text that somebody else wrote. Raises YAMLError, and never another exception of the parser,
    as for what is nested a thousand deep, and for a day that is in no month."""
    try:
        return yaml.safe_load(text)
    except (RecursionError, ValueError) as error:
        deep = isinstance(error, RecursionError)
        raise yaml.YAMLError("nested too deeply" if deep else str(error).partition(";")[0]) from error


def build(config_class: type[Config], values: Mapping[str, Any]) -> Config:
    """The dataclass of plain values. Raises UserError, in one clear line, for an unknown key or a refused value."""
    if not isinstance(values, Mapping):
        raise UserError(f"settings of {config_class.__name__} as {values!r:.100}: give a value for each name")
    _refuse_unknown(config_class, values)
    for name, kind in get_type_hints(config_class).items():
        if name in values and not _is_of(values[name], kind):
            raise UserError(f"--{name} {values[name]!r:.100}: of another kind than {config_class.__name__} asks for")
    try:
        return config_class(**values)
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value, perhaps out of a file, fits an annotation; True where that is none of the plain ones.

    A file's whole number stands for `float` too, and its list for `tuple`.
    """
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return value in parts
    if get_origin(kind) in (Union, UnionType):
        return any(_is_of(value, part) for part in parts)
    if get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(_is_of(one, parts[0]) for one in value if parts[1:] == (...,))
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, kind) if kind in (bool, int, str, NoneType) else True


def to_dict(config: object) -> dict[str, Any]:
    """The resolved values, as saved beside a run's outputs; `build` reads them back."""
    return dataclasses.asdict(config)  # type: ignore[call-overload]


def check(condition: bool, field: str, value: object, remedy: str) -> None:
    """Raise ValueError for a refused value: `check(lr > 0, "lr", lr, "give a number above 0")`."""
    if not condition:
        raise ValueError(f"--{field} {value}: {remedy}")


def first_line(documented: object) -> str:
    """The first line of its docstring."""
    return (documented.__doc__ or "").strip().splitlines()[0]


def _parser(config_class: type, prog: str | None, description: str | None) -> Any:
    import jsonargparse

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=prog, description=description or first_line(config_class), exit_on_error=False, allow_abbrev=False
    )
    parser.add_argument("--config", action="config", help="YAML file with any of the settings below.")
    parser.add_class_arguments(config_class)
    return parser


def _parse(parser: Any, config_class: type, arguments: list[str]) -> dict[str, Any]:
    import argparse

    flags = [option for action in parser._actions for option in action.option_strings]
    try:
        namespace = parser.parse_args(_spell_out(config_class, arguments))
    except argparse.ArgumentError as error:
        raise UserError(_one_line(str(error), flags)) from error
    values = namespace.as_dict()
    values.pop("config", None)
    return values


def _spell_out(config_class: type, arguments: list[str]) -> list[str]:
    """Let `--smoke` stand for `--smoke true`, and `--max-steps` for `--max_steps`."""
    fields = {f"--{field.name}": field.type in (bool, "bool") for field in dataclasses.fields(config_class)}
    spelled = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        flag, equals, value = argument.partition("=")
        flag = flag.replace("-", "_").replace("__", "--", 1) if flag.startswith("--") else flag
        spelled.append(flag + equals + value if flag in fields else argument)
        if fields.get(spelled[-1]) and following.lower() not in ("true", "false"):
            spelled.append("true")
    return spelled


def _one_line(message: str, flags: list[str]) -> str:
    """Shorten jsonargparse's several lines to field, value and remedy."""
    message = " ".join(message.split())
    if found := re.search(r'Parser key "([\w.]+)": Expected an? (.*?)\. Got value: (.*)', message):
        expected = re.sub(r"<class '(\w+)'>", r"\1", found[2]).replace("typing.", "")
        literal = re.fullmatch(r"Literal\[(.*)\]", expected)
        remedy = f"choose one of {literal[1].replace(chr(39), '')}" if literal else f"give a value of type {expected}"
        return f"--{found[1]} {found[3]}: {remedy}"
    if found := re.search(r"unrecognized arguments?: (\S+)", message):
        return f"unknown option {found[1]}{_did_you_mean(found[1], flags)}: see --help for the list"
    if found := re.search(r"arguments are required: (.*)", message):
        missing = ", ".join(f"--{name}" for name in found[1].split(", "))
        return f"{missing}: missing: give a value, see --help"
    return f"{message}: see --help"


def _split_off_files(arguments: list[str]) -> tuple[list[Path], list[str]]:
    """The files after `--config`, and the other arguments."""
    files, others, rest = [], [], iter(arguments)
    for argument in rest:
        value = next(rest, None) if argument == "--config" else None
        if value is not None:
            files.append(Path(value))
        elif argument.startswith("--config="):
            files.append(Path(argument.split("=", 1)[1]))
        else:
            others.append(argument)
    return files, others


def _refuse_unknown(config_class: type, values: Mapping[str, Any], where: str = "") -> None:
    known = [field.name for field in dataclasses.fields(config_class)]
    for key in values:
        if key not in known:
            close = _did_you_mean(str(key), known)
            raise UserError(f"{where}unknown setting {key!r}{close}: the settings are {', '.join(known)}")


def _did_you_mean(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
