"""From logits to text, one token at a time: what is shown at once, and when the writing ends.

    session = load_language_model("smollm2").session()
    for piece in Stream(session, session.model.encode("Once upon a time"), max_new_tokens=40):
        print(piece, end="")

Which token comes next is decided by a function `choose(logits, ids)`; here is only the plainest one, `greedy`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np

# The logits (V,) in fp32 after the tokens `ids`, prompt included -> the next token.
Choose = Callable[[np.ndarray, Sequence[int]], int]
Reason = Literal["end", "stop", "length", "window", "cancelled"]

INCOMPLETE = "\ufffd"  # what a tokenizer writes for bytes that are no whole character
CONTEXT_TOKENS = 4  # enough of what stands before for a tokenizer to know whether a word begins


class Session(Protocol):
    """A model at work on one text. It remembers what it has read: a text that goes on costs only what is new."""

    model: Any
    """The LanguageModel it belongs to."""

    def next_logits(self, ids: Sequence[int]) -> np.ndarray:
        """Logits (V,) in fp32 of the token after `ids`.

        Of the ids of the call before, the longest common beginning is not read again. Raises ValueError for no ids,
        or for more than the window holds.
        """

    def last_logits(self, ids: Sequence[int], n: int) -> np.ndarray:
        """Logits (n, V) after each of the last `n` ids; those are read anew. `next_logits` is the last row."""


def greedy(logits: np.ndarray, ids: Sequence[int]) -> int:
    """The likeliest token of logits (V,)."""
    return int(logits.argmax())


class Stream:
    """The pieces of text that a session writes after a prompt, as they come. Iterate over it once.

    Pieces are whole characters. What could be the beginning of a stop string is held back until it is clear that it is
    none, and a stop string is never shown. An exception in `choose` or in the model reaches whoever iterates, and what
    was written so far stays in `text`.
    """

    def __init__(
        self,
        session: Session,
        prompt_ids: Sequence[int],
        choose: Choose = greedy,
        *,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """`cancelled` is asked before each token. Raises ValueError where the prompt leaves no room in the window."""
        model = session.model
        if not 0 < len(prompt_ids) < model.context:
            raise ValueError(f"a prompt of {len(prompt_ids)} tokens: give at least 1, and fewer than {model.context}")
        self.text = ""
        """What was written, all pieces together."""
        self.ids: list[int] = []
        """The tokens behind it; a stop string or end token that ended it is included."""
        self.reason: Reason | None = None
        """Why it ended: the model's end token, a stop string, the given length, a full window, or `cancelled`."""
        self._session, self._prompt, self._choose = session, list(prompt_ids), choose
        self._most, self._cancelled = max_new_tokens, cancelled
        self._writer = TextWriter(model.decode, prompt_ids, stop)

    def __iter__(self) -> Iterator[str]:
        model = self._session.model
        ids = list(self._prompt)
        while self.reason is None:
            if self._cancelled():
                self.reason = "cancelled"
            elif len(self.ids) >= self._most:
                self.reason = "length"
            elif len(ids) >= model.context:
                self.reason = "window"
            else:
                token = self._choose(self._session.next_logits(ids), ids)
                ids.append(token)
                self.ids.append(token)
                if token in model.stop_ids:
                    self.reason = "end"
                elif piece := self._writer.add(token):
                    self.text += piece
                    yield piece
                if self._writer.stopped:
                    self.reason = "stop"
        if piece := self._writer.rest():
            self.text += piece
            yield piece


class TextWriter:
    """Tokens in, text out: whole characters only, up to the first stop string."""

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt_ids: Sequence[int], stop: Sequence[str]) -> None:
        """Raises ValueError for an empty stop string."""
        if not all(stop):
            raise ValueError("an empty stop string: it would stop before the first character")
        self.stopped = False
        self._decode, self._stop = decode, tuple(stop)
        # A few tokens of context come along, since some tokenizers drop the space at the beginning of a text.
        self._ids = list(prompt_ids)[-CONTEXT_TOKENS:]
        self._written = len(self._ids)  # so many of these are in the text already
        self._held = ""  # what could become a stop string

    def add(self, token: int) -> str:
        """The text that is certain now, often empty."""
        self._ids.append(token)
        new = self._new_text()
        if new.endswith(INCOMPLETE):  # half a character: the next token may complete it
            return ""
        self._ids = self._ids[-CONTEXT_TOKENS:]
        self._written = len(self._ids)
        return self._release(new)

    def rest(self) -> str:
        """What was held back, when no more comes. Half a character is left out."""
        if self.stopped:
            return ""
        text = self._release(self._new_text().rstrip(INCOMPLETE))
        text, self._held = (text, "") if self.stopped else (text + self._held, "")
        return text

    def _new_text(self) -> str:
        return self._decode(self._ids).removeprefix(self._decode(self._ids[: self._written]))

    def _release(self, new: str) -> str:
        text = self._held + new
        found = [place for place in (text.find(stop) for stop in self._stop) if place >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` could be the beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
