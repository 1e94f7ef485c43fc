"""From a model to sentences: beam search with a ban on repeated word runs, and sampling, both in batches.

Beam search keeps the `beams` likeliest beginnings and extends each by every word. Sentences of different lengths are
compared by their mean log-probability (`length_penalty` 1) or something between that and the sum (0), after Wu et al.
2016, arXiv 1609.08144, section 7, without its constant.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from multimodal_llm.image_captioning.caption_model import CaptionModel, Picture
from multimodal_llm.image_captioning.vocabulary import END, PADDING, START, UNKNOWN

NEVER = -1e9


class Sentence(NamedTuple):
    """Words by number, the end included, and the probability that each written word had on average (geometric mean)."""

    words: list[int]
    confidence: float


@torch.no_grad()
def beam_search(
    model: CaptionModel,
    views: Sequence[Picture],
    n: int,
    beams: int = 3,
    no_repeat: int = 3,
    length_penalty: float = 1.0,
    prefix: Sequence[int] = (),
) -> list[Sentence]:
    """The best sentence for each of n photos, starting with the words `prefix`.

    Each of `views` shows all the photos, for example as they are and mirrored: a word's log-probability is the mean of
    those that it has in each.
    No run of `no_repeat` words stands twice in a sentence (0: anything may).
    """
    device = model.word_places.device
    views = [view.repeat(beams) for view in views]
    words = torch.tensor([[START, *prefix]], device=device).repeat(n * beams, 1)
    sums = torch.full((n, beams), NEVER, device=device)
    sums[:, 0] = 0.0  # at first all beams are the same: only one may be extended
    lengths = torch.zeros(n, beams, device=device)
    pasts: list[list | None] = [None] * len(views)
    for _ in range(model.settings.max_words - len(prefix)):
        read = words if pasts[0] is None else words[:, -1:]
        seen = [model(read, view, past) for view, past in zip(views, pasts, strict=True)]
        logs = torch.stack([logits[:, -1].float().log_softmax(-1) for logits, _ in seen]).mean(0)  # (n * beams, V)
        logs[:, [PADDING, START, UNKNOWN]] = NEVER
        if no_repeat:
            _ban_repeats(logs, words, no_repeat)
        ended = (words[:, -1] == END) | (words[:, -1] == PADDING)
        logs[ended] = NEVER
        logs[ended, PADDING] = 0.0  # what has ended stays as it is
        sums, best = (sums[..., None] + logs.view(n, beams, -1)).flatten(1).topk(beams)  # (n, beams) each
        source, word = best // logs.shape[1], best % logs.shape[1]
        rows = (source + torch.arange(n, device=device)[:, None] * beams).flatten()
        words = torch.cat([words[rows], word.view(-1, 1)], 1)
        lengths = lengths.gather(1, source) + (word != PADDING)
        pasts = [[(key[rows], value[rows]) for key, value in past] for _, past in seen]
        if ((word == END) | (word == PADDING)).all():
            break
    winner = (sums / lengths.clamp(min=1) ** length_penalty).argmax(1, keepdim=True)  # (n, 1)
    confidence = (sums / lengths.clamp(min=1)).gather(1, winner).exp().flatten().tolist()
    chosen = words.view(n, beams, -1)[torch.arange(n, device=device), winner.flatten(), 1:].tolist()
    return [Sentence([word for word in row if word], sure) for row, sure in zip(chosen, confidence, strict=True)]


@torch.no_grad()
def sample(model: CaptionModel, picture: Picture, n: int) -> Tensor:
    """One sentence drawn word by word for each of n rows: (n, at most max_words), padded after its end."""
    words = torch.full((n, 1), START, device=model.word_places.device)
    past = None
    for _ in range(model.settings.max_words):
        logits, past = model(words[:, -1:], picture, past)
        logits = logits[:, -1].float()
        logits[:, [PADDING, START, UNKNOWN]] = NEVER
        # The largest of log-probabilities with Gumbel noise is a draw: one pass instead of a cumulative sum.
        noise = -torch.empty_like(logits).exponential_().log()
        word = (logits + noise).argmax(-1)
        ended = (words[:, -1] == END) | (words[:, -1] == PADDING)
        words = torch.cat([words, word.masked_fill(ended, PADDING)[:, None]], 1)
        if ((words[:, -1] == END) | (words[:, -1] == PADDING)).all():
            break
    return words[:, 1:]


def _ban_repeats(logs: Tensor, words: Tensor, n: int) -> None:
    """Rule out, in place, every word that would end a run of n words which the row (R, t) holds already."""
    length = words.shape[1]
    if length < n:
        return
    runs = words.unfold(1, n, 1)  # (R, t - n + 1, n)
    same = (runs[..., :-1] == words[:, None, length - n + 1 :]).all(-1)  # (R, t - n + 1)
    logs.scatter_reduce_(1, runs[..., -1], torch.where(same, NEVER, float("inf")).to(logs.dtype), "amin")
