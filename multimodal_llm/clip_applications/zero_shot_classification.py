"""Which of these labels fits the photo? Any labels, none of them learnt.

conse         EfficientNet-Lite2 and MiniLM (conse.py): packaged, English
conse-e5      the same with multilingual E5: Chinese and 100 languages
NAME or PATH  CLIP or SigLIP from the hub or a folder

    classifier = load_classifier("auto", labels=["cat", "dog"])
    [answer] = classifier.classify([load_image("photo.jpg")], ["cat", "dog"])
    answer.best, answer.scores[0].probability, answer.scores[0].because, answer.fits

Labels that one makes up need not hold the right one. So beside the probabilities, which are of one label among the
others and add up to 1 whatever the photo shows, there is a verdict whether the best one fits at all. A label is only
ever its vector: nothing asks whether it is the name of a class.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from multimodal_llm.clip_applications.clip_model import TEMPLATES, ClipModel
from multimodal_llm.clip_applications.conse import ConseSpace, Meanings, class_weights, unit
from multimodal_llm.clip_applications.query import is_latin
from shared.errors import UserError
from shared.logging import get_logger

log = get_logger(__name__)

TEMPERATURE = 0.04
"""By which ConSE's cosines are divided for probabilities."""
LEAST_COSINE = 0.25
"""From which ConSE's best label fits. It and the temperature were chosen on nips17; see the README for the
share of wrong label lists that it accepts all the same."""
REASONS = 3
MOST_LABELS = 100_000


@dataclass(frozen=True)
class Score:
    """How well a label fits."""

    label: str
    cosine: float
    probability: float | None
    """That it is this one of the labels; with SigLIP that it fits, whatever the others. None of a label alone."""
    because: tuple[tuple[str, float], ...] = ()
    """The classes that gave most to the cosine, and how much; CLIP cannot tell."""


@dataclass(frozen=True)
class Classification:
    """What a photo shows, among some labels."""

    scores: tuple[Score, ...]
    """The best first."""
    fits: bool | None
    """Whether the best label fits at all; None where that is not known of the model."""

    @property
    def best(self) -> str | None:
        """The best label, None where none fits."""
        return None if self.fits is False else self.scores[0].label


class Classifier(Protocol):
    """What `load_classifier` gives."""

    def classify(self, images: Sequence[Image.Image], labels: Sequence[str], top: int = 5) -> list[Classification]:
        """Of each RGB picture the best `top` labels. Raises UserError for labels that are none, see `clean_labels`."""


def load_classifier(name: str = "auto", device: str = "auto", labels: Sequence[str] = ()) -> Classifier:
    """The classifier of this name; `auto` is `conse`, or `conse-e5` where a label is not written in Latin letters.

    Raises UserError for a name or folder that is none.
    """
    from multimodal_llm.clip_applications.onnx_encoder import load_fast_encoder
    from multimodal_llm.clip_applications.spaces import READERS

    foreign = [label for label in labels if not is_latin(label)]
    if name == "auto":
        name = "conse-e5" if foreign else "conse"
    if name == "conse" and foreign:
        log.warning("%s: the encoder of conse reads English only: use conse-e5", foreign[0])
    if name in READERS:
        return ConseClassifier(ConseSpace(load_fast_encoder(device), Meanings.load(READERS[name])), READERS[name])
    return ClipClassifier(ClipModel.load(name, device))


class ConseClassifier:
    """Labels by their nearness to the photo's place among the meanings of words."""

    # Not of E5: on nips17's names .25 would do as well, but a label in Chinese lies further from the English names that
    # it is compared with (花 at .17 for a flower), and there is no set of photos with labels in Chinese to choose on.
    thresholds = {"minilm": LEAST_COSINE}

    def __init__(self, space: ConseSpace, reader: str = "minilm") -> None:
        self.space, self.least = space, self.thresholds.get(reader)

    def classify(self, images: Sequence[Image.Image], labels: Sequence[str], top: int = 5) -> list[Classification]:
        labels = clean_labels(labels)
        return self.among(self.space.logits(images), labels, self.space.meanings.encode(labels), top)

    def among(
        self, logits: np.ndarray, labels: Sequence[str], vectors: np.ndarray, top: int = 5
    ) -> list[Classification]:
        """The same from logits (N, C) and the labels' vectors (L, D)."""
        names = self.space.meanings.name_vectors
        weights = class_weights(names, logits)  # (N, C)
        lengths = np.linalg.norm(weights @ names, axis=1, keepdims=True)
        cosines = unit(weights @ names) @ vectors.T  # (N, L)
        found = []
        for number, row in enumerate(cosines):
            chances = softmax(row / TEMPERATURE) if len(labels) > 1 else None
            scores = []
            for place in np.argsort(-row, kind="stable")[:top]:
                given = weights[number] / lengths[number] * (names @ vectors[place])  # (C,), its sum is the cosine
                reasons = [(self.space.meanings.names[c], float(given[c])) for c in np.argsort(-given)[:REASONS]]
                chance = None if chances is None else float(chances[place])
                scores.append(Score(labels[place], float(row[place]), chance, tuple(reasons)))
            found.append(Classification(tuple(scores), None if self.least is None else scores[0].cosine >= self.least))
        return found


class ClipClassifier:
    """Labels by CLIP or SigLIP."""

    def __init__(self, clip: ClipModel) -> None:
        self.clip = clip

    def classify(self, images: Sequence[Image.Image], labels: Sequence[str], top: int = 5) -> list[Classification]:
        labels = clean_labels(labels)
        templates = TEMPLATES[self.clip.kind]
        texts = [template.format(label) for template in templates for label in labels]
        vectors = unit(self.clip.encode_texts(texts).reshape(len(templates), len(labels), -1).mean(0))
        cosines = self.clip.encode_images(images) @ vectors.T  # (N, L)
        found = []
        for row in cosines:
            logits = row * self.clip.scale + self.clip.bias
            fit: bool | None = None
            if self.clip.kind == "siglip":
                chances: np.ndarray | None = 1 / (1 + np.exp(-logits))
                fit = bool(logits.max() >= 0)
            else:
                chances = softmax(logits) if len(labels) > 1 else None
            order = np.argsort(-row, kind="stable")[:top]
            scores = (Score(labels[i], float(row[i]), None if chances is None else float(chances[i])) for i in order)
            found.append(Classification(tuple(scores), fit))
        return found


def clean_labels(labels: Sequence[str]) -> list[str]:
    """The labels without spaces around them, each once, in their order. Raises UserError where none is left."""
    cleaned = list(dict.fromkeys(" ".join(label.split()) for label in labels if label.strip()))
    if not cleaned:
        raise UserError("no labels: give some words to choose from, such as: cat dog")
    if len(cleaned) > MOST_LABELS:
        raise UserError(f"{len(cleaned):,} labels: the limit is {MOST_LABELS:,}: give fewer")
    if nameless := [label for label in cleaned if not re.search(r"\w", label)]:
        raise UserError(f"{nameless[0]!r}: a label without a letter or number: give words")
    return cleaned


def softmax(row: np.ndarray) -> np.ndarray:
    """Probabilities (L,) from logits (L,)."""
    powers = np.exp(row - row.max())
    return powers / powers.sum()
