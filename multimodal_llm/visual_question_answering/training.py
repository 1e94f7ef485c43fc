"""The training loop, and what a step is made of."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multimodal_llm.images import ImageSource, load_image
from multimodal_llm.visual_question_answering import rewordings as words
from multimodal_llm.visual_question_answering.config import VqaTrainingConfig
from multimodal_llm.visual_question_answering.data_loader import (
    EASY_VQA_ANSWERS,
    Question,
    VqaSplit,
    load_vqa,
    picture_facts,
    split_ids,
)
from multimodal_llm.visual_question_answering.vqa_model import (
    QuestionReader,
    VqaModel,
    VqaModelConfig,
    Words,
    from_pixels,
    parameter_count,
    to_pixels,
)
from shared.devices import choose_device, keep_freed_memory, seed_everything
from shared.errors import UserError
from shared.logging import get_logger, progress_bar
from shared.runs import RunFolder

log = get_logger(__name__)

GATE_TEXTS = 96  # questions a step for the gate, as many of the kind to learn as of other kinds
NOUNS_EACH = 40  # ImageNet's names that fill each sentence about something else
WARM_UP = 0.1
LOG_EVERY = 20


class Trainer:
    """Holds the data, the model and the frozen reader of one training."""

    def __init__(self, config: VqaTrainingConfig, reader: QuestionReader | None = None) -> None:
        """Raises UserError for another set's answers, and for too few pictures."""
        seed_everything(config.seed)
        keep_freed_memory()
        self.config, self.random = config, np.random.default_rng(config.seed)
        self.device = choose_device(config.device).value
        split = load_vqa(config.data, "train")
        unknown = {q.answer for q in split.questions} - set(EASY_VQA_ANSWERS)
        if unknown:
            raise UserError(
                f"--data {config.data}: has other answers than easy-VQA's ({min(unknown)}): give such a set"
            )
        order = self.random.permutation(len(split.pictures))[: config.max_pictures]
        if len(order) <= config.validation_pictures:
            raise UserError(
                f"--data {config.data}: {len(order)} pictures are too few: choose a smaller --validation_pictures"
            )
        self.validation = order[: config.validation_pictures].tolist()
        self.training = order[config.validation_pictures :].tolist()
        self.split, self.facts = split, picture_facts(split)
        self.by_picture: dict[int, list[Question]] = defaultdict(list)
        for question in split.questions:
            self.by_picture[question.picture].append(question)
        self.training = [place for place in self.training if self.by_picture[place]]
        asked = Counter(question.text for question in split.questions)
        answered = Counter((question.text, question.answer) for question in split.questions)
        self.rarity = {pair: asked[pair[0]] / n for pair, n in answered.items()}

        model = VqaModelConfig(
            answers=EASY_VQA_ANSWERS,
            width=config.width,
            image_layers=config.image_layers,
            text_layers=config.text_layers,
            word_dropout=config.word_dropout,
        )
        self.model = VqaModel(model).to(self.device)
        self.pixels = load_pixels(split.pictures, model.image_size)
        self.reader = reader or QuestionReader()
        self.known = sorted({question.text for question in split.questions})
        reworded = words.rewordings("train") if config.reworded else ()
        self.rewordings = reworded
        self.reworded = sorted({text for rewording in reworded for text in words.every_wording(rewording)})
        self.outside = outside_texts(self.random)
        texts = sorted({*self.known, *self.reworded, *self.outside})
        self.place = {text: i for i, text in enumerate(texts)}
        log.info("reading %d different questions once", len(texts))
        read = self.reader.read(texts)
        self.words = Words(read.vectors.to(self.device), read.mask.to(self.device))

    def train(self, run: RunFolder) -> None:
        """All epochs; the loss goes to the run's metrics."""
        config, model = self.config, self.model
        steps_each = math.ceil(len(self.training) / config.batch_pictures)
        total = steps_each * config.epochs
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, config.learning_rate, total_steps=total, pct_start=WARM_UP
        )
        log.info("%s parameters, %d pictures, %d steps", f"{parameter_count(model):,}", len(self.training), total)
        step, model = 0, model.train()
        with progress_bar("training", total) as update:
            for _ in range(config.epochs):
                order = self.random.permutation(self.training)
                for start in range(0, len(order), config.batch_pictures):
                    answering, knowing, right = self.losses(order[start : start + config.batch_pictures].tolist())
                    optimiser.zero_grad()
                    (answering + knowing).backward()
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimiser.step()
                    schedule.step()
                    step += 1
                    if step % LOG_EVERY == 0 or step == total:
                        numbers = {"loss": answering.item(), "gate_loss": knowing.item(), "accuracy": right}
                        run.log_metrics({"step": step, "epoch": step / steps_each, **numbers})
                        log.info("step %d of %d: loss %.3f, right %.3f", step, total, numbers["loss"], right)
                    update(done=step)

    def losses(self, pictures: Sequence[int]) -> tuple[Tensor, Tensor, float]:
        """The cross-entropy of the answers, that of the gate, and the share of right answers, for these pictures."""
        texts, answers = [], []
        for picture in pictures:
            for text, answer in self.questions_about(picture):
                texts.append(self.place[text])
                answers.append(EASY_VQA_ANSWERS.index(answer))
        pixels = from_pixels(self.pixels[pictures]).to(self.device)
        if self.random.random() < 0.5:
            pixels = pixels.flip(3)  # left and right change nothing that is asked
        target = torch.tensor(answers, device=self.device)
        logits = self.model(pixels, self.words.rows(torch.tensor(texts, device=self.device)))
        answering = F.cross_entropy(logits, target)

        half = GATE_TEXTS // 2
        some = (
            [self._draw(self.known, half)]
            if not self.reworded
            else [self._draw(self.known, half // 2), self._draw(self.reworded, half - half // 2)]
        )
        inside = [self.place[text] for group in some for text in group]
        outside = [self.place[text] for text in self._draw(self.outside, half)]
        gate = self.model.gate(self.words.rows(torch.tensor(inside + outside, device=self.device)))
        label = torch.tensor([1.0] * len(inside) + [0.0] * len(outside), device=self.device)
        knowing = F.binary_cross_entropy_with_logits(gate, label)
        return answering, knowing, (logits.argmax(1) == target).float().mean().item()

    def questions_about(self, picture: int) -> list[words.Asked]:
        """Some of the picture's own questions, and rewordings put to it where its shape and colour are known.

        Of its own the rarer answers come more often: nine of ten questions after a colour are to be denied, and who
        never looks learns that first, and for long nothing else.
        """
        n = self.config.questions_each
        facts = self.facts[picture]
        n_own = n if facts is None or not self.rewordings else n - round(n * self.config.reworded)
        own = self.by_picture[picture]
        rarity = np.array([self.rarity[question.text, question.answer] for question in own])
        chosen = self.random.choice(len(own), n_own, replace=len(own) < n_own, p=rarity / rarity.sum())
        asked = [words.Asked(own[i].text, own[i].answer) for i in chosen]
        if facts is not None and n > n_own:
            for i in self.random.integers(len(self.rewordings), size=n - n_own):
                asked.append(words.ask(self.rewordings[i], facts, bool(self.random.random() < 0.5), self.random))
        return asked

    def train_ids(self) -> list[str]:
        """What the weights have seen: the pictures' names and every question text."""
        ids = split_ids(VqaSplit([self.split.pictures[i] for i in self.training], []))
        return [*ids, *self.known, *self.reworded]

    def _draw(self, texts: Sequence[str], n: int) -> list[str]:
        return [texts[i] for i in self.random.integers(len(texts), size=n)]


def load_pixels(pictures: Sequence[ImageSource], size: int) -> np.ndarray:
    """All pictures as bytes (N, 3, S, S)."""
    pixels = np.empty((len(pictures), 3, size, size), dtype=np.uint8)
    with progress_bar("reading pictures", len(pictures)) as update:
        for place, picture in enumerate(pictures):
            pixels[place] = to_pixels(load_image(picture), size)
            update(done=place + 1)
    return pixels


def outside_texts(random: np.random.Generator) -> list[str]:
    """Training's questions beside the point, their gaps filled with ImageNet's names, shapes and colours."""
    from shared.assets import asset_path
    from shared.runs import read_json

    names = read_json(asset_path("imagenet-names") / "imagenet1k_clean_names.json")
    nouns = sorted(set(names.values() if isinstance(names, dict) else names))
    texts = []
    for kind in words.OUTSIDE:
        for template in words.outside_questions("train", kind):
            if "{noun}" in template:
                chosen = [nouns[i].lower() for i in random.integers(len(nouns), size=NOUNS_EACH)]
                texts += [template.format(noun=noun) for noun in chosen]
            else:
                texts += words.every_wording(words.Rewording(template, "shape"))
    return sorted(set(texts))
