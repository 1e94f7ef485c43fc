"""Two searches that look further than the next token, as sessions: a Stream with `greedy` writes what they found.

    search = BeamSearch(model, settings, max_new_tokens=40)
    print("".join(Stream(search, ids, max_new_tokens=40)))

Both need more than logits, several texts at once and hidden states, so they run on the transformers engine only.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gpt_text_generation.decoding import Settings, penalise
from shared.errors import UserError
from shared.language_model import LanguageModel


class Beam(NamedTuple):
    """A text under way, or a finished one, whose score is divided by its length."""

    score: float
    new: list[int]
    row: int = 0
    """Where its beginning stands in the cache."""


class BeamSearch:
    """Keeps the `num_beams` likeliest beginnings, and ends with the text of the best mean log-probability.

    Of all one-token continuations of all beams the best go on; one that ends with an end token, or at the greatest
    length, is finished and its score divided by length ** `length_penalty` (Wu et al. 2016, section 7, in the form that
    transformers uses, https://arxiv.org/abs/1609.08144). With `early_stopping` the search ends when there are
    `num_beams` finished texts; without it, when no beam can still become better. The whole search runs before the first
    token is given out; if `cancelled` says so it ends with the best text so far.
    """

    def __init__(
        self,
        model: LanguageModel,
        settings: Settings,
        *,
        max_new_tokens: int,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Raises UserError where the model does not run on transformers."""
        refuse_other_engine(model, "beam_search")
        self.model: Any = model
        self._settings, self._most, self._cancelled = settings, max_new_tokens, cancelled
        self._found: list[int] = []  # the prompt and the text

    def next_logits(self, ids: Sequence[int]) -> np.ndarray:
        """1 for the next token of the text found, 0 for the others."""
        if list(ids) != self._found[: len(ids)] or len(ids) >= len(self._found):
            self._found = [*ids, *self.search(ids)]
        scores = np.zeros(self.model.vocabulary, dtype=np.float32)
        scores[self._found[len(ids)]] = 1
        return scores

    def search(self, prompt: Sequence[int]) -> list[int]:
        """The new tokens of the best text, its end token included."""
        n, most = self._settings.num_beams, min(self._most, self.model.context - len(prompt))
        ends = self.model.stop_ids
        # Among so many there are always `n` that do not end, even if every beam's likeliest token is an end.
        wide = max(2, 1 + len(ends)) * n
        beams, finished = [Beam(0.0, [])], []
        logits, cache = self._read(prompt)
        for length in range(1, most + 1):
            candidates = self._best(prompt, beams, logits, wide)
            done = [length == most or each.new[-1] in ends for each in candidates]
            # Only the best `n` may finish: the others are there as a reserve.
            finished += [
                Beam(each.score / length**self._settings.length_penalty, each.new)
                for each, ended in zip(candidates[:n], done[:n], strict=True)
                if ended
            ]
            finished = sorted(finished, key=lambda each: -each.score)[:n]
            beams = [each for each, ended in zip(candidates, done, strict=True) if not ended][:n]
            if not beams or self._enough(beams, finished, length):
                break
            if self._cancelled():
                return (finished or beams)[0].new
            logits = self._go_on(cache, beams)
        return finished[0].new

    def _enough(self, beams: list[Beam], finished: list[Beam], length: int) -> bool:
        if len(finished) < self._settings.num_beams:
            return False
        could_reach = beams[0].score / length**self._settings.length_penalty
        return self._settings.early_stopping or could_reach <= finished[-1].score

    def _best(self, prompt: Sequence[int], beams: list[Beam], logits: np.ndarray, wide: int) -> list[Beam]:
        """The best continuations of all beams, the best first."""
        peak = logits.max(axis=1, keepdims=True)
        likely = logits - peak - np.log(np.exp(logits - peak).sum(axis=1, keepdims=True))  # (n, V)
        likely = np.stack(
            [penalise(row, [*prompt, *beam.new], self._settings) for row, beam in zip(likely, beams, strict=True)]
        )
        total = (likely + np.array([beam.score for beam in beams])[:, None]).ravel()  # (n V,)
        wide = min(wide, len(total))
        best = np.argpartition(total, -wide)[-wide:]
        best = best[np.argsort(-total[best], kind="stable")]
        rows, tokens = np.divmod(best, logits.shape[1])
        return [
            Beam(float(total[place]), [*beams[row].new, int(token)], int(row))
            for place, row, token in zip(best, rows, tokens, strict=True)
        ]

    def _read(self, prompt: Sequence[int]) -> tuple[np.ndarray, Any]:
        import torch
        from transformers import DynamicCache

        network = self.model.network
        cache = DynamicCache(config=network.config)
        with torch.inference_mode():
            ids = torch.tensor([list(prompt)], device=self.model.device)
            logits = network(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
        return _numbers(logits), cache

    def _go_on(self, cache: Any, beams: list[Beam]) -> np.ndarray:
        """Logits (n, V) after the last token of each beam; the cache follows the beams."""
        import torch

        with torch.inference_mode():
            cache.batch_select_indices(torch.tensor([beam.row for beam in beams], device=self.model.device))
            new = torch.tensor([[beam.new[-1]] for beam in beams], device=self.model.device)
            return _numbers(self.model.network(new, past_key_values=cache, use_cache=True).logits[:, -1])


class ContrastiveSearch:
    """Chooses, of the likeliest tokens, one that is not like what stands there already.

    Su et al. 2022, equation 5, https://arxiv.org/abs/2202.06417: of the `top_k` likeliest tokens v the one with the
    greatest (1 - alpha) p(v) - alpha max s(v, x), where s is the cosine between the last hidden states of v and of each
    token x before it. To know the hidden state of a candidate it must be read: each step reads `top_k` tokens.
    """

    def __init__(self, model: LanguageModel, settings: Settings) -> None:
        """Raises UserError where the model does not run on transformers."""
        refuse_other_engine(model, "contrastive")
        self.model: Any = model
        self._k, self._alpha = settings.top_k, settings.penalty_alpha
        self._ids: list[int] = []  # what was read; behind it in the cache stand the candidates, one a row
        self._candidates: list[int] = []
        self._cache: Any = None
        self._logits: Any = None  # (k, V) after each candidate
        self._states: Any = None  # (T, D) of length 1, of what was read
        self._new_states: Any = None  # (k, D) of the candidates

    def next_logits(self, ids: Sequence[int]) -> np.ndarray:
        """The equation's score of the candidates, -inf for all other tokens."""
        import torch

        ids = list(ids)
        with torch.inference_mode():
            logits = self._take(ids) if self._follows(ids) else self._read(ids)  # (V,)
            self._ids = []  # an error on the way leaves the cache in an unknown state
            probabilities, candidates = logits.float().softmax(-1).topk(min(self._k, len(logits)))
            self._cache.batch_repeat_interleave(len(candidates))
            self._logits, states = self._run(candidates[:, None])
            self._new_states = states[:, -1]  # (k, D)
            likeness = (self._new_states @ self._states.T).amax(-1)  # (k,)
            scores = (1 - self._alpha) * probabilities - self._alpha * likeness
        self._ids, self._candidates = ids, candidates.tolist()
        all_scores = np.full(len(logits), -np.inf, dtype=np.float32)
        all_scores[self._candidates] = scores.cpu().numpy()
        return all_scores

    def _follows(self, ids: list[int]) -> bool:
        return ids[:-1] == self._ids and ids[-1] in self._candidates

    def _read(self, ids: list[int]) -> Any:
        """Read a text from the beginning; logits (V,) after it."""
        import torch
        from transformers import DynamicCache

        self._cache = DynamicCache(config=self.model.network.config)
        logits, states = self._run(torch.tensor([ids], device=self.model.device))
        self._states = states[0]
        return logits[0]

    def _take(self, ids: list[int]) -> Any:
        """Keep the candidate that was chosen, and its row of the cache; logits (V,) after it."""
        import torch

        row = self._candidates.index(ids[-1])
        self._cache.batch_select_indices(torch.tensor([row], device=self.model.device))
        self._states = torch.cat([self._states, self._new_states[row : row + 1]])
        return self._logits[row]

    def _run(self, ids: Any) -> tuple[Any, Any]:
        """Logits (B, V) after each row, and the last hidden states (B, T, D) of its tokens, of length 1."""
        out = self.model.network(
            ids, past_key_values=self._cache, use_cache=True, output_hidden_states=True, logits_to_keep=1
        )
        states = out.hidden_states[-1].float()
        return out.logits[:, -1], states / states.norm(dim=-1, keepdim=True)


def refuse_other_engine(model: LanguageModel, strategy: str) -> None:
    """Raise UserError where the model does not run on transformers."""
    if model.backend != "transformers":
        raise UserError(
            f"--strategy {strategy}: needs --backend transformers: the {model.backend} engine gives no more than logits"
        )


def _numbers(logits: Any) -> np.ndarray:
    return logits.float().cpu().numpy().astype(np.float64)
