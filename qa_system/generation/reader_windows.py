"""Questions and passages as a reader sees them, and its scores back as a place in the passage.

Letters in shapes: B windows, T tokens of the longest. A window is `[CLS] question [SEP] passage [SEP]`. A passage that
is too long for one goes into several that overlap, and its answer is the best of theirs.

Each token has a type. BERT tells question (0) from passage (1); we also tell which words stand in both: 2 for those of
the passage, 3 for those of the question. To find that out by itself a small network would need far more questions than
we have (the exact-match feature of DrQA, arXiv 1704.00051, section 3.2).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qa_system.retrieval.text_analysis import STOP_WORDS

MOST_TOKENS, QUESTION_TOKENS, STRIDE = 384, 64, 128
LONGEST_ANSWER = 24  # tokens
TYPES = 4


class Example(NamedTuple):
    """A question put to a passage, and where its answer stands: several people may have marked different places."""

    question: str
    passage: str
    answers: tuple[tuple[int, int], ...]
    """Start and end by character, one for each person; none where the passage has no answer."""
    id: str = ""
    article: str = ""


class Window(NamedTuple):
    """What fits into the reader at once."""

    example: int
    """Its place in the list of examples."""
    ids: list[int]
    types: list[int]
    first: int
    """Where the passage begins among the ids."""
    offsets: list[tuple[int, int]]
    """The characters of each of the passage's tokens here."""


class Windows:
    """Cuts examples into windows with the encoder's own tokenizer."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.cls, self.sep, self.pad = (self.tokenizer.token_to_id(f"[{name}]") for name in ("CLS", "SEP", "PAD"))
        vocabulary = self.tokenizer.get_vocab()
        self._content = {
            number
            for word, number in vocabulary.items()
            if (bare := word.removeprefix("##")).isalnum() and bare not in STOP_WORDS
        }

    def cut(self, examples: Sequence[Example]) -> list[Window]:
        """All windows, those of one example behind each other."""
        questions = self._encode([example.question for example in examples])
        texts = list(dict.fromkeys(example.passage for example in examples))
        passages = dict(zip(texts, self._encode(texts), strict=True))
        windows: list[Window] = []
        for place, (example, asked) in enumerate(zip(examples, questions, strict=True)):
            windows += self._windows(place, asked.ids[:QUESTION_TOKENS], passages[example.passage])
        return windows

    def _encode(self, texts: Sequence[str]) -> list[Any]:
        return self.tokenizer.encode_batch(list(texts), add_special_tokens=False)

    def _windows(self, place: int, question: list[int], passage: Any) -> Iterator[Window]:
        room = MOST_TOKENS - len(question) - 3
        asked = self._content.intersection(question)
        for start in range(0, max(len(passage.ids) - STRIDE, 1), room - STRIDE):
            part = passage.ids[start : start + room]
            both = asked.intersection(part)
            types = [0, *(3 if token in both else 0 for token in question), 0]
            types += [*(2 if token in both else 1 for token in part), 1]
            ids = [self.cls, *question, self.sep, *part, self.sep]
            yield Window(place, ids, types, len(question) + 2, passage.offsets[start : start + room])
            if start + room >= len(passage.ids):
                return


def token_spans(window: Window, answers: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """First and last token of each answer that lies in the window whole, as places among its ids."""
    starts, ends = [first for first, _ in window.offsets], [last for _, last in window.offsets]
    spans = []
    for start, end in answers:
        first, last = bisect_right(ends, start), bisect_left(starts, end) - 1
        if starts and starts[0] <= start and end <= ends[-1] and first <= last:
            spans.append((window.first + first, window.first + last))
    return spans


class Span(NamedTuple):
    """The best place of a passage for a question, by character, and two signs of whether it is an answer at all."""

    start: int
    end: int
    score: float
    """Start and end logit together, above those of "no answer"; anything from -20 to 20."""
    answerable: float
    """The logit of the head that only says whether there is an answer."""


def best_span(window: Window, start: np.ndarray, end: np.ndarray, answerable: float) -> Span:
    """The span with the highest sum of start and end logits (T,) among those of at most 24 tokens."""
    first, n = window.first, len(window.offsets)
    if n == 0:
        return Span(0, 0, float("-inf"), float(answerable))
    sums = start[first : first + n, None] + end[None, first : first + n]  # (n, n)
    sums = np.triu(sums + 1e4) - np.triu(sums + 1e4, LONGEST_ANSWER)  # 0 outside the band
    best = int(sums.argmax())
    i, j = divmod(best, n)
    score = start[first + i] + end[first + j] - start[0] - end[0]
    return Span(window.offsets[i][0], window.offsets[j][1], float(score), float(answerable))
