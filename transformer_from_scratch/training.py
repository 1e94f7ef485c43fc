"""What the training loop uses: text, model and device made ready, batches, the learning rate, the loss, samples."""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional
from accelerate import Accelerator
from torch import Tensor

from shared.datasets import load_corpus
from shared.devices import choose_device, choose_precision, seed_everything
from shared.errors import UserError
from shared.logging import get_logger
from transformer_from_scratch.config import Sampling, TrainingConfig
from transformer_from_scratch.optimizer import build_optimizers
from transformer_from_scratch.sampling import generate_tokens
from transformer_from_scratch.tokenizer import CharTokenizer
from transformer_from_scratch.transformer_block import LanguageModel

log = get_logger(__name__)

TRAIN_SHARE = 0.9  # the first 90 % of the characters train, the rest validates, as in nanoGPT
SAMPLE_LENGTH = 200


class Text(NamedTuple):
    """A text as token ids, each part (n,) int32."""

    tokenizer: CharTokenizer
    train: Tensor
    validation: Tensor


def prepare_text(config: TrainingConfig) -> Text:
    """Load the text and split it; the tokenizer knows the training part's characters only.

    Raises UserError where it cannot be read, or is too short for one block each.
    """
    text = load_corpus(config.data)
    border = int(len(text) * TRAIN_SHARE)
    if len(text) - border <= config.context:
        needed = math.ceil((config.context + 1) / (1 - TRAIN_SHARE)) + 1
        raise UserError(
            f"--data {config.data}: {len(text)} characters are too few for --context {config.context}: "
            f"give a text of at least {needed}, or a smaller context"
        )
    tokenizer = CharTokenizer.train(text[:border], config.vocabulary)
    log.info("%s: %s characters, %s distinct", config.data, f"{len(text):,}", f"{len(tokenizer) - 1:,}")
    train, validation = (torch.from_numpy(tokenizer.encode(part)) for part in (text[:border], text[border:]))
    return Text(tokenizer, train, validation)


def make_accelerator(config: TrainingConfig) -> tuple[Accelerator, Callable[[], torch.autocast]]:
    """The processes and device to train with, and the context that computes the loss in the chosen precision.

    Accelerate would fix the precision for the whole process, and a page or a benchmark trains several models in one.
    Raises UserError for a device that is not there.
    """
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device.value, config.width)
    log.info("computing on %s (%s) in %s (%s)", *device, *precision)
    accelerator = Accelerator(cpu=device.value == "cpu", mixed_precision="no")
    if config.batch_size % accelerator.num_processes:
        raise UserError(
            f"--batch_size {config.batch_size}: does not divide among {accelerator.num_processes} processes: "
            "give a multiple"
        )
    return accelerator, partial(torch.autocast, device.value, torch.bfloat16, enabled=precision.value == "bf16")


def make_model(config: TrainingConfig, vocabulary: int) -> tuple[LanguageModel, list[torch.optim.Optimizer]]:
    """A fresh model, whose weights follow from the seed, and its optimizers."""
    seed_everything(config.seed)
    model = LanguageModel(config, vocabulary)
    log.info("%s parameters", f"{sum(weight.numel() for weight in model.parameters()):,}")
    return model, build_optimizers(model, config)


def any_process(accelerator: Accelerator, condition: bool) -> bool:
    """Whether the condition holds in any of the processes, so that all of them leave a loop together."""
    if accelerator.num_processes == 1:
        return condition
    if condition:
        accelerator.set_trigger()
    return accelerator.check_trigger()


def batch(
    tokens: Tensor, config: TrainingConfig, step: int, rank: int = 0, processes: int = 1
) -> tuple[Tensor, Tensor]:
    """Step `step`'s blocks: inputs (B, T) and targets (B, T), the same text one character on.

    A batch depends on the seed and the step alone. A resumed run therefore sees what it would have seen, and two
    processes, each taking its share of the rows, train on what one would.
    """
    first = step * config.batch_size  # blocks drawn before this step
    starts = [block_start(len(tokens), config, place) for place in range(first, first + config.batch_size)]
    rows = torch.tensor(starts[rank::processes])[:, None] + torch.arange(config.context + 1)  # (B, T + 1)
    block = tokens[rows].long()
    return block[:, :-1], block[:, 1:]


def block_start(length: int, config: TrainingConfig, place: int) -> int:
    """Where the run's `place`-th block begins: the text is cut into blocks, which come in random order, all of them
    before any comes again. Each pass cuts at other places.
    """
    blocks = max((length - 1) // config.context - 1, 1)
    order, offset = _pass(length, config.context, blocks, config.seed, place // blocks)
    return int(order[place % blocks]) * config.context + offset


@lru_cache(maxsize=4)
def _pass(length: int, context: int, blocks: int, seed: int, number: int) -> tuple[np.ndarray, int]:
    random = np.random.default_rng((seed, number))
    return random.permutation(blocks), int(random.integers(0, length - 1 - blocks * context + 1))


def progress(step: int, seconds: float, config: TrainingConfig) -> float:
    """The share of the training that is behind, by steps or by time, whichever is further on; 1 is the end."""
    by_time = seconds / config.max_seconds if config.max_seconds else 0.0
    return max(step / config.max_steps, by_time)


def learning_rate_factor(step: int, progress: float, config: TrainingConfig) -> float:
    """The share of the peak rate at `step` (from 0): a straight rise, then half a cosine down to the final share."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    warmup = min(config.warmup_steps / config.max_steps, 0.99)
    cosine = (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2
    return config.final_learning_rate + (1 - config.final_learning_rate) * cosine


def set_learning_rate(
    optimizers: list[torch.optim.Optimizer], step: int, progress: float, config: TrainingConfig
) -> None:
    """Bring every group to its own peak times what the schedule says."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate_factor(step, progress, config)


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of -ln p(target) in nats: logits (B, T, V), targets (B, T)."""
    return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


@torch.no_grad()
def evaluate(model: LanguageModel, tokens: Tensor, blocks: int | None = None) -> float:
    """Mean loss in nats a character over `tokens` cut into blocks of the context that do not overlap.

    Every position counts, also the first of a block, which sees one character only. `blocks` limits it to that many,
    evenly spread; without, the whole text is scored, the shorter last block too.
    """
    context, device = model.config.context, next(model.parameters()).device
    starts = list(range(0, len(tokens) - 1, context))
    whole = starts if (len(tokens) - 1) % context == 0 else starts[:-1]
    if blocks is not None and blocks < len(whole):
        whole = [whole[place * len(whole) // blocks] for place in range(blocks)]
        starts = whole
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    groups = [whole[i : i + 64] for i in range(0, len(whole), 64)] + [[start] for start in starts[len(whole) :]]
    for group in groups:
        length = min(context, len(tokens) - 1 - group[0])
        block = torch.stack([tokens[start : start + length + 1] for start in group]).long().to(device)  # (B, T + 1)
        logits, _ = model(block[:, :-1])
        total += next_token_loss(logits, block[:, 1:]).item() * block[:, 1:].numel()
        count += block[:, 1:].numel()
    model.train(was_training)
    return total / count


def draw_sample(model: LanguageModel, text: Text, length: int = SAMPLE_LENGTH) -> str:
    """A piece of text as the model now writes it, always from the same prompt and seed: the start of a line."""
    first = text.tokenizer.encode("\n")
    prompt = torch.from_numpy(first) if first[0] else text.train[:1]
    was_training = model.training
    model.eval()
    drawn = list(generate_tokens(model, prompt.to(next(model.parameters()).device), length, Sampling(), seed=0))
    model.train(was_training)
    return text.tokenizer.decode(drawn)
