"""Tracking writes where it says, and its absence is one line."""

import os
import sys
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.tracking import DATABASE, setup_experiment_tracking


def test_none_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracker = setup_experiment_tracking("none", "toy", Path("run"), {"lr": 1})
    tracker.log({"loss": 1.0}, step=1)
    tracker.finish({"loss": 1.0})
    assert os.listdir(tmp_path) == []


def test_mlflow_keeps_settings_curve_and_outcome_in_the_local_file(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("first", "second"):  # a second run in the same process must not find the first still open
        tracker = setup_experiment_tracking("mlflow", "toy", Path("runs") / name, {"lr": 0.25, "preset": "tiny"})
        tracker.log({"loss": 2.0}, step=1)
        tracker.log({"loss": 1.5}, step=10)
        tracker.finish({"accuracy": 0.75, "device": "cpu"})

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / DATABASE}")
    experiment = client.get_experiment_by_name("toy")
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    assert [run.info.run_name for run in runs] == ["first", "second"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert runs[0].data.params == {"lr": "0.25", "preset": "tiny"}
    assert runs[0].data.metrics == {"loss": 1.5, "accuracy": 0.75}
    curve = client.get_metric_history(runs[0].info.run_id, "loss")
    assert [(point.step, point.value) for point in curve] == [(1, 2.0), (10, 1.5)]


@pytest.mark.parametrize("tool", ["wandb", "mlflow"])
def test_a_tool_that_is_not_installed_is_one_line_with_the_remedy(tool, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, tool, None)  # Python's own way to make an import fail, installed or not
    with pytest.raises(UserError) as caught:
        setup_experiment_tracking(tool, "toy", tmp_path, {})
    line = str(caught.value)
    assert line.startswith(f"--tracking {tool}: not installed") and "install" in line
    assert len(line.splitlines()) == 1
