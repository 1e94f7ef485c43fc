"""The two stages in which the captioner learns: first the next word, then whole sentences.

Words      Each word of a person's caption is predicted from the picture and the words before it (cross-entropy).
           The model never sees its own mistakes, and is not told what the caption is for.
Sentences  Self-critical training (Rennie et al. 2017, arXiv 1612.00563): the model writes several sentences about a
           photo, each is scored by CIDEr-D against the people's, and those better than the mean of the others become
           likelier, the rest less likely (the baseline of Luo 2020, arXiv 2003.09971). Some cross-entropy stays in
           the loss, so that the sentences stay fluent.

Both keep a running average of the weights, which captions better than the last step's (arXiv 1803.05407).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from multimodal_llm.image_captioning.caption_evaluation import caption_scores, words
from multimodal_llm.image_captioning.caption_model import CaptionModel
from multimodal_llm.image_captioning.decoding import beam_search, sample
from multimodal_llm.image_captioning.flickr import CaptionedPhoto
from multimodal_llm.image_captioning.reward import CiderReward
from multimodal_llm.image_captioning.vocabulary import END, PADDING, Vocabulary
from shared.config import check

CAPTIONS = 5  # of each photo; where people wrote fewer, theirs are repeated


@dataclass(frozen=True, kw_only=True)
class WordStage:
    """How the next word is learnt."""

    epochs: int = 20
    lr: float = 1e-3
    photos_a_step: int = 64
    smoothing: float = 0.1
    weight_decay: float = 0.05
    average: float = 0.99
    """Share of the running average of the weights that stays at each step."""

    def __post_init__(self) -> None:
        check(0 <= self.average < 1, "average", self.average, "give a share from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class SentenceStage:
    """How whole sentences are learnt."""

    epochs: int = 20
    lr: float = 1e-4
    photos_a_step: int = 64
    samples: int = 5
    """Sentences written about each photo at each step."""
    word_weight: float = 0.1
    """Share of the cross-entropy in the loss."""
    smoothing: float = 0.1
    weight_decay: float = 0.05
    average: float = 0.99


@dataclass
class CaptionData:
    """Photos as grids, and captions as numbers."""

    grids: Tensor
    """(views, photos, cells, 1280), fp16"""
    probabilities: Tensor | None
    """(views, photos, 1000), of the ImageNet classes, where the model looks at them."""
    words: Tensor
    """(photos, CAPTIONS, words), from START to END, padded."""
    references: np.ndarray
    """The same without START, and with a number for every word."""

    def __len__(self) -> int:
        return len(self.words)

    def draw(self, photos: Tensor) -> tuple[Tensor, Tensor | None]:
        """A random view of each of these photos: grids (B, cells, 1280) and class probabilities."""
        views = torch.randint(len(self.grids), photos.shape, device=photos.device)
        probabilities = None if self.probabilities is None else self.probabilities[views, photos].float()
        return self.grids[views, photos].float(), probabilities


def encode_captions(
    photos: Sequence[CaptionedPhoto], vocabulary: Vocabulary, longest: int
) -> tuple[Tensor, np.ndarray]:
    """`words` and `references` of CaptionData. A caption of more than `longest` words with its end is cut for the
    first, whole in the second."""
    numbers = dict(vocabulary.numbers)
    captions = [(photo.captions * CAPTIONS)[:CAPTIONS] for photo in photos]
    texts = [[words(caption) for caption in group] for group in captions]
    width = max(len(text) for group in texts for text in group) + 1
    learnt = torch.full((len(photos), CAPTIONS, longest + 1), PADDING)
    references = np.full((len(photos), CAPTIONS, width), PADDING)
    for i, group in enumerate(texts):
        for j, text in enumerate(group):
            all_numbers = [numbers.setdefault(word, len(numbers)) for word in text] + [END]
            references[i, j, : len(all_numbers)] = all_numbers
            kept = vocabulary.encode(captions[i][j])[: longest + 1]
            learnt[i, j, : len(kept)] = torch.tensor(kept)
    return learnt, references


Report = Callable[[str, int, float, CaptionModel], None]


def learn_words(
    model: CaptionModel, data: CaptionData, stage: WordStage, report: Report, stop_at: float = float("inf")
) -> CaptionModel:
    """Train by cross-entropy and give the averaged model. After each epoch `report(stage, epoch, loss, averaged)`.

    `stop_at` is a moment of time.monotonic() after which no further epoch starts.
    """
    step = _Step(model, stage, len(data))
    for epoch in range(1, stage.epochs + 1):
        losses = []
        for photos in _batches(len(data), stage.photos_a_step, data.words.device):
            with step.precision():
                picture = model.look(*data.draw(photos)).repeat(CAPTIONS)
                loss = _word_loss(model, picture, data.words[photos], stage.smoothing)
            step.take(loss)
            losses.append(loss.detach())
        report("words", epoch, float(torch.stack(losses).mean()), step.averaged)
        if time.monotonic() > stop_at:
            break
    return step.averaged


def learn_sentences(
    model: CaptionModel,
    data: CaptionData,
    reward: CiderReward,
    stage: SentenceStage,
    report: Report,
    stop_at: float = float("inf"),
) -> CaptionModel:
    """Train by the reward of its own sentences and give the averaged model; otherwise as `learn_words`.

    What is reported as loss is the mean reward of a sampled sentence.
    """
    step = _Step(model, stage, len(data))
    for epoch in range(1, stage.epochs + 1):
        rewards = []
        for photos in _batches(len(data), stage.photos_a_step, data.words.device):
            seen = data.draw(photos)
            # Apart from the rest: autocast would keep the weights that it converts here, and their gradient be lost.
            with torch.no_grad(), step.precision():
                said = sample(model.eval(), model.look(*seen).repeat(stage.samples), len(photos) * stage.samples)
                earned = reward(photos.repeat_interleave(stage.samples), said).view(-1, stage.samples)
                others = (earned.sum(1, keepdim=True) - earned) / (stage.samples - 1)
                advantage = (earned - others).flatten()
            model.train()
            with step.precision():
                picture = model.look(*seen)
                loss = (1 - stage.word_weight) * _reward_loss(model, picture.repeat(stage.samples), said, advantage)
                if stage.word_weight:
                    loss = loss + stage.word_weight * _word_loss(
                        model, picture.repeat(CAPTIONS), data.words[photos], stage.smoothing
                    )
            step.take(loss)
            rewards.append(earned.mean())
        report("sentences", epoch, float(torch.stack(rewards).mean()), step.averaged)
        if time.monotonic() > stop_at:
            break
    return step.averaged


def _word_loss(model: CaptionModel, picture, captions: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of the words of captions (B, CAPTIONS, L)."""
    captions = captions.flatten(0, 1)
    logits, _ = model(captions[:, :-1], picture)
    return F.cross_entropy(
        logits.flatten(0, 1).float(), captions[:, 1:].flatten(), ignore_index=PADDING, label_smoothing=smoothing
    )


def _reward_loss(model: CaptionModel, picture, said: Tensor, advantage: Tensor) -> Tensor:
    """Minus the log-probability of each sentence (B, L), weighed by how much better (B,) than the others it is."""
    logits, _ = model(F.pad(said[:, :-1], (1, 0), value=1), picture)  # START is 1
    logs = -F.cross_entropy(logits.flatten(0, 1).float(), said.flatten(), reduction="none").view_as(said)
    there = said != PADDING
    return -(advantage[:, None] * logs * there).sum() / there.sum()


class _Step:
    """Optimizer, learning rate, precision and averaged weights of a stage."""

    def __init__(self, model: CaptionModel, stage: WordStage | SentenceStage, n_photos: int) -> None:
        self.model, self.device = model.train(), model.word_places.device.type
        steps = stage.epochs * -(-n_photos // stage.photos_a_step)
        matrices = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": stage.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=stage.lr, betas=(0.9, 0.98), fused=self.device == "cuda")
        warm = max(steps // 20, 1)

        def share(step: int) -> float:
            """Of the learning rate: up in a twentieth of the steps, then down in half a cosine to a hundredth."""
            if step < warm:
                return (step + 1) / warm
            return 0.01 + 0.99 * (1 + np.cos(np.pi * min((step - warm) / max(steps - warm, 1), 1))) / 2

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, share)
        self._average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(stage.average))
        self._average.eval()

    @property
    def averaged(self) -> CaptionModel:
        return self._average.module

    def precision(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")

    def take(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self._average.update_parameters(self.model)


def _batches(n: int, size: int, device: torch.device) -> Sequence[Tensor]:
    return torch.randperm(n, device=device).split(size)


def describe(
    model: CaptionModel,
    grids: Tensor,
    probabilities: Tensor | None,
    vocabulary: Vocabulary,
    beams: int = 3,
    batch: int = 128,
    **how: float,
) -> list[str]:
    """A sentence for each of the grids (N, cells, 1280)."""
    model.eval()
    said = []
    for start in range(0, len(grids), batch):
        part = grids[start : start + batch].float()
        chances = None if probabilities is None else probabilities[start : start + batch].float()
        with torch.no_grad():
            picture = model.look(part, chances)
        said += [vocabulary.decode(s.words) for s in beam_search(model, picture, len(part), beams, **how)]
    return said


def held_out_scores(model: CaptionModel, held: "HeldOut", vocabulary: Vocabulary, beams: int = 1) -> dict[str, float]:
    """The benchmark's scores on photos that are not trained on."""
    said = describe(model, held.grids, held.probabilities, vocabulary, beams)
    return caption_scores(said, [photo.captions for photo in held.photos])


@dataclass
class HeldOut:
    """Photos to choose settings by."""

    photos: Sequence[CaptionedPhoto]
    grids: Tensor
    """(photos, cells, 1280) of the plain view."""
    probabilities: Tensor | None
