"""What happens between the steps of a training: the log, the stop on request or early, the place where it resumes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, TrainerCallback

from bert_sentiment_analysis.models.batches import EpochSampler
from shared.interrupt import StopRequest
from shared.logging import get_logger
from shared.runs import RunFolder
from shared.tracking import Tracker

log = get_logger(__name__)

UNLOGGED = ("epoch", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second")


class EarlyStopping(EarlyStoppingCallback):
    """As transformers', but a run that was killed after the deciding evaluation does not train on when resumed."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        super().on_train_begin(args, state, control, **rest)
        control.should_training_stop = self.early_stopping_patience_counter >= self.early_stopping_patience


class RunKeeper(TrainerCallback):
    """Tells the sampler which pass it is, logs, moves the progress bar, and stops on request once all is saved.

    And it knows the best checkpoint of a run that was moved.
    """

    def __init__(
        self,
        run: RunFolder,
        tracker: Tracker,
        sampler: EpochSampler,
        stop: StopRequest,
        update: Callable,
        on_step: Callable[[int], None],
    ) -> None:
        self.run, self.tracker, self.sampler, self.stop = run, tracker, sampler, stop
        self.update, self.on_step = update, on_step
        self.stopped, self.steps, self.seconds, self._since = False, 0, 0.0, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        # What is resumed names its best checkpoint by a whole path; the run's folder may have been moved since.
        best = Path(args.output_dir, f"checkpoint-{state.best_global_step}")
        if best.is_dir():
            state.best_model_checkpoint = str(best)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.sampler.epoch = int(state.epoch or 0)
        self._since = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        now = time.perf_counter()
        self.steps, self.seconds, self._since = self.steps + 1, self.seconds + now - self._since, now
        self.on_step(state.global_step)
        if _any_process(self.stop.requested):
            self.stopped = control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self._since = time.perf_counter()  # evaluating and saving is not training

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **rest: Any) -> None:
        if not state.is_world_process_zero or "train_runtime" in logs:
            return
        names = {name: name.replace("eval_", "val_") for name in logs if name not in UNLOGGED} | {"loss": "train_loss"}
        metrics = {names[name]: value for name, value in logs.items() if name in names}
        self.run.log_metrics({"step": state.global_step, **metrics})
        self.tracker.log(metrics, state.global_step)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name != "grad_norm")
        self.update(done=state.global_step, note=shown if "train_loss" in metrics else "")
        if "val_loss" in metrics:
            log.info("step %d: %s", state.global_step, shown)


def _any_process(condition: bool) -> bool:
    """Whether it holds in any of the processes, so that all of them leave the loop together."""
    if not torch.distributed.is_initialized():
        return condition
    flag = torch.tensor(float(condition), device="cuda" if torch.distributed.get_backend() == "nccl" else "cpu")
    torch.distributed.all_reduce(flag)
    return bool(flag)
