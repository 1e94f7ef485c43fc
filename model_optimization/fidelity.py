"""How often a classifier is right, in torch: for choosing among versions of it, on texts that are not reported."""

from collections.abc import Sequence

import numpy as np
import torch

from model_optimization.subject import Subject
from model_optimization.training import first_windows, pad
from shared.datasets import Example

BATCH = 32


@torch.inference_mode()
def answers(subject: Subject, examples: Sequence[Example]) -> np.ndarray:
    """The class of each text (N,), by its first window."""
    windows = first_windows(subject, examples)
    order = sorted(range(len(windows)), key=lambda place: len(windows[place]))
    found = np.zeros(len(windows), dtype=int)
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        batch = pad(windows, places)
        found[places] = subject.model(batch.input_ids, batch.attention_mask).argmax(-1).numpy()
    return found


def validation_accuracy(subject: Subject, examples: Sequence[Example]) -> float:
    return float((answers(subject, examples) == np.array([example.label for example in examples])).mean())
