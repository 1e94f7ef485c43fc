"""The sentiment of texts, one or a stream of any length: label, calibrated probability, or no answer where unsure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bert_sentiment_analysis.data.rows import check_texts
from bert_sentiment_analysis.evaluation.calibration import apply_temperature
from bert_sentiment_analysis.models.batches import predict_logits
from bert_sentiment_analysis.models.bert_classifier import TextClassifier
from shared.cleaning import clean
from shared.devices import choose_device, choose_precision
from shared.errors import UserError

# Texts that are read before any is answered: enough to sort by length, few enough to hold.
CHUNK_TEXTS, CHUNK_CHARACTERS = 512, 1_000_000


@dataclass(frozen=True)
class Prediction:
    """What is thought of one text. `row` counts from 1.

    Of a skipped row only `error` is set, which says why. `label` is None where the model is too unsure to answer
    (`abstained`); the probabilities are there nevertheless. A model of ratings gives `rating`, and no probabilities.
    """

    row: int
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    abstained: bool = False
    rating: float | None = None
    error: str | None = None


class Predictor:
    """Predicts with a saved classifier.

    >>> predictor = Predictor.load("runs/bert_sentiment_analysis/...")  # doctest: +SKIP
    >>> predictor.predict(["a film to love"])[0].label  # doctest: +SKIP
    'positive'
    """

    def __init__(
        self,
        classifier: TextClassifier,
        *,
        abstain_below: float | None = None,
        device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        token_budget: int | None = None,
    ) -> None:
        """`abstain_below` replaces the confidence that the run was calibrated to; 0 answers everything.

        `token_budget` bounds a batch, padding included, and so the memory; by default it is what is fast.
        Raises UserError for values out of range.
        """
        if abstain_below is not None and not 0 <= abstain_below <= 1:
            raise UserError(f"abstain_below {abstain_below}: give a probability from 0 to 1")
        if token_budget is not None and token_budget < 1:
            raise UserError(f"token_budget {token_budget}: give at least 1")
        chosen = choose_device(device).value
        self.classifier = classifier.eval().to(chosen)
        self.settings = classifier.settings
        self.precision = choose_precision(precision, chosen, classifier.encoder.config.hidden_size).value
        self.token_budget = token_budget
        fitted = classifier.settings.abstain_below or 0.0
        self.abstain_below = fitted if abstain_below is None else abstain_below

    @classmethod
    def load(cls, run: str | Path, **options) -> "Predictor":
        """The classifier of a finished run. Raises UserError where it is missing or damaged."""
        return cls(TextClassifier.load(run), **options)

    def predict(self, texts: Iterable[object]) -> list[Prediction]:
        """A prediction for every row, in order. What is no text, or blank, is skipped and says so."""
        return list(self.stream(texts))

    def stream(self, texts: Iterable[object]) -> Iterator[Prediction]:
        """As `predict`, one after the other, for a stream that need not fit into memory.

        Texts are read some hundred at a time, and answered before more are read. Raises UserError for a single string.
        """
        if isinstance(texts, str | bytes):
            raise UserError("texts: one string: give a list of strings, [text] for a single one")
        first = 1
        for chunk in _chunks(texts):
            yield from self._predict_chunk(chunk, first)
            first += len(chunk)

    def _predict_chunk(self, texts: Sequence[object], first: int) -> Iterator[Prediction]:
        rows = check_texts(texts)
        cleaned = [clean(example.text) for example in rows.examples]
        answers = dict(zip(rows.numbers, self._answer(self.logits(cleaned)), strict=True))
        for number in range(1, len(texts) + 1):
            row = first + number - 1
            if number in answers:
                yield Prediction(row, **answers[number])
            else:
                yield Prediction(row, error=rows.skipped[number])

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Logits (N, C) of cleaned texts."""
        return predict_logits(self.classifier, texts, precision=self.precision, token_budget=self.token_budget)

    def _answer(self, logits: np.ndarray) -> Iterator[dict]:
        settings = self.settings
        if settings.head == "rating":
            yield from ({"rating": float(value), "label": _by_sign(value)} for value in logits[:, 0])
            return
        for probabilities in apply_temperature(logits, settings.temperature):
            best = int(probabilities.argmax())
            abstained = bool(probabilities[best] < self.abstain_below)
            yield {
                "label": None if abstained else settings.label_names[best],
                "probability": float(probabilities[best]),
                "probabilities": dict(zip(settings.label_names, map(float, probabilities), strict=True)),
                "abstained": abstained,
            }


def _by_sign(rating: float) -> str:
    return "positive" if rating > 0 else "negative"


def _chunks(texts: Iterable[object]) -> Iterator[list[object]]:
    chunk: list[object] = []
    n_characters = 0
    for text in texts:
        chunk.append(text)
        n_characters += len(text) if isinstance(text, str) else 0
        if len(chunk) == CHUNK_TEXTS or n_characters > CHUNK_CHARACTERS:
            yield chunk
            chunk, n_characters = [], 0
    if chunk:
        yield chunk
