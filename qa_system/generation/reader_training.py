"""How the reader learns: batches, the loss, one stage of training, and the questions of each epoch.

First it practises on questions made from plain text (`cloze`), all weights free. Then come the real questions. What was
learned is then brought into the low-rank form that ships: the differences of the matrices are cut to their largest
singular values, and the adapter is trained on, with the whole network as its teacher (arXiv 1503.02531).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from qa_system.generation.cloze import cloze_examples, hard_negatives
from qa_system.generation.reader import SpanNetwork
from qa_system.generation.reader_windows import Example, Span, Windows, token_spans

MOST_ANSWERS = 6


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """One stage of training."""

    learning_rate: float = 2e-4
    epochs: float = 4
    batch_size: int = 32
    warmup: float = 0.1
    """The share of the steps in which the learning rate rises."""
    weight_decay: float = 0.01
    verifier_weight: float = 0.5
    smoothing: float = 0.05
    """Of the verifier's targets."""
    layer_decay: float = 1.0
    """By which the learning rate falls from each layer to the one below."""
    teacher_share: float = 0.5
    """Of the loss, where there is a teacher."""
    negatives: float = 0.0
    """The share of the answerable questions that an unanswerable one is made of, anew in each epoch."""
    cloze: float = 0.0
    """Questions made from the training passages for each real one, anew in each epoch."""
    dropout: float = 0.1


class Batches:
    """Windows as tensors on the device, cut to the longest of each batch."""

    def __init__(self, cutter: Windows, examples: Sequence[Example], device: torch.device) -> None:
        windows = cutter.cut(examples)
        n, longest = len(windows), max(len(window.ids) for window in windows)
        ids = np.full((n, longest), cutter.pad, dtype=np.int32)
        types = np.zeros((n, longest), dtype=np.int8)
        places = np.zeros((n, MOST_ANSWERS, 2), dtype=np.int16)
        weights = np.zeros((n, MOST_ANSWERS), dtype=np.float32)
        self.lengths = np.array([len(window.ids) for window in windows])
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)], types[row, : len(window.ids)] = window.ids, window.types
            answers = examples[window.example].answers
            spans = token_spans(window, answers)[:MOST_ANSWERS] if answers else []
            for column, span in enumerate(spans):
                places[row, column], weights[row, column] = span, 1 / len(spans)
            if not spans:
                weights[row, 0] = 1  # of [CLS], which stands at 0
        self.ids, self.types, self.places, self.weights = (
            torch.from_numpy(array).to(device) for array in (ids, types, places, weights)
        )
        self._lengths = torch.from_numpy(self.lengths).to(device)

    def __len__(self) -> int:
        return len(self.lengths)

    def order(self, size: int, random: Random) -> list[np.ndarray]:
        """Rows of each batch: at random, but of like length."""
        rows = np.array(random.sample(range(len(self)), len(self)))
        batches = []
        for start in range(0, len(rows), 32 * size):
            near = rows[start : start + 32 * size]
            near = near[np.argsort(self.lengths[near], kind="stable")]
            batches += [near[place : place + size] for place in range(0, len(near), size)]
        random.shuffle(batches)
        return batches

    def __getitem__(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Ids, types, mask (B, T), the answers' places (B, A, 2) and how much each counts (B, A)."""
        longest = -(-int(self.lengths[rows].max()) // 16) * 16
        chosen = torch.from_numpy(rows).to(self.ids.device)
        ids, types = self.ids[chosen, :longest].long(), self.types[chosen, :longest].long()
        mask = (torch.arange(ids.shape[1], device=ids.device)[None] < self._lengths[chosen, None]).long()
        return ids, types, mask, self.places[chosen].long(), self.weights[chosen]


def reading_loss(
    outputs: tuple[Tensor, Tensor, Tensor],
    places: Tensor,
    weights: Tensor,
    settings: StageSettings,
    teacher: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """Cross-entropy of beginning and end with the marked places, and of the verifier; mixed with the teacher's.

    `outputs` are logits of beginning and end (B, T), and the verifier's (B,); places (B, A, 2) count weights (B, A).
    """
    answerable = (places[:, 0, 0] > 0).float()  # (B,)
    losses = []
    for logits, column in ((outputs[0], 0), (outputs[1], 1)):
        logp = logits.log_softmax(-1)  # (B, T)
        losses.append(-(logp.gather(1, places[..., column]) * weights).sum(1).mean())
    smoothed = answerable * (1 - settings.smoothing) + (1 - answerable) * settings.smoothing
    verifier = functional.binary_cross_entropy_with_logits(outputs[2], smoothed)
    loss = (losses[0] + losses[1]) / 2 + settings.verifier_weight * verifier
    if teacher is None:
        return loss
    taught = sum(-(teacher[i].softmax(-1) * outputs[i].log_softmax(-1)).sum(-1).mean() for i in (0, 1)) / 2
    taught = taught + settings.verifier_weight * functional.binary_cross_entropy_with_logits(
        outputs[2], teacher[2].sigmoid()
    )
    return (1 - settings.teacher_share) * loss + settings.teacher_share * taught


def train_stage(
    network: SpanNetwork,
    cutter: Windows,
    examples: Callable[[int], Sequence[Example]],
    settings: StageSettings,
    seed: int,
    *,
    teachers: Sequence[SpanNetwork] = (),
    bf16: bool = False,
    on_progress: Callable[[float, float], None] = lambda done, loss: None,
) -> None:
    """Train the weights that are free. `examples(epoch)` gives those of each pass."""
    torch.manual_seed(seed)
    random = Random(seed)
    device = next(network.parameters()).device
    for part in network.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = settings.dropout
    network.train()
    groups = _groups(network, settings)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    batches = Batches(cutter, examples(0), device)
    n_steps = max(int(settings.epochs * -(-len(batches) // settings.batch_size)), 1)
    n_warmup = max(int(settings.warmup * n_steps), 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / n_warmup, max((n_steps - step) / max(n_steps - n_warmup, 1), 0.0))
    )
    weights = [weight for group in groups for weight in group["params"]]
    step, epoch = 0, 0
    while step < n_steps:
        if epoch:
            batches = Batches(cutter, examples(epoch), device)
        for rows in batches.order(settings.batch_size, random):
            if step >= n_steps:
                break
            ids, types, mask, places, counts = batches[rows]
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                teacher = None
                if teachers:
                    with torch.no_grad():
                        said = [each(ids, types, mask) for each in teachers]
                    teacher = tuple(torch.stack(parts).mean(0) for parts in zip(*said, strict=True))
                loss = reading_loss(network(ids, types, mask), places, counts, settings, teacher)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            if step % 20 == 0:
                on_progress(step / n_steps, loss.item())
        epoch += 1
    network.eval()


def _groups(network: SpanNetwork, settings: StageSettings) -> list[dict[str, Any]]:
    n_layers = len(network.encoder.encoder.layer)
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, weight in network.named_parameters():
        if not weight.requires_grad:
            continue
        depth = n_layers + 1  # the heads
        if name.startswith("encoder.encoder.layer."):
            depth = int(name.split(".")[3]) + 1
        elif name.startswith("encoder."):
            depth = 0
        rate = settings.learning_rate * settings.layer_decay ** (n_layers + 1 - depth)
        decay = settings.weight_decay if weight.dim() > 1 else 0.0
        groups.setdefault((rate, decay), []).append(weight)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]


def questions_of_epoch(
    examples: Sequence[Example], settings: StageSettings, seed: int
) -> Callable[[int], list[Example]]:
    """The real questions, and those made of them and of their passages, other ones in each epoch."""
    documents: dict[str, dict[str, None]] = {}
    for example in examples:
        documents.setdefault(example.article, {})[example.passage] = None

    def of_epoch(epoch: int) -> list[Example]:
        random = Random(1000 * seed + epoch)
        chosen = list(examples)
        if settings.negatives:
            chosen += hard_negatives(examples, random, settings.negatives)
        if settings.cloze:
            n_passages = sum(map(len, documents.values()))
            each = max(1, round(settings.cloze * len(examples) / n_passages))
            chosen += cloze_examples([list(passages) for passages in documents.values()], random, each)
        return chosen

    return of_epoch


def scores(examples: Sequence[Example], spans: Sequence[Span]) -> dict[str, float | None]:
    """EM and F1 on answerable questions, an answer always given, and how well its signs tell whether there is one.

    None for what these questions cannot tell.
    """
    from qa_system.evaluation.answer_quality import auroc, exact_match, token_f1

    exact, overlap = [], []
    for example, span in zip(examples, spans, strict=True):
        if example.answers:
            said = example.passage[span.start : span.end]
            gold = [example.passage[slice(*place)] for place in example.answers]
            exact.append(exact_match(said, gold))
            overlap.append(token_f1(said, gold))
    there = [bool(example.answers) for example in examples]
    signs = {
        "auroc_span": [span.score for span in spans],
        "auroc_verifier": [span.answerable for span in spans],
        "auroc": [span.score / 2 + span.answerable for span in spans],
    }
    rocs = {name: auroc(sign, there) for name, sign in signs.items()}
    means = {name: float(np.mean(of)) if of else None for name, of in (("exact_match", exact), ("f1", overlap))}
    return {**means, **rocs, "n": len(examples)}
