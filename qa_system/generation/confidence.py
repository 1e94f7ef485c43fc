"""How sure an answer is: that this passage holds the answer to the question, as a probability.

A logistic regression on a few signs of the reader and the search, fitted on questions of articles that the reader had
not been trained on. The passage with the highest probability gives the answer, and its probability decides whether one
is given. The signs of the search say most about questions that the documents do not speak of, those of the reader about
questions that they seem to answer and do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qa_system.generation.reader_windows import Span
from qa_system.retrieval.hybrid_retrieval import Hit

SIGNS = ("span", "verifier", "score", "bm25", "cosine", "lead")
MOST_SCORE = 20.0


@dataclass(frozen=True)
class Confidence:
    """A weight for each sign, and the threshold below which no answer is given."""

    weights: tuple[float, ...]
    bias: float
    threshold: float

    def of(self, signs: np.ndarray) -> np.ndarray:
        """Probabilities (N,) of signs (N, 6)."""
        return 1 / (1 + np.exp(-(signs @ np.array(self.weights) + self.bias)))


def signs_of(hits: Sequence[Hit], spans: Sequence[Span]) -> np.ndarray:
    """Signs (N, 6) of each passage's span."""
    rows = [
        (
            float(np.clip(span.score, -MOST_SCORE, MOST_SCORE)),
            float(np.clip(span.answerable, -MOST_SCORE, MOST_SCORE)),
            hit.score,
            hit.bm25,
            hit.cosine,
            hit.score - hits[0].score,
        )
        for hit, span in zip(hits, spans, strict=True)
    ]
    return np.array(rows).reshape(len(rows), len(SIGNS))


def fit_confidence(signs: np.ndarray, holds: np.ndarray) -> Confidence:
    """Fit to signs (N, 6) and whether each passage held the answer (N,), with a little ridge; by Newton's method.

    The threshold is left at 0.
    """
    means, scales = signs.mean(0), signs.std(0) + 1e-9
    x = np.column_stack([(signs - means) / scales, np.ones(len(signs))])  # (N, 7)
    ridge = np.diag([1.0] * signs.shape[1] + [0.0])
    w = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        gradient = x.T @ (p - holds) + ridge @ w
        hessian = (x * (p * (1 - p))[:, None]).T @ x + ridge + 1e-9 * np.eye(len(w))
        step = np.linalg.solve(hessian, gradient)
        w -= step
        if np.abs(step).max() < 1e-8:
            break
    weights = w[:-1] / scales
    return Confidence(tuple(map(float, weights)), float(w[-1] - weights @ means), 0.0)
