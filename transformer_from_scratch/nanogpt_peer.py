"""nanoGPT beside us: its own model, from a checkout that the user names, in its own recipe, on the same text.

    git clone https://github.com/karpathy/nanoGPT
    python -m transformer_from_scratch.benchmark nanogpt --data $DATA/text/tinyshakespeare.txt --nanogpt nanoGPT

Nothing of it is in this repository. We import its model.py and repeat the loop of its train.py, in the settings of its
README's recipe for a processor.
"""

import contextlib
import importlib.util
import io
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shared.errors import UserError

# README, "I only have a macbook": train.py config/train_shakespeare_char.py with these, --device=cpu --compile=False
BLOCK_SIZE, BATCH_SIZE, MAX_ITERS = 64, 12, 2000
LAYERS, HEADS, WIDTH = 4, 4, 128
LEARNING_RATE, MIN_LR, WARMUP_ITERS, BETAS, WEIGHT_DECAY, GRAD_CLIP = 1e-3, 1e-4, 100, (0.9, 0.99), 0.1, 1.0


class NanoGPT:
    """One training of nanoGPT's model on `tokens` (N,), step by step. Raises UserError where `checkout` holds none."""

    def __init__(self, checkout: str, vocabulary: int, tokens: Tensor, seed: int) -> None:
        model = _import(Path(checkout) / "model.py")
        torch.manual_seed(seed)
        self._random = np.random.default_rng(seed)
        self._tokens = tokens.numpy().astype(np.uint16)  # as its data files hold them
        sizes = {"block_size": BLOCK_SIZE, "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH}
        with contextlib.redirect_stdout(io.StringIO()):
            self.model: Any = model.GPT(model.GPTConfig(**sizes, vocab_size=vocabulary, dropout=0.0, bias=False))
            self._optimizer = self.model.configure_optimizers(WEIGHT_DECAY, LEARNING_RATE, BETAS, "cpu")
        self.steps = 0
        self._batch = self._get_batch()

    def step(self) -> float:
        """One iteration of its loop: rate, forward, next batch, backward, clip, step, and the loss it prints."""
        for group in self._optimizer.param_groups:
            group["lr"] = _learning_rate(self.steps)
        _, loss = self.model(*self._batch)
        self._batch = self._get_batch()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), GRAD_CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        return loss.item()

    def as_scored(self) -> nn.Module:
        """Its model in the shape our evaluation takes: tokens (B, T) to logits (B, T, V) and nothing else."""
        return _Scored(self.model)

    def _get_batch(self) -> tuple[Tensor, Tensor]:
        starts = self._random.integers(0, len(self._tokens) - BLOCK_SIZE, BATCH_SIZE)
        inputs = [torch.from_numpy(self._tokens[i : i + BLOCK_SIZE].astype(np.int64)) for i in starts]
        targets = [torch.from_numpy(self._tokens[i + 1 : i + 1 + BLOCK_SIZE].astype(np.int64)) for i in starts]
        return torch.stack(inputs), torch.stack(targets)


class _Scored(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.config = model, model.config
        self.config.context = BLOCK_SIZE

    def forward(self, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        # Given targets it returns the logits of all positions, else those of the last alone.
        return self.model(tokens, tokens.contiguous())[0], []


def _learning_rate(step: int) -> float:
    if step < WARMUP_ITERS:
        return LEARNING_RATE * (step + 1) / (WARMUP_ITERS + 1)
    share = min((step - WARMUP_ITERS) / (MAX_ITERS - WARMUP_ITERS), 1.0)
    return MIN_LR + 0.5 * (1 + math.cos(math.pi * share)) * (LEARNING_RATE - MIN_LR)


def _import(file: Path) -> ModuleType:
    if not file.is_file():
        raise UserError(f"--nanogpt {file.parent}: no model.py here: give a checkout of karpathy/nanoGPT")
    spec = importlib.util.spec_from_file_location("nanogpt_model", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module  # its dataclass looks its own module up
    spec.loader.exec_module(module)
    return module
