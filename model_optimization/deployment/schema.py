"""What is asked of a classifier over HTTP, and what it answers: the same for FastAPI and for Ray Serve.

{"texts": ["a film to love", "..."]}  ->  {"version": "1", "answers": [{"label": "positive", "probability": 0.99}, ...]}
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from model_optimization.runtime import VariantSettings

MAX_TEXTS, MAX_CHARACTERS, MAX_BODY_BYTES = 64, 10_000, 262_144

Text = Annotated[str, StringConstraints(max_length=MAX_CHARACTERS)]


class ClassifyRequest(BaseModel):
    """Texts to classify, each whole, by the serving model or by a version that is in memory."""

    model_config = ConfigDict(extra="forbid")

    texts: Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
    version: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None


class Answer(BaseModel):
    """The likeliest label and its calibrated probability; neither for a text that shows nothing, as a blank one."""

    label: str | None
    probability: float | None


class ClassifyResponse(BaseModel):
    """An answer a text, in order, and the version of the model that gave them."""

    version: str
    answers: list[Answer]


def to_answers(settings: VariantSettings, texts: Sequence[str], logits: np.ndarray) -> list[Answer]:
    """Answers to cleaned texts of their logits (N, C), divided by the temperature that makes them honest."""
    scaled = logits.astype(np.float64) / settings.temperature
    likelihoods = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities = likelihoods / likelihoods.sum(axis=1, keepdims=True)  # (N, C)
    best = probabilities.argmax(axis=1)
    return [
        Answer(label=settings.label_names[label], probability=float(row[label])) if text else _NONE
        for text, row, label in zip(texts, probabilities, best, strict=True)
    ]


_NONE = Answer(label=None, probability=None)
