"""Fine-tune an encoder to tell the sentiment of texts.

python -m bert_sentiment_analysis.train --model minilm --dataset rotten_tomatoes
python -m bert_sentiment_analysis.train --dataset tweets,amazon,movie_snippets,nyt --head rating
python -m bert_sentiment_analysis.train --model roberta-base --dataset my_reviews.csv --n_seeds 3
python -m bert_sentiment_analysis.train --lora_rank 8
python -m bert_sentiment_analysis.train --resume runs/bert_sentiment_analysis/20261124-101500
torchrun --standalone --nproc_per_node 2 -m bert_sentiment_analysis.train
accelerate launch --multi_gpu --num_processes 2 -m bert_sentiment_analysis.train

The last two train with two processes, on processors as on GPUs; `accelerate launch --cpu` would start only one.
"""

import logging
import os
import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from bert_sentiment_analysis.config import PROJECT, TrainingConfig
from shared.config import build, parse_config, to_dict
from shared.errors import UserError, run_program
from shared.logging import get_logger, print_result, setup_logging
from shared.runs import CONFIG, SUMMARY, RunFolder

log = get_logger(__name__)


def run_training(config: TrainingConfig, run: RunFolder) -> dict[str, Any]:
    """Train once, or once a seed in a folder each, and give the summary.

    What was begun goes on from its last checkpoint, and finished seeds are not trained again. With several seeds every
    score becomes its mean, and `spread` has the standard deviations. Raises UserError where another process trains it.
    """
    try:
        with run.claimed() if is_main() else nullcontext():
            return _train_seeds(config, run)
    except KeyboardInterrupt:
        log.info("go on with --resume %s", run.path)
        raise


def _train_seeds(config: TrainingConfig, run: RunFolder) -> dict[str, Any]:
    from bert_sentiment_analysis.models.trainer import train  # only now: `--help` does not wait for torch

    if config.n_seeds == 1:
        return train(config, run)
    summaries = []
    for seed in range(config.seed, config.seed + config.n_seeds):
        one = replace(config, seed=seed, n_seeds=1)
        folder = run.path / f"seed-{seed}"
        child = RunFolder(folder)
        if is_main() and not (folder / CONFIG).exists():
            child = RunFolder.create(folder, PROJECT, to_dict(one))
        log.info("seed %d", seed)
        summaries.append(child.summary() if (folder / SUMMARY).exists() else train(one, child))
    if not is_main():
        return {}
    summary = {**average(summaries), "seed": config.seed, "n_seeds": config.n_seeds}
    run.write_summary(summary)
    return summary


def finish(config: TrainingConfig, folder: Path) -> RunFolder:
    """The run in this folder, trained to its end: begun with these settings, or continued with its own."""
    begun = (folder / CONFIG).exists()
    run = RunFolder.open(folder) if begun else RunFolder.create(folder, PROJECT, to_dict(config))
    if not (folder / SUMMARY).exists():
        run_training(build(TrainingConfig, run.config()), run)
    return run


def average(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first summary with each score replaced by its mean, and in `spread` their standard deviations.

    A score that one of them lacks has none; scores by set are averaged set by set.
    """
    mean: dict[str, Any] = dict(summaries[0])
    spread: dict[str, Any] = {}
    for name, value in summaries[0].items():
        values = [summary[name] for summary in summaries]
        if isinstance(value, dict):
            parts = average(values)
            spread[name] = parts.pop("spread")
            mean[name] = parts
        elif any(isinstance(other, float) for other in values):
            whole = None not in values
            mean[name] = statistics.fmean(values) if whole else None
            spread[name] = statistics.stdev(values) if whole else None
    return {**mean, "spread": spread}


def is_main() -> bool:
    """Of several processes only the first writes."""
    return int(os.environ.get("RANK", "0")) == 0  # set by the launcher


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(TrainingConfig, argv, prog=f"python -m {PROJECT}.train")
    if config.resume:
        if config != parse_config(TrainingConfig, ["--resume", config.resume]):
            raise UserError("--resume: continues with the run's own settings: leave out the other options")
        run = RunFolder.open(config.resume)
        if (run.path / SUMMARY).exists():
            raise UserError(f"--resume {run.path}: this run has ended: train a new one, with more --epochs")
        config = build(TrainingConfig, run.config())
    else:
        run = RunFolder.create(config.output, PROJECT, to_dict(config)) if is_main() else RunFolder(Path())
        run = RunFolder(_agree(run.path, config.device))
    setup_logging(run.path if is_main() else None, logging.INFO if is_main() else logging.WARNING)
    summary = run_training(config, run)
    if is_main():
        print_result({"run": str(run.path), **summary})


def _agree(path: Path, device: str) -> Path:
    """The first process's path, in all of them: each saves its own random state in the folder."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return path
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    from shared.devices import choose_device

    # Told that there is no GPU, accelerate joins the processes by gloo; else it would take each for the only one.
    PartialState(cpu=choose_device(device).value == "cpu")
    return Path(broadcast_object_list([str(path.resolve())])[0])


if __name__ == "__main__":
    run_program(main)
