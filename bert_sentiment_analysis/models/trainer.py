"""One training with transformers' Trainer: what is resumed goes on bit for bit, and the best checkpoint is kept."""

import json
import math
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from bert_sentiment_analysis.config import PROJECT, TrainingConfig, run_path
from bert_sentiment_analysis.data.imdb_dataset import load_splits
from bert_sentiment_analysis.data.preprocessor import make_rows
from bert_sentiment_analysis.models.batches import (
    EpochSampler,
    TextDataset,
    autocast,
    collate,
    parts_by_budget,
)
from bert_sentiment_analysis.models.bert_classifier import TextClassifier
from bert_sentiment_analysis.models.callbacks import EarlyStopping, RunKeeper
from bert_sentiment_analysis.models.outcome import calibrate, class_metrics, rating_metrics, test_scores
from shared.config import to_dict
from shared.datasets import Example
from shared.devices import choose_device, choose_precision, keep_freed_memory, seed_everything
from shared.errors import UserError
from shared.files import raise_os_error
from shared.interrupt import StopRequest
from shared.leaks import TRAIN_IDS, exclude, load_ids, refuse_leaks, save_ids
from shared.logging import get_logger, progress_bar
from shared.runs import RunFolder
from shared.splits import evenly, load_rated
from shared.tracking import setup_experiment_tracking

log = get_logger(__name__)

CHECKPOINTS = "checkpoints"
LOG_EVERY = 10


@dataclass(frozen=True)
class Data:
    """What a training sees, and the sets that it is tested on, by name."""

    train: list[Example]
    validation: list[Example]
    tests: dict[str, list[Example]]
    label_names: tuple[str, ...]


def load_data(config: TrainingConfig) -> Data:
    """The parts of the set, or of several. Raises UserError where a text stands in two parts.

    What an encoder from a run was trained on is never held out.
    """
    names = [config.dataset] if Path(config.dataset).exists() else config.dataset.split(",")
    if config.head == "rating":
        parts = load_rated(names)
    else:
        columns = {"text_column": config.text_column, "label_column": config.label_column}
        parts = {name: load_splits(name, **columns) for name in names}
    label_names = {splits.label_names for splits in parts.values()}
    if len(label_names) > 1:
        raise UserError(f"--dataset {config.dataset}: their classes differ: train on one after the other")
    train, validation = (
        [example for splits in parts.values() for example in splits.parts[side]] for side in ("train", "validation")
    )
    tests = {name: splits.test for name, splits in parts.items()}
    if trained_on := ids_of_run(config.model):
        validation = exclude(validation, trained_on)[0]
        tests = {name: exclude(test, trained_on)[0] for name, test in tests.items()}
    everything = {"train": train, "validation": validation, "test": [e for test in tests.values() for e in test]}
    refuse_leaks(config.dataset, everything)
    return Data(evenly(train, config.n_train), validation, tests, label_names.pop())


def ids_of_run(model: str) -> set[str]:
    """What the encoder of one of our runs was trained on already; nothing for any other."""
    folder = run_path(model)
    return load_ids(folder) if (folder / TRAIN_IDS).exists() else set()


def make_classifier(config: TrainingConfig, label_names: tuple[str, ...]) -> TextClassifier:
    """The classifier before its training: what is new in it follows from the seed."""
    seed_everything(config.seed)
    classifier = TextClassifier.from_pretrained(
        config.model,
        label_names,
        head=config.head,
        pooling=config.pooling,
        max_length=config.max_length,
        overlap=config.overlap,
        dropout=config.dropout,
        encoder_dropout=config.encoder_dropout,
        freeze=config.freeze,
        lora_rank=config.lora_rank,
    )
    counts = (sum(w.numel() for w in classifier.parameters() if w.requires_grad), n_parameters(classifier))
    log.info("%s: %s of %s parameters learn", config.model, *(f"{count:,}" for count in counts))
    return classifier


class SentimentTrainer(Trainer):
    """transformers' Trainer with our order of texts, our precision, and steps that a long text does not blow up."""

    def __init__(self, *, sampler: EpochSampler, precision: str, **rest: Any) -> None:
        self.sampler, self.precision = sampler, precision
        super().__init__(**rest)

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return self.sampler

    def compute_loss_context_manager(self) -> Any:
        return autocast(self.args.device, self.precision)()

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Any = None
    ) -> Tensor:
        """The batch in parts, whose gradients add up to the whole one's: long texts cost time and not memory."""
        classifier = self.accelerator.unwrap_model(model)
        if not classifier.in_groups:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        parts = list(parts_by_budget(self._prepare_inputs(inputs), classifier.part_tokens))
        losses = []
        for number, part in enumerate(parts, 1):
            # Several processes exchange their gradients once a step.
            with self.accelerator.no_sync(model) if number < len(parts) else nullcontext():
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, part) * (len(part["labels"]) / len(inputs["labels"]))
                self.accelerator.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum()


def train(
    config: TrainingConfig,
    run: RunFolder,
    *,
    on_step: Callable[[int], None] = lambda step: None,
) -> dict[str, Any]:
    """Train one classifier, from the run's last checkpoint where it has one, and leave the run folder complete.

    `on_step` hears how many steps are done. Returns the summary. Raises UserError for data, an encoder or a device that
    cannot be had, and KeyboardInterrupt after Ctrl-C, once everything is saved.
    """
    keep_freed_memory()
    device = choose_device(config.device).value
    data = load_data(config)
    classifier = make_classifier(config, data.label_names)
    precision = choose_precision(config.precision, device, classifier.encoder.config.hidden_size)
    log.info("computing on %s in %s (%s)", device, *precision)
    trainer, sampler = make_trainer(config, run, classifier, data, device, precision.value)
    is_main = trainer.is_world_process_zero()
    checkpoint = last_checkpoint(run.path / CHECKPOINTS)
    step = int(checkpoint.name.split("-")[1]) if checkpoint else 0
    if is_main:
        run.forget_metrics_after(step)
    tracker = setup_experiment_tracking(config.tracking if is_main else "none", PROJECT, run.path, to_dict(config))
    n_steps = len(sampler) // config.batch_size * config.epochs
    with StopRequest() as stop, progress_bar("training", n_steps, done=step, shown=is_main) as update:
        keeper = RunKeeper(run, tracker, sampler, stop, update, on_step)
        trainer.add_callback(keeper)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except Exception as error:
            raise_os_error(error, run.path)
            raise
    if keeper.stopped:
        log.info("stopped at step %d with everything saved", trainer.state.global_step)
        raise KeyboardInterrupt
    if not is_main:
        return {}

    classifier.eval()
    classifier.settings = settings = calibrate(classifier, data.validation, config, precision.value)
    summary = {
        "dataset": config.dataset,
        "model": config.model,
        "head": config.head,
        **test_scores(classifier, data.tests, precision.value),
        "best_val_score": trainer.state.best_metric,
        "n_train": len(data.train),
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step,
        "examples_per_s": keeper.steps * config.batch_size / keeper.seconds if keeper.steps else None,
        "seconds": keeper.seconds,
        "params": n_parameters(classifier),
        "trained_params": sum(weight.numel() for weight in classifier.parameters() if weight.requires_grad),
        "temperature": settings.temperature,
        "abstain_below": settings.abstain_below,
        "processes": trainer.args.world_size,
        "device": device,
        "precision": precision.value,
        "threads": torch.get_num_threads(),
        "seed": config.seed,
    }
    classifier.save(run.path)
    save_ids(run.path, (example.text for example in data.train), ids_of_run(config.model))
    run.write_summary(summary)
    tracker.finish(summary)
    shutil.rmtree(run.path / CHECKPOINTS, ignore_errors=True)
    return summary


def make_trainer(
    config: TrainingConfig, run: RunFolder, classifier: TextClassifier, data: Data, device: str, precision: str
) -> tuple[SentimentTrainer, EpochSampler]:
    """The Trainer, set up, and the sampler that it draws from. Raises UserError for a batch that does not divide."""
    rows = make_rows(classifier, data.train, config.targets)
    # Evaluation does not mind the order: sorted by length it needs hardly any padding.
    held_out = sorted(make_rows(classifier, data.validation), key=lambda row: row.n_tokens)
    sampler = EpochSampler([row.n_tokens for row in rows], config.batch_size, config.seed, config.group_by_length)
    every = math.ceil(len(sampler) // config.batch_size / config.evaluations)
    arguments = TrainingArguments(
        output_dir=str((run.path / CHECKPOINTS).resolve()),
        use_cpu=device == "cpu",
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=64,
        warmup_steps=config.warmup,  # below 1 it is a share
        lr_scheduler_type="linear",
        max_grad_norm=config.clip,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,  # the best and the last
        load_best_model_at_end=True,
        metric_for_best_model="pearson_r" if config.head == "rating" else "accuracy",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        logging_steps=LOG_EVERY,
        remove_unused_columns=False,
        label_names=["labels"],
        seed=config.seed,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        dataloader_pin_memory=device == "cuda",
        ddp_find_unused_parameters=False,
    )
    if config.batch_size % arguments.world_size:
        raise UserError(
            f"--batch_size {config.batch_size}: does not divide among {arguments.world_size} processes: give a multiple"
        )
    arguments.per_device_train_batch_size = config.batch_size // arguments.world_size
    classifier.in_groups = config.padding == "least"
    trainer = SentimentTrainer(
        sampler=sampler,
        precision=precision,
        model=classifier,
        args=arguments,
        train_dataset=TextDataset(rows),
        eval_dataset=TextDataset(held_out),
        data_collator=partial(
            collate,
            pad_id=classifier.tokenizer.pad_token_id,
            pad_to=classifier.settings.max_length if config.padding == "max_length" else None,
        ),
        compute_metrics=rating_metrics if config.head == "rating" else class_metrics,
        optimizers=(make_optimizer(classifier, config), None),
        callbacks=[EarlyStopping(config.patience)] if config.patience else [],
    )
    trainer.remove_callback(PrinterCallback)  # it writes to stdout, which is the result's
    return trainer, sampler


def make_optimizer(classifier: TextClassifier, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW with a rate for the encoder and one for the output layer; only matrices decay."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, weight in classifier.named_parameters():
        if weight.requires_grad:
            rate = config.head_learning_rate if name.startswith("output.") else config.encoder_learning_rate
            groups.setdefault((rate, config.weight_decay if weight.ndim > 1 else 0.0), []).append(weight)
    return torch.optim.AdamW(
        [{"params": weights, "lr": rate, "weight_decay": decay} for (rate, decay), weights in groups.items()],
        fused=True,  # one pass over the 30,000 word vectors instead of a dozen
    )


def n_parameters(classifier: TextClassifier) -> int:
    return sum(weight.numel() for weight in classifier.parameters())


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint, None before the first. One that a kill cut short is passed over.

    Its last file is `trainer_state.json`; a second process writes its random state beside it.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    return next((path for path in found if _is_whole(path)), None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all((checkpoint / name).exists() for name in ("model.safetensors", "optimizer.pt", "scheduler.pt")) and any(
        checkpoint.glob("rng_state*.pth")
    )
