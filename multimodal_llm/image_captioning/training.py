"""The two stages in which the captioner learns: first the next word, then whole sentences.

Words      Each word of a person's caption is predicted from the picture and the words before it (cross-entropy).
           The model never sees its own mistakes, and is not told what the caption is for.
Sentences  Self-critical training (Rennie et al. 2017, arXiv 1612.00563): the model writes several sentences about a
           photo, each is scored by CIDEr-D against the people's, and those better than the mean of the others become
           likelier, the rest less likely (the baseline of Luo 2020, arXiv 2003.09971). Some cross-entropy stays in
           the loss, so that the sentences stay fluent.

Both keep a running average of the weights, which captions better than the last step's (arXiv 1803.05407).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multimodal_llm.image_captioning.caption_evaluation import caption_scores, words
from multimodal_llm.image_captioning.caption_model import CaptionModel, Picture
from multimodal_llm.image_captioning.checkpoint import Checkpoint, Step
from multimodal_llm.image_captioning.decoding import beam_search, sample
from multimodal_llm.image_captioning.flickr import CaptionedPhoto
from multimodal_llm.image_captioning.reward import CiderReward
from multimodal_llm.image_captioning.vocabulary import END, PADDING, START, Vocabulary
from shared.config import check

CAPTIONS = 5  # of each photo; where people wrote fewer, theirs are repeated
PARTS = 4  # in which the sentences of a step go through the decoder: together, half of what it reads would be padding


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What both stages are told."""

    epochs: int
    lr: float
    """The highest learning rate, after a twentieth of the steps; it ends at a hundredth of this."""
    photos_a_step: int = 256
    """Photos in a step, each with all its captions."""
    smoothing: float = 0.1
    """Share of the probability that the target gives to all other words."""
    weight_decay: float = 0.05
    average: float = 0.98
    """Share of the running average of the weights that stays at each step."""

    def __post_init__(self) -> None:
        check(0 <= self.average < 1, "average", self.average, "give a share from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class WordStage(Stage):
    """How the next word is learnt."""

    epochs: int = 20
    lr: float = 1.5e-3


@dataclass(frozen=True, kw_only=True)
class SentenceStage(Stage):
    """How whole sentences are learnt."""

    epochs: int = 8
    lr: float = 3e-4
    samples: int = 5
    """Sentences written about each photo at each step."""
    word_weight: float = 0.3
    """Share of the cross-entropy in the loss."""
    weight_decay: float = 0.01
    average: float = 0.95


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
    """`words` (photos, captions, longest + 1) and `references` (photos, captions, T) of CaptionData.

    A caption of more than `longest` words with its end is cut for the first, whole in the second.
    """
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


class Unfinished(Exception):
    """The time was up; the same call goes on from the checkpoint."""


def learn_words(
    model: CaptionModel, data: CaptionData, stage: WordStage, report: Report, kept: Checkpoint | None = None
) -> CaptionModel:
    """Train by cross-entropy and give the averaged model. After each epoch `report(stage, epoch, loss, averaged)`.

    With `kept` each epoch ends with a checkpoint, from which the same call goes on. Raises Unfinished at its end.
    """

    def loss_of(photos: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        with step.precision():
            loss = _word_loss(model, model.look(*data.draw(photos)), data.words[photos], stage.smoothing)
        return loss, loss.detach()

    return _learn("words", model, data, stage, report, kept, loss_of)


def learn_sentences(
    model: CaptionModel,
    data: CaptionData,
    reward: CiderReward,
    stage: SentenceStage,
    report: Report,
    kept: Checkpoint | None = None,
) -> CaptionModel:
    """Train by the reward of its own sentences and give the averaged model; otherwise as `learn_words`.

    What is reported in place of the loss is the mean reward of a sampled sentence.
    """

    def loss_of(photos: Tensor, step: Step) -> tuple[Tensor, Tensor]:
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
            loss = (1 - stage.word_weight) * _reward_loss(model, picture, said, advantage)
            if stage.word_weight:
                by_word = _word_loss(model, picture, data.words[photos], stage.smoothing)
                loss = loss + stage.word_weight * by_word
        return loss, earned.mean()

    return _learn("sentences", model, data, stage, report, kept, loss_of)


def _learn(
    name: str,
    model: CaptionModel,
    data: CaptionData,
    stage: Stage,
    report: Report,
    kept: Checkpoint | None,
    loss_of: Callable[[Tensor, Step], tuple[Tensor, Tensor]],
) -> CaptionModel:
    """The epochs of a stage. `loss_of` gives the loss of some photos, and the number that the epoch reports."""
    step = Step(model, stage, len(data))
    done = kept.load(step) if kept else 0
    for epoch in range(done + 1, stage.epochs + 1):
        told = []
        for photos in torch.randperm(len(data), device=data.words.device).split(stage.photos_a_step):
            loss, number = loss_of(photos, step)
            step.take(loss)
            told.append(number)
        report(name, epoch, float(torch.stack(told).mean()), step.averaged)
        if kept:
            kept.save(step, epoch)
        if kept and kept.is_late() and epoch < stage.epochs:
            raise Unfinished
    return step.averaged


def _word_loss(model: CaptionModel, picture: Picture, captions: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of the words of captions (B, CAPTIONS, L) of the B photos of `picture`."""
    captions = captions.flatten(0, 1)
    total = torch.zeros((), device=captions.device)
    for rows, some in _by_length(captions):
        logits, _ = model(some[:, :-1], picture.pick(rows // CAPTIONS))
        total = total + F.cross_entropy(
            logits.flatten(0, 1).float(),
            some[:, 1:].flatten(),
            ignore_index=PADDING,
            label_smoothing=smoothing,
            reduction="sum",
        )
    return total / (captions[:, 1:] != PADDING).sum()


def _reward_loss(model: CaptionModel, picture: Picture, said: Tensor, advantage: Tensor) -> Tensor:
    """Minus the log-probability of sentences (B * samples, L) about the B photos of `picture`, each weighed by how much
    better (B * samples,) than the others of its photo it is."""
    samples = len(said) // len(picture)
    total = torch.zeros((), device=said.device)
    for rows, some in _by_length(said):
        logits, _ = model(F.pad(some[:, :-1], (1, 0), value=START), picture.pick(rows // samples))
        costs = F.cross_entropy(
            logits.flatten(0, 1).float(), some.flatten(), ignore_index=PADDING, reduction="none"
        )  # (rows * L,), 0 for padding
        total = total + (advantage[rows, None] * costs.view_as(some)).sum()
    return total / (said != PADDING).sum()


def _by_length(sentences: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Sentences (N, L) in PARTS of similar length: their rows (n,), and themselves (n, l), no longer than needed."""
    lengths = (sentences != PADDING).sum(1)
    for rows in lengths.argsort().chunk(PARTS):
        yield rows, sentences[rows, : int(lengths[rows].max())]


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
        said += [vocabulary.decode(s.words) for s in beam_search(model, [picture], len(part), beams, **how)]
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
