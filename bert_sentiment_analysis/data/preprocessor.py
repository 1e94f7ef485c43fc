"""Examples as the model reads them: cleaned, cut into windows of tokens, each text with what is to be learned of it."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bert_sentiment_analysis.config import Targets
from shared.cleaning import clean
from shared.datasets import Example

if TYPE_CHECKING:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier


@dataclass(frozen=True)
class Row:
    """A text as the model reads it, with its class, its rating, or the share of each class."""

    windows: list[list[int]]
    label: float | int | tuple[float, ...]

    @property
    def n_tokens(self) -> int:
        return sum(map(len, self.windows))


def make_rows(classifier: "TextClassifier", examples: list[Example], targets: Targets = "labels") -> list[Row]:
    """Examples as the model reads them."""
    windows = classifier.encode([clean(example.text) for example in examples])
    rating = classifier.settings.head == "rating"
    n_classes = classifier.settings.n_outputs
    rows = []
    for text, e in zip(windows, examples, strict=True):
        label = e.rating if rating else e.label if targets == "labels" else class_shares(e, n_classes)
        assert label is not None  # load_splits and load_rated give none without
        rows.append(Row(text, label))
    return rows


def class_shares(example: Example, n_classes: int) -> tuple[float, ...]:
    """The share of people who would put the text into each class: by its rating, else all by its label.

    Of a text with a mean rating of m, a share of 1 / (1 + exp(-1.8 m)) of its raters took the positive side: so it is
    to within .04 in the single ratings that the packaged sets come with.
    """
    if example.rating is None:
        return tuple(float(i == example.label) for i in range(n_classes))
    positive = 1 / (1 + math.exp(-1.8 * example.rating))
    return (1 - positive, positive)
