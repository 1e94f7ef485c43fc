"""How the next token is chosen from the logits: nine strategies by name, each written out in numpy.

    settings = settings_for("nucleus", temperature=0.8)
    stream = Stream(model.session(), ids, chooser(settings, seed=1))

Every filter takes logits (V,) and gives logits (V,) in which what it removes is -inf. They stand in the order in which
transformers applies them, and tests hold each to transformers' own; DRY and mirostat, which it does not have, are held
to their definitions. Beam search and contrastive search look further than one token: search.py.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.config import check
from shared.streaming import Choose

MOST_REPEATED = 50  # tokens of a repetition that DRY looks at; beyond these nothing is left of a probability

# The settings that each name stands for. The first four are the roadmap's.
generation_configs: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beam_search": {"num_beams": 5, "early_stopping": True},
    "sampling": {"temperature": 0.7, "top_k": 50},
    "nucleus": {"top_p": 0.9},
    "min_p": {"min_p": 0.1},
    "typical": {"typical_p": 0.95},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4},
    "dry": {"temperature": 0.7, "dry_multiplier": 0.8},
    "mirostat": {"mirostat_tau": 4.0, "mirostat_eta": 0.1},
}

_PENALTIES = {"repetition_penalty", "dry_multiplier", "dry_base", "dry_allowed_length"}
_DRAWING = {"temperature", "top_k", "top_p", "min_p", "typical_p"}
# What else may be set of each strategy. A setting that would do nothing is refused, not ignored.
ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(("sampling", "nucleus", "min_p", "typical", "dry"), _PENALTIES | _DRAWING),
    "greedy": _PENALTIES,
    "beam_search": {"num_beams", "early_stopping", "length_penalty"} | _PENALTIES,
    "contrastive": {"penalty_alpha", "top_k"},
    "mirostat": {"mirostat_tau", "mirostat_eta", "temperature"} | _PENALTIES,
}


@dataclass(frozen=True)
class Settings:
    """A strategy with all its numbers; the defaults change nothing."""

    strategy: str
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    mirostat_tau: float = 4.0
    mirostat_eta: float = 0.1
    num_beams: int = 1
    early_stopping: bool = False
    length_penalty: float = 1.0
    penalty_alpha: float = 0.0

    def __post_init__(self) -> None:
        check(self.temperature > 0, "temperature", self.temperature, "give a number above 0, or use --strategy greedy")
        check(self.top_k >= 0, "top_k", self.top_k, "give a whole number above 0, or 0 for all tokens")
        check(0 < self.top_p <= 1, "top_p", self.top_p, "give a number above 0 and at most 1")
        check(0 <= self.min_p <= 1, "min_p", self.min_p, "give a number from 0 to 1")
        check(0 < self.typical_p <= 1, "typical_p", self.typical_p, "give a number above 0 and at most 1")
        check(self.repetition_penalty > 0, "repetition_penalty", self.repetition_penalty, "give a number above 0")
        check(self.dry_multiplier >= 0, "dry_multiplier", self.dry_multiplier, "give 0 or more")
        check(self.dry_base >= 1, "dry_base", self.dry_base, "give 1 or more")
        check(self.dry_allowed_length >= 1, "dry_allowed_length", self.dry_allowed_length, "give 1 or more")
        check(self.mirostat_tau > 0, "mirostat_tau", self.mirostat_tau, "give a number of bits above 0")
        check(self.mirostat_eta > 0, "mirostat_eta", self.mirostat_eta, "give a number above 0")
        check(self.num_beams >= 1, "num_beams", self.num_beams, "give at least 1")
        check(0 <= self.penalty_alpha <= 1, "penalty_alpha", self.penalty_alpha, "give a number from 0 to 1")
        contrastive = self.strategy == "contrastive"
        check(not contrastive or self.top_k >= 1, "top_k", self.top_k, "contrastive search needs at least 1 candidate")


def settings_for(strategy: str, **changes: Any) -> Settings:
    """The named strategy with some numbers changed; None leaves one as it is.

    Raises ValueError for an unknown name, a refused value, and a setting that this strategy has no use for.
    """
    known = ", ".join(generation_configs)
    check(strategy in generation_configs, "strategy", strategy, f"unknown, choose one of {known}")
    changes = {name: value for name, value in changes.items() if value is not None}
    for name, value in changes.items():
        if name not in ALLOWED[strategy]:
            users = ", ".join(each for each in generation_configs if name in ALLOWED[each])
            check(False, name, value, f"{strategy} has no use for it: leave it out, or choose one of {users}")
    return Settings(strategy, **{**generation_configs[strategy], **changes})


def chooser(settings: Settings, seed: int | Sequence[int] = 0, breakers: frozenset[int] = frozenset()) -> Choose:
    """The function that chooses each next token of one text. One that draws follows from the seed.

    `breakers` are tokens across which DRY sees no repetition (`dry_breakers`). Raises ValueError for beam search and
    contrastive search, which do not choose token by token.
    """
    if settings.strategy in ("beam_search", "contrastive"):
        raise ValueError(f"{settings.strategy} is a search: see search.py")
    if settings.strategy == "mirostat":
        return Mirostat(settings, seed, breakers)
    if settings.strategy == "greedy":
        return lambda logits, ids: int(penalise(logits, ids, settings, breakers).argmax())
    draws = np.random.default_rng(seed)
    return lambda logits, ids: draw(filtered(penalise(logits, ids, settings, breakers), settings), draws)


def filtered(logits: np.ndarray, settings: Settings) -> np.ndarray:
    """What a token is drawn from: the temperature, then the filters."""
    logits = keep_top_k(logits / settings.temperature, settings.top_k)
    logits = keep_top_p(logits, settings.top_p)
    logits = keep_min_p(logits, settings.min_p)
    return keep_typical(logits, settings.typical_p)


def penalise(
    logits: np.ndarray, ids: Sequence[int], settings: Settings, breakers: frozenset[int] = frozenset()
) -> np.ndarray:
    """Both penalties for what the text already has."""
    logits = penalise_repetition(logits, ids, settings.repetition_penalty)
    dry = settings.dry_multiplier, settings.dry_base, settings.dry_allowed_length
    return penalise_dry(logits, ids, *dry, breakers)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (..., V)."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def draw(logits: np.ndarray, draws: np.random.Generator) -> int:
    """A token by its probability: where a random point falls on the line of all probabilities laid end to end."""
    line = softmax(logits.astype(np.float64)).cumsum()
    # To the right of equal points: a token of probability 0 takes no place on the line.
    return int(np.searchsorted(line, draws.random() * line[-1], side="right"))


def keep_top_k(logits: np.ndarray, k: int) -> np.ndarray:
    """The `k` likeliest tokens (Fan et al. 2018, section 5.4, https://arxiv.org/abs/1805.04833); 0 keeps all."""
    if not 0 < k < len(logits):
        return logits
    kth = np.partition(logits, -k)[-k]
    return np.where(logits < kth, -np.inf, logits)


def keep_top_p(logits: np.ndarray, p: float) -> np.ndarray:
    """The nucleus: the fewest likeliest tokens with a probability of `p` together.

    Holtzman et al. 2020, section 3.1, https://arxiv.org/abs/1904.09751.
    """
    if p >= 1:
        return logits
    order = logits.argsort()  # rising
    removed = softmax(logits[order]).cumsum() <= 1 - p
    removed[-1] = False
    kept = logits.copy()
    kept[order[removed]] = -np.inf
    return kept


def keep_min_p(logits: np.ndarray, p: float) -> np.ndarray:
    """Tokens with at least the share `p` of the likeliest one's probability.

    Nguyen et al. 2024, section 3, https://arxiv.org/abs/2407.01082. Whether it beats the nucleus is disputed
    (https://arxiv.org/abs/2506.13681), which is why ours are compared with an equal tuning budget each.
    """
    if p == 0:
        return logits
    return np.where(logits < logits.max() + math.log(p), -np.inf, logits)


def keep_typical(logits: np.ndarray, mass: float) -> np.ndarray:
    """The tokens whose surprise is nearest to the expected one, with a probability of `mass` together.

    Locally typical sampling, Meister et al. 2023, equation 9, https://arxiv.org/abs/2202.00666. The likeliest token may
    be among those removed.
    """
    if mass >= 1:
        return logits
    probabilities = softmax(logits)
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = -np.log(probabilities)
        expected = np.nansum(probabilities * surprise)  # 0 times infinity counts nothing
    distance = np.abs(surprise - expected)
    order = distance.argsort()
    last = min(int((probabilities[order].cumsum() < mass).sum()), len(order) - 1)
    removed = distance > distance[order[last]]
    removed[order[0]] = False
    return np.where(removed, -np.inf, logits)


def penalise_repetition(logits: np.ndarray, ids: Sequence[int], penalty: float) -> np.ndarray:
    """Make every token less likely that the text, prompt included, has already: above 1 less, below 1 more likely.

    CTRL, Keskar et al. 2019, section 4.1, https://arxiv.org/abs/1909.05858. A negative logit is multiplied, not
    divided, else the penalty would raise it.
    """
    if penalty == 1:
        return logits
    seen = np.unique(ids)
    penalised = logits.copy()
    penalised[seen] = np.where(logits[seen] < 0, logits[seen] * penalty, logits[seen] / penalty)
    return penalised


def penalise_dry(
    logits: np.ndarray,
    ids: Sequence[int],
    multiplier: float,
    base: float,
    allowed_length: int,
    breakers: frozenset[int] = frozenset(),
) -> np.ndarray:
    """Penalise a token that would prolong a repetition, the more the longer it already is ("Don't Repeat Yourself").

    Where the last n tokens stood in the text before, the token that followed them there loses
    multiplier * base ** (n - allowed_length), for n of at least `allowed_length`. A repetition does not reach across a
    token of `breakers`. By its author's definition: https://github.com/oobabooga/text-generation-webui/pull/5677.
    """
    if multiplier == 0 or not len(ids) or ids[-1] in breakers:
        return logits
    text = np.asarray(ids)
    longest: dict[int, int] = {}  # the token that followed -> the longest repetition it would prolong
    for end in np.flatnonzero(text[:-1] == text[-1]):
        n = 1
        while (
            n < min(int(end) + 1, MOST_REPEATED)
            and text[end - n] == text[-1 - n]
            and int(text[end - n]) not in breakers
        ):
            n += 1
        follower = int(text[end + 1])
        longest[follower] = max(n, longest.get(follower, 0))
    penalised = logits.copy()
    for follower, n in longest.items():
        if n >= allowed_length:
            penalised[follower] -= multiplier * base ** (n - allowed_length)
    return penalised


def dry_breakers(encode: Callable[[str], list[int]]) -> frozenset[int]:
    """The tokens of a line break, a colon, a quotation mark and an asterisk, as they stand behind a word."""
    return frozenset(encode("word" + mark)[-1] for mark in ("\n", ":", '"', "*"))


class Mirostat:
    """Keeps the surprise of the tokens near `mirostat_tau` bits, by a bound on it that is corrected after each token.

    Basu et al. 2021, https://arxiv.org/abs/2007.14966: the feedback of algorithm 1 with the truncation of "mirostat
    2.0" in the authors' code. Tokens above the bound are never drawn; it starts at 2 tau. As in the paper, the surprise
    is that of the model's own probability; llama.cpp takes it after the truncation.
    """

    def __init__(
        self, settings: Settings, seed: int | Sequence[int] = 0, breakers: frozenset[int] = frozenset()
    ) -> None:
        self.settings, self.breakers = settings, breakers
        self.bound = 2 * settings.mirostat_tau  # bits
        self._draws = np.random.default_rng(seed)

    def __call__(self, logits: np.ndarray, ids: Sequence[int]) -> int:
        logits = penalise(logits, ids, self.settings, self.breakers) / self.settings.temperature
        with np.errstate(divide="ignore"):
            surprise = -np.log2(softmax(logits.astype(np.float64)))
        removed = surprise > self.bound
        removed[surprise.argmin()] = False
        token = draw(np.where(removed, -np.inf, logits), self._draws)
        self.bound -= self.settings.mirostat_eta * (surprise[token] - self.settings.mirostat_tau)
        return token
