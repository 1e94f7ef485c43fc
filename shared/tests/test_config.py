"""Where a setting's value comes from, and the line a wrong one gives."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import yaml

from shared.config import build, check, parse_command, parse_config, parse_yaml, read_settings, to_dict
from shared.errors import UserError


@dataclass(frozen=True)
class Toy:
    """Train a toy."""

    preset: Literal["tiny", "small"] = "tiny"
    """Which values to start from."""
    width: int = 32
    """Numbers in a vector."""
    lr: float = 1e-3
    """Size of a step."""
    smoke: bool = False
    """Take seconds only."""
    name: str | None = None
    """What to call it."""

    def __post_init__(self) -> None:
        check(self.width > 0, "width", self.width, "give a number above 0")


@dataclass(frozen=True)
class Other:
    """Count the toys."""

    many: int = 1
    """How many."""


PRESETS = {"preset": {"tiny": {}, "small": {"width": 64, "lr": 0.5}}}


def parse(*argv: str) -> Toy:
    return parse_config(Toy, argv, prog="toy", presets=PRESETS)


def fault(*argv: str) -> str:
    with pytest.raises(UserError) as caught:
        parse(*argv)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    return line


@pytest.fixture
def settings(tmp_path: Path):
    def write(content: str | bytes) -> str:
        file = tmp_path / "settings.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(file)

    return write


def test_without_arguments_the_defaults_hold():
    assert parse() == Toy()


def test_a_preset_beats_the_defaults():
    assert parse("--preset", "small") == Toy("small", 64, 0.5)


def test_a_file_beats_the_preset_and_leaves_the_rest_of_it(settings):
    assert parse("--preset", "small", "--config", settings("width: 5")) == Toy("small", 5, 0.5)


def test_a_file_may_name_the_preset(settings):
    assert parse("--config", settings("preset: small\nlr: 1e-4")) == Toy("small", 64, 1e-4)


@pytest.mark.parametrize("flag_first", [True, False])
@pytest.mark.parametrize("joined", [True, False])
def test_a_flag_beats_the_file_wherever_it_stands(settings, flag_first, joined):
    """Regression: a file after the flag won."""
    file = settings("width: 5\nlr: 2")
    flag, config = ["--width", "6"], [f"--config={file}"] if joined else ["--config", file]
    assert parse(*(flag + config if flag_first else config + flag)) == Toy(width=6, lr=2.0)


@pytest.mark.parametrize("content", ["", "# nothing set yet\n", "{}"])
def test_a_file_that_sets_nothing_leaves_the_defaults(settings, content):
    assert parse("--config", settings(content)) == Toy()


@pytest.mark.parametrize(
    ("argv", "smoke"),
    [
        (["--smoke"], True),
        (["--smoke", "true"], True),
        (["--smoke=true"], True),
        (["--smoke", "false"], False),
        (["--smoke", "--width", "3"], True),
    ],
)
def test_a_switch_may_stand_bare_or_with_its_value(argv, smoke):
    assert parse(*argv).smoke is smoke


def test_a_text_that_looks_like_a_number_stays_a_text():
    assert parse("--name", "123").name == "123"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--widht", "3"], "unknown option --widht (did you mean --width?): see --help for the list"),
        (["--wid", "3"], "unknown option --wid (did you mean --width?): see --help for the list"),
        (["stray"], "unknown option stray: see --help for the list"),
        (["--width", "wide"], "--width wide: give a value of type int"),
        (["--width", "1.5"], "--width 1.5: give a value of type int"),
        (["--lr", "nan"], "--lr nan: give a value of type float"),
        (["--width", "0"], "--width 0: give a number above 0"),
        (["--preset", "huge"], "--preset huge: choose one of tiny, small"),
        (["--width"], "argument --width: expected one argument: see --help"),
        (["--config"], "argument --config: expected one argument: see --help"),
    ],
)
def test_a_wrong_flag_is_one_line_with_field_value_and_remedy(argv, line):
    assert fault(*argv) == line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("widht: 5", ["unknown setting 'widht'", "did you mean width", "the settings are preset, width"]),
        ("width: wide", ["--width wide", "type int"]),
        ("lr: true", ["--lr True", "type float"]),
        ("width: 0", ["--width 0", "above 0"]),
        ("preset: huge", ["--preset huge", "tiny, small"]),
        ("width:", ["width has no value", "leave the line out"]),
        ("width:\nlr: 1", ["width has no value", "leave the line out"]),
        ("- width", ["not a YAML mapping", "'name: value' a line"]),
        ("width: [1", ["not valid YAML", "mend the file"]),
        ("width: !!python/object/apply:os.getcwd []", ["not valid YAML", "mend the file"]),
        (b"\xff\xfe\x00", ["not UTF-8 text", "give a YAML file"]),
    ],
)
def test_a_wrong_file_is_one_line_with_what_and_remedy(settings, content, words):
    line = fault("--config", settings(content))
    assert [word for word in words if word not in line] == []


def test_a_file_may_set_an_optional_value_to_none(settings):
    assert parse("--config", settings("name: null\nwidth: 3")) == Toy(width=3, name=None)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    assert f"--config {tmp_path / 'gone.yaml'}: cannot read it (No such file" in fault(
        "--config", f"{tmp_path}/gone.yaml"
    )
    assert f"--config {tmp_path}: cannot read it (Is a directory)" in fault("--config", str(tmp_path))


def test_a_preset_without_values_is_refused_by_name():
    presets = {"preset": {"small": {}}}
    with pytest.raises(UserError, match="^--preset tiny: unknown, choose one of small$"):
        parse_config(Toy, [], presets=presets)


def test_a_preset_may_not_set_what_does_not_exist():
    with pytest.raises(Exception, match="widht"):
        parse_config(Toy, [], presets={"preset": {"tiny": {"widht": 3}}})


def test_settings_saved_as_json_build_the_same_configuration():
    config = Toy("small", 7, 0.25, True, "x")
    assert build(Toy, json.loads(json.dumps(to_dict(config)))) == config


@dataclass(frozen=True)
class Words:
    """Holds words."""

    words: tuple[str, ...] = ()
    """The words."""


@pytest.mark.parametrize(
    ("field", "value"),
    [("preset", "huge"), ("width", 1.5), ("lr", "x"), ("smoke", "yes"), ("name", 3), ("lr", None), ("width", [1])],
)
def test_build_refuses_a_value_of_another_kind(field, value):
    with pytest.raises(UserError, match=f"^--{field} .*of another kind"):
        build(Toy, {field: value})
    with pytest.raises(UserError, match="^--words"):
        build(Words, {"words": ["a", 3]})


def test_a_whole_number_is_a_float_and_a_list_is_a_tuple():
    assert build(Toy, {"lr": 1}).lr == 1 and build(Words, {"words": ["a", "b"]}).words == ["a", "b"]


def test_build_refuses_an_unknown_key_and_a_bad_value():
    with pytest.raises(UserError, match="unknown setting 'widht'.*did you mean width"):
        build(Toy, {"widht": 1})
    with pytest.raises(UserError, match="^--width -1: give a number above 0$"):
        build(Toy, {"width": -1})


def test_read_settings_gives_the_values_of_the_file(settings):
    assert read_settings(Path(settings("width: 5\nname: x")), Toy) == {"width": 5, "name": "x"}


def test_help_prints_every_field_with_its_text_and_exits_with_0(capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in ("usage: toy", "Train a toy", "--config", "Numbers in a vector. (type: int, default: 32)", "--smoke"):
        assert words in said


def test_a_command_takes_its_own_flags():
    assert parse_command({"toy": Toy, "other": Other}, ["other", "--many", "3"]) == ("other", Other(3))


def test_an_unknown_command_is_one_line_that_lists_the_known():
    with pytest.raises(UserError, match=r"^unknown name 'othr' \(did you mean other\?\): choose one of toy, other$"):
        parse_command({"toy": Toy, "other": Other}, ["othr"])


@pytest.mark.parametrize(("argv", "code"), [(["--help"], 0), ([], 2)])
def test_without_a_command_the_commands_are_listed_with_their_first_line(capsys, argv, code):
    with pytest.raises(SystemExit) as caught:
        parse_command({"toy": Toy, "other": Other}, argv, prog="program")
    assert caught.value.code == code
    assert "Count the toys." in capsys.readouterr().out


def test_a_hyphen_may_stand_for_an_underscore():
    @dataclass(frozen=True)
    class Long:
        """Has a long name."""

        max_steps: int = 1
        """Steps."""
        be_quick: bool = False
        """Hurry."""

    for argv in (["--max-steps", "3", "--be-quick"], ["--max-steps=3", "--be-quick", "true"]):
        assert parse_config(Long, argv) == Long(max_steps=3, be_quick=True)


@pytest.mark.parametrize("text", ["[" * 9999, "- " * 2000, "a: 2024-99-99", "a: " + "1" * 5000])
def test_whatever_is_no_yaml_is_one_kind_of_error(text):
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)
