"""Texts to batches: windows padded to tensors, the order of training, and prediction in batches of similar length."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import cycle, islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from bert_sentiment_analysis.data.preprocessor import Row
from bert_sentiment_analysis.models.bert_classifier import TextClassifier, Windows, batches_by_budget
from shared.devices import choose_precision


class TextDataset(Dataset):
    """The rows of one part of a set."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Row:
        return self.rows[i]


class EpochSampler(Sampler[int]):
    """The order of the texts in one pass: random, in batches of similar length where `grouped`.

    It follows from the seed and the number of the pass alone, which the training loop sets in `epoch`. (transformers'
    own "group_by_length" draws from the global generator before a resumed run has put that back, so that any pass but
    the first would go on in another order.) Every batch is whole, the last one filled up from the start, so that
    several processes, each taking its share of a batch, train on what one would.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, grouped: bool) -> None:
        self.lengths, self.batch_size, self.seed, self.grouped = list(lengths), batch_size, seed, grouped
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size) * self.batch_size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        if self.grouped:
            order = get_length_grouped_indices(self.lengths, self.batch_size, generator=generator)
        else:
            order = torch.randperm(len(self.lengths), generator=generator).tolist()
        return islice(cycle(order), len(self))


def collate(rows: Sequence[Row], pad_id: int, pad_to: int | None = None) -> dict[str, Tensor]:
    """Rows (B) to what the classifier takes: token ids and mask (W, T), the text of each window (W,), and labels.

    These are classes or ratings (B,), or shares of the classes (B, C).
    """
    windows = [window for row in rows for window in row.windows]
    text_index = [text for text, row in enumerate(rows) for _ in row.windows]
    # The labels stand first: the training loop takes the batch's size from the first tensor.
    return {
        "labels": torch.tensor([row.label for row in rows]),
        **pad(windows, pad_id, pad_to),
        "text_index": torch.tensor(text_index),
    }


def parts_by_budget(batch: dict[str, Tensor], budget: int) -> Iterator[dict[str, Tensor]]:
    """What `collate` made, in parts of whole texts with at most `budget` tokens, of one text at least."""
    lengths = batch["attention_mask"].sum(1)  # (W,)
    n_texts = len(batch["labels"])
    sizes = torch.bincount(batch["text_index"], lengths, n_texts).tolist()
    start, total = 0, 0
    for end, size in enumerate([*sizes, budget + 1]):
        if end > start and total + size > budget:
            windows = (batch["text_index"] >= start) & (batch["text_index"] < end)
            yield {
                "labels": batch["labels"][start:end],
                "input_ids": batch["input_ids"][windows],
                "attention_mask": batch["attention_mask"][windows],
                "text_index": batch["text_index"][windows] - start,
            }
            start, total = end, 0
        total += size


def pad(windows: Windows, pad_id: int, pad_to: int | None = None) -> dict[str, Tensor]:
    """Token ids and mask (W, T), T being the longest window, or at least `pad_to`."""
    width = max(*map(len, windows), pad_to or 0) if len(windows) > 1 else max(len(windows[0]), pad_to or 0)
    input_ids = torch.full((len(windows), width), pad_id)
    attention_mask = torch.zeros_like(input_ids)
    for row, window in enumerate(windows):
        input_ids[row, : len(window)] = torch.tensor(window)
        attention_mask[row, : len(window)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask}


def autocast(device: torch.device | str, precision: str) -> Callable[[], AbstractContextManager]:
    """The context that computes matrix products in this precision.

    Our own, since accelerate would fix it for the whole process, and a page or a benchmark has several models in one.
    """
    kind = torch.device(device).type
    return partial(torch.autocast, kind, torch.bfloat16, enabled=precision == "bf16")


def predict_logits(
    classifier: TextClassifier,
    texts: Sequence[str],
    *,
    precision: str | None = None,
    token_budget: int | None = None,
) -> np.ndarray:
    """Logits (N, C) of cleaned texts, in their order.

    Without a `precision` it is what is fast on the classifier's device.
    The windows of all texts are sorted by length and taken in batches of about `token_budget` tokens, so that hardly
    any padding is computed and a long text cannot fill the memory; without one, what is fast on the device.
    A classifier with a partner answers the weighted mean of both.
    """
    if precision is None:
        precision = choose_precision("auto", classifier.device.type, classifier.encoder.config.hidden_size).value
    encoded = classifier.encode(texts)
    windows = sorted(
        ((text, window) for text, windows in enumerate(encoded) for window in windows), key=lambda pair: len(pair[1])
    )
    sums = np.zeros((len(texts), classifier.settings.n_outputs))
    n_tokens = np.zeros(len(texts))
    with torch.inference_mode(), autocast(classifier.device, precision)():
        for run in batches_by_budget([len(window) for _, window in windows], token_budget or classifier.group_tokens):
            batch = windows[run]
            inputs = pad([window for _, window in batch], classifier.tokenizer.pad_token_id)
            logits = classifier.window_logits(**{name: value.to(classifier.device) for name, value in inputs.items()})
            places = [text for text, _ in batch]
            lengths = np.array([len(window) for _, window in batch])
            np.add.at(sums, places, logits.cpu().numpy() * lengths[:, None])
            np.add.at(n_tokens, places, lengths)
    logits = sums / n_tokens[:, None]
    if classifier.partner is None:
        return logits
    share = classifier.settings.partner_weight
    return (1 - share) * logits + share * predict_logits(
        classifier.partner, texts, precision=precision, token_budget=token_budget
    )
