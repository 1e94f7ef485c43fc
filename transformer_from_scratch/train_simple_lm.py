"""Train a character-level language model on any text.

python -m transformer_from_scratch.train_simple_lm
python -m transformer_from_scratch.train_simple_lm --data zh_reviews --architecture modern
python -m transformer_from_scratch.train_simple_lm --data my_book.txt --preset gpu
python -m transformer_from_scratch.train_simple_lm --resume runs/transformer_from_scratch/20261124-101500
accelerate launch --multi_gpu --num_processes 2 -m transformer_from_scratch.train_simple_lm --device cpu
"""

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from shared.config import build, parse_config, to_dict
from shared.errors import UserError, run_program
from shared.interrupt import StopRequest
from shared.logging import get_logger, print_result, progress_bar, setup_logging
from shared.runs import SUMMARY, RunFolder
from shared.timing import Timer
from shared.tracking import setup_experiment_tracking
from transformer_from_scratch.config import ARCHITECTURES, PRESETS, PROJECT, TrainingConfig

log = get_logger(__name__)
LOG_EVERY = 10


def train(
    config: TrainingConfig,
    run: RunFolder,
    *,
    resume: bool = False,
    on_step: Callable[[int, float], None] = lambda steps, loss: None,
) -> dict[str, Any]:
    """Train for `max_steps` steps, or go on from the run's checkpoint if it has one, and leave the run folder complete.

    `on_step` hears how many steps are done and the last batch's loss. Returns the summary. Raises UserError for data
    or a device that cannot be had, and KeyboardInterrupt after Ctrl-C, once everything is saved.
    """
    import torch  # only now: `--help` and a mistyped flag are answered without waiting for it

    from shared.devices import keep_freed_memory
    from transformer_from_scratch import checkpoint, training

    keep_freed_memory()
    accelerator, precision = training.make_accelerator(config)
    rank, processes, is_main = accelerator.process_index, accelerator.num_processes, accelerator.is_main_process
    text = training.prepare_text(config)
    model, optimizers = training.make_model(config, len(text.tokenizer))
    resume = resume and (run.path / checkpoint.CHECKPOINT).exists()  # a run that was killed before it begins anew
    start, seconds_before = checkpoint.load_checkpoint(run.path, model, optimizers) if resume else (0, 0.0)
    wrapped, *optimizers = accelerator.prepare(model, *optimizers)
    tracker = setup_experiment_tracking(config.tracking if is_main else "none", PROJECT, run.path, to_dict(config))
    if is_main:
        text.tokenizer.save(run.path)
        # Step 0 is told before it is saved: a kill or a full disk may lie between.
        run.forget_metrics_after(start if resume else -1)
        training.draw_sample(model, text, 1)  # the writing loop compiles before the clock starts

    with (
        StopRequest() as stop,
        Timer() as timer,
        progress_bar("training", config.max_steps, done=start, shown=is_main) as update,
    ):
        for step in range(start, config.max_steps + 1):
            # Learning rate. All that is random in a step follows from (seed, step): a resumed run repeats it exactly.
            torch.manual_seed(config.seed * 1_000_003 + step * processes + rank)
            seconds = seconds_before + timer.seconds
            progress = training.progress(step, seconds, config)
            training.set_learning_rate(optimizers, step, progress, config)

            # Evaluate, sample, save: before the first step, every so often, and after the last.
            stopping = training.any_process(accelerator, stop.requested)
            last = training.any_process(accelerator, progress >= 1)
            new = step > start or not resume  # the step of the checkpoint was evaluated before it was saved
            due = new and (last or step % config.eval_every == 0)
            if is_main and (due or last):
                loss = training.evaluate(model, text.validation, None if last else config.eval_blocks)
            if is_main and due:
                sample = training.draw_sample(model, text)
                run.log_metrics({"step": step, "val_loss": loss, "seconds": seconds, "sample": sample})
                tracker.log({"val_loss": loss}, step)
                log.info("step %d: validation loss %.4f, sample %r", step, loss, sample[:60])
            if is_main and (due or stopping):
                checkpoint.save_checkpoint(run.path, model, optimizers, step, seconds)
            accelerator.wait_for_everyone()
            if last:
                break
            if stopping:
                log.info("stopped at step %d with everything saved: go on with --resume %s", step, run.path)
                raise KeyboardInterrupt

            # Step.
            inputs, targets = training.batch(text.train, config, step, rank, processes)  # (B, T), (B, T)
            with precision():
                logits, _ = wrapped(inputs.to(accelerator.device))  # (B, T, V)
                batch_loss = training.next_token_loss(logits, targets.to(accelerator.device))
            accelerator.backward(batch_loss)
            if config.clip:
                accelerator.clip_grad_norm_(wrapped.parameters(), config.clip)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()

            # Log.
            if (step + 1) % LOG_EVERY == 0:
                train_loss = accelerator.reduce(batch_loss.detach(), "mean").item()
                if is_main:
                    run.log_metrics({"step": step + 1, "train_loss": train_loss})
                    tracker.log({"train_loss": train_loss}, step + 1)
                    update(done=step + 1, note=f"loss {train_loss:.3f}")
                    on_step(step + 1, train_loss)

    tokens_seen = step * config.batch_size * config.context
    summary = {
        "val_loss": loss if is_main else None,
        "params": sum(weight.numel() for weight in model.parameters()),
        "tokens_seen": tokens_seen,
        "seconds": seconds,
        "tokens_per_s": tokens_seen / seconds,
        "architecture": config.architecture,
        "data": config.data,
        "seed": config.seed,
        "threads": torch.get_num_threads(),
        "processes": processes,
    }
    if is_main:
        checkpoint.save_model(run.path, model)
        run.write_summary(summary)
        tracker.finish(summary)
    return summary


def main(argv: Sequence[str] | None = None) -> None:
    presets = {"preset": PRESETS, "architecture": ARCHITECTURES}
    prog = f"python -m {PROJECT}.train_simple_lm"
    config = parse_config(TrainingConfig, argv, prog=prog, presets=presets)
    is_main = int(os.environ.get("RANK", "0")) == 0  # set by `accelerate launch`
    if config.resume:
        if config != parse_config(TrainingConfig, ["--resume", config.resume], presets=presets):
            raise UserError("--resume: continues with the run's own settings: leave out the other options")
        run = RunFolder.open(config.resume)
        if (run.path / SUMMARY).exists():
            raise UserError(f"--resume {run.path}: this run has ended: train a new one, with more --max_steps")
        config, resume = build(TrainingConfig, run.config()), True
    else:
        # Of several processes only the first writes; the others never look into their folder.
        run = RunFolder.create(config.output, PROJECT, to_dict(config)) if is_main else RunFolder(Path())
        resume = False
    setup_logging(run.path if is_main else None)
    with run.claimed() if is_main else nullcontext():
        summary = train(config, run, resume=resume)
    if is_main:
        print_result({"run": str(run.path), **summary})


if __name__ == "__main__":
    run_program(main)
