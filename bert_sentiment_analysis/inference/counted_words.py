"""Counted words in place of an encoder: what the demo page answers with where no weights are.

The ladder's TF-IDF and logistic regression (models/baselines.py), learned from a packaged set in seconds, in memory.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from bert_sentiment_analysis.evaluation.calibration import apply_temperature, fit_temperature
from bert_sentiment_analysis.inference.attributions import Explanation, Span
from bert_sentiment_analysis.inference.predictor import Predictor
from bert_sentiment_analysis.models.baselines import fit_tfidf, n_weights
from bert_sentiment_analysis.models.classifier_settings import ClassifierSettings
from shared.cleaning import clean
from shared.datasets import Example
from shared.splits import Splits


class CountedWords(Predictor):
    """Predicts as an encoder's Predictor does, the temperature from the validation part; it answers every text."""

    def __init__(self, splits: Splits) -> None:
        """Learn a set of two classes, written with spaces between the words."""
        self.vectorizer, self.model = fit_tfidf(splits)
        self.n_params = n_weights(self.model) + len(self.vectorizer.idf_)
        self.abstain_below = 0.0
        labels, logits = self._of(splits.validation)
        self.settings = ClassifierSettings(splits.label_names, temperature=fit_temperature(logits, labels))
        labels, logits = self._of(splits.test)
        self.held_out = labels, apply_temperature(logits, self.settings.temperature)
        """Labels (N,) of the test part, and the probabilities (N, 2) that it gives."""

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Logits (N, 2) of cleaned texts; that of the first class is 0."""
        if not texts:
            return np.zeros((0, 2))  # scikit-learn refuses none at all
        log_odds = self.model.decision_function(self.vectorizer.transform(texts))  # (N,)
        return np.stack([np.zeros_like(log_odds), log_odds], axis=1)

    def explain(self, text: str) -> Explanation:
        """What each word adds to the calibrated log-odds of the second class: its own weights, nothing estimated.

        A pair of words is shared between both, and a word that stands there several times to each of its places.
        """
        text = clean(text)
        counted = self.vectorizer.transform([text])  # (1, V), V words and pairs
        weights = self.model.coef_[0] / self.settings.temperature
        start = float(self.model.intercept_[0] / self.settings.temperature)
        shares = {i: float(value * weights[i]) for i, value in zip(counted.indices, counted.data, strict=True)}

        words = list(re.finditer(self.vectorizer.token_pattern, text))
        places: dict[int, list[range]] = defaultdict(list)  # of each word or pair: the numbers of the words
        for length in (1, 2):
            for first in range(len(words) - length + 1):
                run = range(first, first + length)
                found = self.vectorizer.vocabulary_.get(" ".join(words[number].group().lower() for number in run))
                if found in shares:
                    places[found].append(run)
        values = np.zeros(len(words))
        for found, runs in places.items():
            for run in runs:
                values[run] += shares[found] / len(runs) / len(run)
        spans = [Span(*word.span(), float(value)) for word, value in zip(words, values, strict=True)]
        answer = start + sum(shares.values())
        return Explanation(text, spans, start, answer, self.settings.label_names[1], len(text))

    def _of(self, examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
        labels = np.array([example.label for example in examples])
        return labels, self.logits([clean(example.text) for example in examples])
