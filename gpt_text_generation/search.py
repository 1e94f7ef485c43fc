"""Two searches that look further than the next token, for one text or several at once, and as sessions for a Stream.

    search = BeamSearch(model, settings, max_new_tokens=40)
    print("".join(Stream(search, ids, max_new_tokens=40)))              # as a session, with `greedy`
    print([model.decode(new) for new in search.search([ids, others])])  # several texts, in steps that they share

Both need more than logits, several texts at once and hidden states, so they run on the transformers engine only.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from gpt_text_generation.decoding import Settings, penalise
from shared.errors import UserError
from shared.language_model import LanguageModel, Rows, TransformersModel


class Beam(NamedTuple):
    """A text under way, or a finished one, whose score is divided by its length."""

    score: float
    new: list[int]
    row: int = 0
    """Which of the beams before it goes on in it."""


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
        self.model = on_transformers(model, "beam_search")
        self._settings, self._most, self._cancelled = settings, max_new_tokens, cancelled
        self._found: list[int] = []  # the prompt and the text
        self._given = 0  # so many of them are known to whoever asks

    @property
    def has_more(self) -> bool:
        """Whether tokens were found that are not given out yet."""
        return self._given < len(self._found)

    def next_logits(self, ids: Sequence[int]) -> np.ndarray:
        """1 for the next token of the text found, 0 for the others."""
        if list(ids) != self._found[: len(ids)] or len(ids) >= len(self._found):
            self._found = [*ids, *self.search([ids])[0]]
        scores = np.zeros(self.model.vocabulary, dtype=np.float32)
        scores[self._found[len(ids)]] = 1
        self._given = len(ids) + 1
        return scores

    def search(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """The new tokens of each prompt's best text, its end token included. The beams of all share each step."""
        texts = [_Beams(self.model, self._settings, prompt, self._most) for prompt in prompts]
        rows, live = Rows(self.model), texts
        logits = rows.read(prompts).cpu().numpy().astype(np.float64)  # (B, V): of each text its beams, then the next's
        while True:
            starts = np.cumsum([0, *(len(text.beams) for text in live)]).tolist()
            for text, start in zip(live, starts[:-1], strict=True):
                text.take(logits[start : start + len(text.beams)])
            going = [(text, start) for text, start in zip(live, starts[:-1], strict=True) if not text.done]
            if not going or self._cancelled():
                return [text.best for text in texts]
            parents = [start + beam.row for text, start in going for beam in text.beams]
            live = [text for text, _ in going]
            tokens = [beam.new[-1] for text in live for beam in text.beams]
            logits = rows.go_on(parents, tokens).cpu().numpy().astype(np.float64)


class _Beams:
    """The beams of one prompt, and the texts that it has finished."""

    def __init__(self, model: LanguageModel, settings: Settings, prompt: Sequence[int], max_new_tokens: int) -> None:
        self.beams, self.finished, self.done = [Beam(0.0, [])], [], False
        self._settings, self._prompt, self._ends = settings, prompt, model.stop_ids
        self._length, self._most = 0, min(max_new_tokens, model.context - len(prompt))

    @property
    def best(self) -> list[int]:
        return (self.finished or self.beams)[0].new

    def take(self, logits: np.ndarray) -> None:
        """Go on by a token, from the logits (n, V) after each of the n beams."""
        n = self._settings.num_beams
        self._length += 1
        # Among so many there are always `n` that do not end, even if every beam's likeliest token is an end.
        candidates = self._best(logits, wide=max(2, 1 + len(self._ends)) * n)
        ended = [self._length == self._most or each.new[-1] in self._ends for each in candidates]
        # Only the best `n` may finish: the others are there as a reserve.
        for each, is_end in zip(candidates[:n], ended[:n], strict=True):
            if is_end:
                self.finished.append(Beam(self._divided(each.score), each.new))
        self.finished = sorted(self.finished, key=lambda each: -each.score)[:n]
        self.beams = [each for each, is_end in zip(candidates, ended, strict=True) if not is_end][:n]
        self.done = not self.beams or self._enough()

    def _enough(self) -> bool:
        if len(self.finished) < self._settings.num_beams:
            return False
        return self._settings.early_stopping or self._divided(self.beams[0].score) <= self.finished[-1].score

    def _divided(self, score: float) -> float:
        return score / self._length**self._settings.length_penalty

    def _best(self, logits: np.ndarray, wide: int) -> list[Beam]:
        """The best continuations of all beams, the best first."""
        peak = logits.max(axis=1, keepdims=True)
        likely = logits - peak - np.log(np.exp(logits - peak).sum(axis=1, keepdims=True))  # (n, V)
        before = [[*self._prompt, *beam.new] for beam in self.beams]
        likely = np.stack([penalise(row, ids, self._settings) for row, ids in zip(likely, before, strict=True)])
        total = (likely + np.array([beam.score for beam in self.beams])[:, None]).ravel()  # (n V,)
        wide = min(wide, len(total))
        best = np.argpartition(total, -wide)[-wide:]
        best = best[np.argsort(-total[best], kind="stable")]
        rows, tokens = np.divmod(best, logits.shape[1])
        return [
            Beam(float(total[place]), [*self.beams[row].new, int(token)], int(row))
            for place, row, token in zip(best, rows, tokens, strict=True)
        ]


class ContrastiveSearch:
    """Chooses, of the likeliest tokens, one that is not like what stands there already.

    Su et al. 2022, equation 5, https://arxiv.org/abs/2202.06417: of the `top_k` likeliest tokens v the one with the
    greatest (1 - alpha) p(v) - alpha max s(v, x), where s is the cosine between the last hidden states of v and of each
    token x before it. To know the hidden state of a candidate it must be read: each step reads `top_k` tokens a text.
    """

    def __init__(self, model: LanguageModel, settings: Settings) -> None:
        """Raises UserError where the model does not run on transformers."""
        self.model = on_transformers(model, "contrastive")
        self._k, self._alpha = settings.top_k, settings.penalty_alpha
        self._rows = Rows(self.model, with_states=True)
        self._texts: list[list[int]] = []  # what was read; behind each stand its candidates, one a row
        self._candidates: list[list[int]] = []
        self._logits: Any = None  # (B k, V) after each candidate
        self._states: list[Any] = []  # of each text (T, D), of length 1
        self._new_states: Any = None  # (B k, D) of the candidates

    def next_logits(self, ids: Sequence[int]) -> np.ndarray:
        """The equation's score of the candidates, -inf for all other tokens."""
        return self.scores([list(ids)])[0]

    def search(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        """The new tokens of each prompt's text, its end token included. The texts share each step."""
        texts = [list(prompt) for prompt in prompts]
        live = texts
        for _ in range(max_new_tokens):
            for text, scores in zip(live, self.scores(live), strict=True):
                text.append(int(scores.argmax()))
            live = [text for text in live if text[-1] not in self.model.stop_ids and len(text) < self.model.context]
            if not live:
                break
        return [text[len(prompt) :] for text, prompt in zip(texts, prompts, strict=True)]

    def scores(self, texts: list[list[int]]) -> np.ndarray:
        """Scores (B, V) of the tokens after each text. Texts that go on, all or some of them, are not read again."""
        import torch

        parents = self._followed(texts)
        self._texts = []  # an error on the way leaves the cache in an unknown state
        with torch.inference_mode():
            if parents is None:
                logits = self._rows.read(texts)  # (B, V)
                states = zip(_of_length_1(self._rows.states), texts, strict=True)
                self._states, parents = [each[-len(text) :] for each, text in states], list(range(len(texts)))
            else:
                logits = self._logits[parents]
                self._states = [
                    torch.cat([self._states[row // self._each], self._new_states[row : row + 1]]) for row in parents
                ]
            probabilities, candidates = logits.softmax(-1).topk(min(self._k, logits.shape[-1]))  # (B, k)
            k = candidates.shape[1]
            self._logits = self._rows.go_on(np.repeat(parents, k).tolist(), candidates.flatten().tolist())
            self._new_states = _of_length_1(self._rows.states[:, -1])  # (B k, D)
            alike = zip(self._new_states.split(k), self._states, strict=True)
            likeness = torch.stack([(new @ before.T).amax(-1) for new, before in alike])  # (B, k)
            scores = (1 - self._alpha) * probabilities - self._alpha * likeness
        self._texts, self._candidates = [list(text) for text in texts], candidates.tolist()
        all_scores = np.full((len(texts), logits.shape[-1]), -np.inf, dtype=np.float32)
        np.put_along_axis(all_scores, candidates.cpu().numpy(), scores.cpu().numpy(), axis=1)
        return all_scores

    @property
    def _each(self) -> int:
        """Candidates of a text."""
        return len(self._candidates[0])

    def _followed(self, texts: list[list[int]]) -> list[int] | None:
        """The row of the candidate that each text has taken; None where one is no text of the call before, gone on."""
        before = {tuple(text): place for place, text in enumerate(self._texts)}
        rows = []
        for text in texts:
            place = before.get(tuple(text[:-1]))
            if place is None or text[-1] not in self._candidates[place]:
                return None
            rows.append(place * self._each + self._candidates[place].index(text[-1]))
        return rows


def on_transformers(model: LanguageModel, strategy: str) -> TransformersModel:
    """The model, which runs on transformers. Raises UserError where it does not."""
    if model.backend != "transformers":
        raise UserError(
            f"--strategy {strategy}: needs --backend transformers: the {model.backend} engine gives no more than logits"
        )
    return cast("TransformersModel", model)


def _of_length_1(states: Any) -> Any:
    return states / states.norm(dim=-1, keepdim=True)
