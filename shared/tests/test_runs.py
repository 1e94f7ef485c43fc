"""A run folder: never overwritten, and readable after a kill."""

import json
import os
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.runs import METRICS, RunFolder, git_commit, hardware, provenance, read_json


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", "toy", {"width": 3})


def test_the_settings_are_saved_and_come_back(run):
    assert RunFolder.open(run.path).config() == {"width": 3}


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="already holds a run.*another folder.*--resume"):
        RunFolder.create(tmp_path, "toy", {})
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="already holds"):
        RunFolder.create(tmp_path / "file", "toy", {})
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_may_be_used(tmp_path):
    assert RunFolder.create(str(tmp_path), "toy", {"a": 1}).config() == {"a": 1}


def test_runs_started_in_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [RunFolder.create(None, "toy", {"number": number}) for number in range(5)]
    assert len({run.path for run in runs}) == 5
    assert [run.config()["number"] for run in runs] == [0, 1, 2, 3, 4]
    assert all(run.path.parent == Path("runs/toy") for run in runs)


def test_a_folder_without_a_run_is_told_as_such(tmp_path):
    with pytest.raises(UserError, match="no run here .config.json is missing"):
        RunFolder.open(tmp_path)


def test_metrics_come_back_in_order_without_a_half_written_last_line(run):
    assert run.metrics() == []
    for step in (1, 2):
        run.log_metrics({"step": step, "note": "a\u2028b"})
    with open(run.path / METRICS, "a") as file:
        file.write('{"step": 3, "los')
    assert [line["step"] for line in run.metrics()] == [1, 2]
    assert run.metrics()[0]["note"] == "a\u2028b"


def test_forgetting_drops_later_steps_and_the_half_line_so_that_logging_can_go_on(run):
    for step in (1, 2, 3):
        run.log_metrics({"step": step})
    with open(run.path / METRICS, "a") as file:
        file.write('{"st')
    run.forget_metrics_after(2)
    run.log_metrics({"step": 3, "again": True})
    assert run.metrics() == [{"step": 1}, {"step": 2}, {"step": 3, "again": True}]


def test_a_line_that_a_full_disk_cut_short_does_not_swallow_the_next(run):
    run.log_metrics({"step": 1, "long": "x" * 5000})
    with open(run.path / METRICS, "a") as file:
        file.write('{"st' + "y" * 5000)
    run.log_metrics({"step": 2})
    assert [line["step"] for line in run.metrics()] == [1, 2]


def test_the_draft_of_a_killed_process_does_not_keep_a_folder_from_being_used(tmp_path):
    (tmp_path / ".config.json.123.draft").write_text("{")
    assert RunFolder.create(tmp_path, "toy", {"a": 1}).config() == {"a": 1}


def test_two_processes_do_not_work_on_one_run(run, run_python):
    claim = f"import sys; from shared.runs import RunFolder\nwith RunFolder.open({str(run.path)!r}).claimed(): pass"
    with run.claimed():
        second = run_python("-c", claim)
        assert second.returncode and "another process works on this run" in second.stderr
    assert run_python("-c", claim).returncode == 0


def test_damaged_metrics_are_one_line(run):
    """Regression: a half line that logging went on behind gave a traceback."""
    (run.path / METRICS).write_text('{"st{"step": 2}\n')
    with pytest.raises(UserError, match="damaged, a line is not valid JSON: remove that line"):
        run.metrics()


@pytest.mark.parametrize("content", [b"", b'{"width": 3', b"\xff\xfe"])
def test_a_damaged_file_is_one_line_with_the_remedy(run, content):
    (run.path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match="config.json: damaged, not valid JSON: restore it"):
        run.config()


def test_a_missing_summary_says_that_the_run_was_not_finished(run):
    with pytest.raises(UserError, match="summary.json: missing: the run was not finished"):
        run.summary()


def test_the_summary_stands_with_its_provenance(run):
    run.write_summary({"accuracy": 0.5})
    assert run.summary().keys() == {"accuracy", "date", "commit", "hardware", "python"}
    assert run.summary()["accuracy"] == 0.5
    assert all(isinstance(value, str) and value for value in provenance().values())


def test_hardware_names_the_cores():
    assert f"{os.cpu_count()} cores" in hardware()


def test_the_commit_is_unknown_outside_a_checkout_and_never_an_error(run_python, tmp_path):
    assert git_commit()
    done = run_python("-c", "from shared.runs import git_commit; print(git_commit())", PATH=str(tmp_path))
    assert done.stdout == "unknown\n", done.stderr


def test_read_json_gives_the_value(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"a": ["文"]}))
    assert read_json(tmp_path / "a.json") == {"a": ["文"]}
