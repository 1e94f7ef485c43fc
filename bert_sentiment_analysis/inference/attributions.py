"""Which words speak for the answer: integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365).

The words are faded in, from a text of padding between the same special tokens to the real one, and each is credited
with what it adds on the way. The credits sum up to the difference of the two answers (the paper's completeness), but
for the error of a sum over finitely many steps, which is reported.

The path runs through the encoder's word embeddings, and the gradients are captum's. The embeddings are handed to the
encoder instead of put in by a hook upon its layer, as captum's LayerIntegratedGradients does: a page's visitors share
one model, and a hook would change everybody's answers.

Letters in shapes: T tokens of a window, E width of the word embeddings, N points on the path.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from bert_sentiment_analysis.models.bert_classifier import TextClassifier
from shared.cleaning import clean

STEPS = 20  # points on the path: the credits of minilm then miss the sum by about a hundredth
MOST_WINDOWS = 2  # some seconds each; with windows of 256 tokens about 350 English words

# Letters and digits, with an apostrophe between them. Chinese and Japanese leave no spaces: their pieces stay apart.
_HAN = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(f"[^\\W_{_HAN}]+(?:['’][^\\W_{_HAN}]+)*")


class Span(NamedTuple):
    """A word (or a sign, or a piece of Chinese) and what it adds to the answer."""

    start: int
    end: int
    value: float


@dataclass(frozen=True)
class Explanation:
    """What each word of a text adds to `answer`, beginning from `start`, the answer to a text of padding.

    `text` is cleaned, as the model reads it, and the spans are places in it, in order. Of two classes the answer is the
    calibrated log-odds ln(p / (1 - p)) of the second, of more that of the likeliest against the mean of the others, and
    of a rating the rating. So a positive number speaks for `speaks_for`, or for a higher rating.
    """

    text: str
    spans: list[Span]
    start: float
    answer: float
    speaks_for: str | None
    n_read: int
    """Characters that were explained: all, or those of the first windows of a very long text."""

    @property
    def error(self) -> float:
        """How far the credits miss the difference they should sum up to, in the unit of the answer."""
        return abs(sum(span.value for span in self.spans) - (self.answer - self.start))


class _Window(NamedTuple):
    ids: Tensor  # (T,)
    special: Tensor  # (T,) bool
    places: list[tuple[int, int]]


def explain(classifier: TextClassifier, text: str, steps: int = STEPS) -> Explanation:
    """Credit each word of a text. Of one longer than MOST_WINDOWS windows only these are read: see `n_read`.

    The windows of a long text count by their tokens, as in the answer itself, and a word in two windows gets the sum.
    With a partner (of ratings or two classes) both are explained, and their credits count as their answers do.
    """
    found = _explain_alone(classifier, text, steps)
    if classifier.partner is None:
        return found
    other, share = _explain_alone(classifier.partner, text, steps), classifier.settings.partner_weight
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for explanation, weight in ((found, 1 - share), (other, share)):
        for span in explanation.spans:
            sums[span.start, span.end] += weight * span.value
    return Explanation(
        found.text,
        _without_overlap(sums),
        (1 - share) * found.start + share * other.start,
        (1 - share) * found.answer + share * other.answer,
        found.speaks_for,
        min(found.n_read, other.n_read),
    )


def _explain_alone(classifier: TextClassifier, text: str, steps: int) -> Explanation:
    classifier.eval()
    text = clean(text)
    windows, n_windows = _windows(classifier, text)
    shares = [len(window.ids) / sum(len(other.ids) for other in windows) for window in windows]
    real = [_embed(classifier, window.ids) for window in windows]
    padding = classifier.tokenizer.pad_token_id
    empty = [_embed(classifier, window.ids.where(window.special, padding)) for window in windows]  # (1, T, E)

    logits = sum(share * _logits(classifier, embedded) for share, embedded in zip(shares, real, strict=True))
    direction, speaks_for = _direction(classifier, logits)
    answer, start = (
        sum(share * float(_logits(classifier, each) @ direction) for share, each in zip(shares, end, strict=True))
        for end in (real, empty)
    )
    gradients = IntegratedGradients(lambda embedded: _logits(classifier, embedded, learns=True) @ direction)
    by_token: list[tuple[tuple[int, int], float]] = []
    for window, share, target, baseline in zip(windows, shares, real, empty, strict=True):
        part = max(1, classifier.part_tokens // 4 // len(window.ids))  # some 0.5 GB
        found = gradients.attribute(target, baseline, n_steps=steps, internal_batch_size=part)  # (1, T, E)
        values = (share * found.sum(-1)[0]).tolist()
        # The special tokens are the same at both ends and get nothing.
        listed = zip(window.places, values, window.special.tolist(), strict=True)
        by_token += [(place, value) for place, value, special in listed if not special]
    n_read = len(text) if len(windows) == n_windows else max(end for _, end in windows[-1].places)
    return Explanation(text, _join_words(text, by_token), start, answer, speaks_for, n_read)


def _windows(classifier: TextClassifier, text: str) -> tuple[list[_Window], int]:
    """The first windows of a text, and how many it has."""
    encoded = classifier.tokenize([text], return_offsets_mapping=True, return_special_tokens_mask=True)
    columns = (encoded[name][:MOST_WINDOWS] for name in ("input_ids", "special_tokens_mask", "offset_mapping"))
    device = classifier.device
    windows = [
        _Window(torch.tensor(ids, device=device), torch.tensor(special, device=device).bool(), places)
        for ids, special, places in zip(*columns, strict=True)
    ]
    return windows, len(encoded["input_ids"])


@torch.no_grad()
def _embed(classifier: TextClassifier, ids: Tensor) -> Tensor:
    return classifier.encoder.get_input_embeddings()(ids)[None]


def _logits(classifier: TextClassifier, embedded: Tensor, learns: bool = False) -> Tensor:
    """Word embeddings (N, T, E) to logits (N, C); with gradients where `learns`."""
    mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device)
    with torch.set_grad_enabled(learns):
        hidden = classifier.encoder(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
        return classifier.pooled_logits(hidden, mask)


def _direction(classifier: TextClassifier, logits: Tensor) -> tuple[Tensor, str | None]:
    """What to multiply logits (1, C) by, (C,), to get the number that is explained; and the class it speaks for."""
    settings = classifier.settings
    if settings.head == "rating":
        return torch.ones(1, device=logits.device), None
    n = settings.n_outputs
    chosen = 1 if n == 2 else int(logits[0].argmax())
    direction = torch.full((n,), -1 / (n - 1), device=logits.device)
    direction[chosen] = 1.0
    return direction / settings.temperature, settings.label_names[chosen]


def _join_words(text: str, by_token: Iterable[tuple[tuple[int, int], float]]) -> list[Span]:
    """Credits of tokens, at their places in the text, to those of words.

    A token without a place of its own, such as the space before a word, counts for the word that follows. The bytes of
    an emoji are tokens of one place.
    """
    words = {place: word.span() for word in _WORD.finditer(text) for place in range(*word.span())}
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for (start, end), value in by_token:
        while start < len(text) - 1 and text[start].isspace():
            start += 1
        sums[words.get(start, (start, max(end, start + 1)))] += value
    return _without_overlap(sums)


def _without_overlap(sums: Mapping[tuple[int, int], float]) -> list[Span]:
    """Credits by place as spans in order; places that share a character become one."""
    spans: list[Span] = []
    for (start, end), value in sorted(sums.items()):
        if spans and start < spans[-1].end:
            before = spans.pop()
            start, end, value = before.start, max(before.end, end), before.value + value
        spans.append(Span(start, end, value))
    return spans
