"""Messages, tables and the last line of output."""

import json
import logging

import pytest

from shared.logging import format_cell, get_logger, print_result, print_table, progress_bar, setup_logging


@pytest.fixture(autouse=True)
def no_handlers_left():
    yield
    root = logging.getLogger("laptop_llm")
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()


def test_messages_reach_stderr_and_as_json_lines_the_run_folder(tmp_path, capsys):
    setup_logging(tmp_path / "run")
    log = get_logger("shared.toy")
    log.info("step %d of [bold]%s", 3, "文\nnext")
    try:
        raise KeyError("lost")
    except KeyError:
        log.exception("failed")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("INFO", "step 3 of [bold]文\nnext"),
        ("ERROR", "failed"),
    ]
    assert "KeyError: 'lost'" in lines[1]["error"]
    said = capsys.readouterr()
    assert "step 3 of [bold]文" in said.err
    assert said.out == ""


def test_setting_up_twice_does_not_double_the_messages(tmp_path):
    setup_logging(tmp_path)
    setup_logging(tmp_path)
    get_logger("toy").info("once")
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1


def test_messages_below_the_level_are_left_out(tmp_path):
    setup_logging(tmp_path, level=logging.WARNING)
    get_logger("toy").info("quiet")
    get_logger("toy").warning("loud")
    assert [json.loads(line)["message"] for line in open(tmp_path / "log.jsonl")] == ["loud"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, "–"),
        (True, "True"),
        ("text", "text"),
        (0, "0"),
        (1234567, "1,234,567"),
        (0.0, "0.000"),
        (0.5, "0.500"),
        (0.001, "0.001"),
        (0.000123456, "1.23e-04"),
        (-0.25, "-0.250"),
        (99.9994, "99.999"),
        (100.0, "100"),
        (1234.5678, "1,235"),
        (float("nan"), "nan"),
        (["a", 1], "['a', 1]"),
    ],
)
def test_a_cell_is_short_and_exact_enough(value, cell):
    assert format_cell(value) == cell


def test_a_table_shows_its_titles_columns_and_cells_verbatim(capsys):
    """Regression: square brackets were taken for markup and vanished, or raised."""
    print_table("Scores [all]", [{"name [x]": "[bold]a[/b]", "n": 1200}, {"name [x]": "b", "n": None}])
    said = capsys.readouterr().out
    for words in ("Scores [all]", "name [x]", "[bold]a[/b]", "1,200", "–"):
        assert words in said


def test_the_last_line_of_output_is_the_result_as_json(capsys):
    print_table("Scores", [{"name": "a"}])
    print_result({"accuracy": 0.5, "name": "文"})
    last = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(last) == {"accuracy": 0.5, "name": "文"}
    assert "文" in last


def test_a_progress_bar_off_a_terminal_prints_nothing(capsys):
    with progress_bar("counting", 3) as update:
        for number in range(3):
            update(done=number + 1, note="still")
    said = capsys.readouterr()
    assert said.out + said.err == ""
