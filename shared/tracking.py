"""Experiment tracking: MLflow into a local SQLite file by default, Weights & Biases by a flag, or none.

The training loop calls `log` and `finish` and never asks which one it has.
"""

import os
from pathlib import Path
from typing import Any, Literal, Protocol

from shared.errors import UserError

Tool = Literal["mlflow", "wandb", "none"]
DATABASE = "mlflow.db"


class Tracker(Protocol):
    """What a training loop may do with a tracker."""

    def log(self, metrics: dict[str, float], step: int) -> None: ...

    def finish(self, summary: dict[str, Any]) -> None: ...


class _NoTracker:
    def log(self, metrics: dict[str, float], step: int) -> None:
        return

    def finish(self, summary: dict[str, Any]) -> None:
        return


class _MLflowTracker:
    def __init__(self, project: str, run_folder: Path, config: dict[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # the first start reports its table creation
        import mlflow

        # A user's own MLFLOW_TRACKING_URI (a team's server) takes the place of the local file.
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            mlflow.set_tracking_uri(f"sqlite:///{Path(DATABASE).resolve()}")
        mlflow.set_experiment(project)
        self._client = mlflow.MlflowClient()
        self._mlflow = mlflow
        self._run_id = mlflow.start_run(run_name=run_folder.name).info.run_id
        mlflow.log_params(config)

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._mlflow.log_metrics(metrics, step=step, run_id=self._run_id)

    def finish(self, summary: dict[str, Any]) -> None:
        numbers = {key: float(value) for key, value in summary.items() if isinstance(value, int | float)}
        self._mlflow.log_metrics(numbers, run_id=self._run_id)
        self._mlflow.end_run()


class _WandbTracker:
    def __init__(self, project: str, run_folder: Path, config: dict[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise UserError("--tracking wandb: not installed: run `pip install wandb`, or use mlflow") from error
        self._run = wandb.init(project=project, name=run_folder.name, dir=str(run_folder), config=config)

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._run.log(metrics, step=step)

    def finish(self, summary: dict[str, Any]) -> None:
        self._run.summary.update(summary)
        self._run.finish()


def setup_experiment_tracking(tool: Tool, project: str, run_folder: Path, config: dict[str, Any]) -> Tracker:
    """Start tracking one run. See MLflow's runs with `mlflow ui --backend-store-uri sqlite:///mlflow.db`.

    Raises UserError where the tool is not installed.
    """
    if tool == "none":
        return _NoTracker()
    try:
        return (_WandbTracker if tool == "wandb" else _MLflowTracker)(project, run_folder, config)
    except ImportError as error:
        raise UserError(
            f"--tracking {tool}: not installed ({error.name}): install it or pass --tracking none"
        ) from error
