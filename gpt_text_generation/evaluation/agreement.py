"""What votes on pairs say: who writes better, how sure that is, and whether the raters agree.

Strength: Bradley & Terry 1952 (Biometrika 39), with ties by Davidson 1970 (JASA 65, equation 2.4). With p_i = exp(s_i)

    P(i wins) : P(j wins) : P(tie) = p_i : p_j : v * sqrt(p_i * p_j)

so a tie is likelier the closer the two are, and v tells how readily people call one. Intervals are by bootstrap: whole
pairs of texts are drawn anew with all the votes on them, since the votes on one pair are not independent.

Agreement: Krippendorff's alpha (2011, Computing Krippendorff's Alpha-Reliability), 1 for full agreement and 0 for what
chance would give. Not Cohen's kappa, which takes exactly two raters, and not Fleiss', which wants equally many votes on
every pair: here any number of people vote on as many pairs as they like. The three answers lie on a line, a tie in the
middle: that one calls a tie what the other gives to a side is a quarter of the disagreement between two sides.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gpt_text_generation.evaluation.vote_store import Vote

# A prior of s ~ N(0, PRIOR^2) keeps a source that won every vote finite. It is wide: one unit of s is odds of 2.7 : 1.
PRIOR = 3.0
RESAMPLES, LEVEL = 500, 0.95


class Strengths(NamedTuple):
    """`log_strength` (S,) in the order of `sources`, of mean 0; and v, how readily a tie is called."""

    sources: tuple[str, ...]
    log_strength: np.ndarray
    tie: float


def fit_strengths(votes: Sequence[Vote], sources: Sequence[str] | None = None) -> Strengths:
    """The strengths that make the votes likeliest. Raises ValueError without votes."""
    from scipy.optimize import minimize

    if not votes:
        raise ValueError("no votes, so nothing is known of any strength")
    sources = tuple(sources or sorted({source for vote in votes for source in (vote.source_a, vote.source_b)}))
    place = {source: number for number, source in enumerate(sources)}
    a = np.array([place[vote.source_a] for vote in votes])  # (N,)
    b = np.array([place[vote.source_b] for vote in votes])
    outcome = np.array([("a", "b", "tie").index(vote.choice) for vote in votes])
    rows = np.arange(len(votes))

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        s, log_v = free[:-1], free[-1]
        logits = np.stack([s[a], s[b], log_v + (s[a] + s[b]) / 2], axis=1)  # (N, 3): a wins, b wins, tie
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        error = np.exp(log_p)
        error[rows, outcome] -= 1  # (N, 3), the gradient of the loss by the logits
        slope = np.zeros_like(free)
        np.add.at(slope, a, error[:, 0] + error[:, 2] / 2)
        np.add.at(slope, b, error[:, 1] + error[:, 2] / 2)
        slope[-1] = error[:, 2].sum()
        slope[:-1] += s / PRIOR**2
        return float((s**2).sum() / (2 * PRIOR**2) - log_p[rows, outcome].sum()), slope

    found = minimize(loss, np.zeros(len(sources) + 1), jac=True, method="L-BFGS-B")
    s = found.x[:-1]
    return Strengths(sources, s - s.mean(), math.exp(found.x[-1]))


def strength_rows(
    votes: Sequence[Vote], resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> list[dict[str, Any]]:
    """A row for each source, the strongest first: its votes, log strength and interval."""
    fitted = fit_strengths(votes)
    by_pair: dict[int, list[Vote]] = {}
    for vote in votes:
        by_pair.setdefault(vote.pair, []).append(vote)
    pairs, draw = list(by_pair.values()), np.random.default_rng(seed)
    drawn = [
        fit_strengths([vote for i in draw.integers(0, len(pairs), len(pairs)) for vote in pairs[i]], fitted.sources)
        for _ in range(resamples)
    ]
    edges = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile([each.log_strength for each in drawn], edges, axis=0)  # (S,) each
    rows = []
    for number in np.argsort(-fitted.log_strength, kind="stable"):
        source = fitted.sources[number]
        outcomes = Counter(_outcome(vote, source) for vote in votes if source in (vote.source_a, vote.source_b))
        rows.append(
            {
                "source": source,
                "log_strength": float(fitted.log_strength[number]),
                "low": float(low[number]),
                "high": float(high[number]),
                "wins": outcomes["win"],
                "ties": outcomes["tie"],
                "losses": outcomes["loss"],
            }
        )
    return rows


def _outcome(vote: Vote, source: str) -> str:
    if vote.choice == "tie":
        return "tie"
    return "win" if {"a": vote.source_a, "b": vote.source_b}[vote.choice] == source else "loss"


def krippendorff_alpha(units: Sequence[Sequence[float]]) -> float | None:
    """Alpha for numbers on a line: of each unit all the values it got. None where no unit has two, or all are equal.

    1 - (disagreement within units) / (disagreement between any two values), each the mean squared difference.
    """
    several = [np.asarray(unit, dtype=float) for unit in units if len(unit) > 1]
    values = np.concatenate(several) if several else np.empty(0)
    if len(values) < 2 or np.ptp(values) == 0:
        return None
    # Over the m (m - 1) ordered pairs of m values, squared differences sum to 2 m^2 times the variance.
    within = sum(2 * len(unit) ** 2 * unit.var() / (len(unit) - 1) for unit in several) / len(values)
    between = 2 * len(values) ** 2 * values.var() / (len(values) * (len(values) - 1))
    return float(1 - within / between)


def agreement(votes: Sequence[Vote]) -> float | None:
    """Krippendorff's alpha of the raters; None where no pair has two votes, or all votes are equal."""
    units: dict[int, list[float]] = {}
    for vote in votes:
        units.setdefault(vote.pair, []).append({"a": -1.0, "tie": 0.0, "b": 1.0}[vote.choice])
    return krippendorff_alpha(list(units.values()))


def first_place_p(votes: Sequence[Vote]) -> tuple[int, int, float | None]:
    """How often the text that stood first won, of all decided votes, and the p value of that with none preferred."""
    from scipy.stats import binomtest

    decided = [vote for vote in votes if vote.choice != "tie"]
    won = sum(vote.choice == vote.first for vote in decided)
    return won, len(decided), float(binomtest(won, len(decided)).pvalue) if decided else None
