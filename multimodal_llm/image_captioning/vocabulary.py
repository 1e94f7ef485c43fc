"""The words a captioner can say, by number."""

from collections import Counter
from collections.abc import Iterable, Sequence

from multimodal_llm.image_captioning.caption_evaluation import words

PADDING, START, END, UNKNOWN = range(4)
SPECIAL = ("<padding>", "<start>", "<end>", "<unknown>")
MIN_COUNT = 5
"""A word that people wrote less often is not learnt."""


class Vocabulary:
    """Words to numbers and back; the first four numbers are no words.

    >>> vocabulary = Vocabulary(["a", "dog"])
    >>> vocabulary.encode("A dog barks.")
    [1, 4, 5, 3, 2]
    >>> vocabulary.decode([4, 5, 2, 0])
    'a dog'
    """

    def __init__(self, known: Sequence[str]) -> None:
        self.words = (*SPECIAL, *known)
        self.numbers = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def of(cls, captions: Iterable[str], min_count: int = MIN_COUNT) -> "Vocabulary":
        """The words that these captions hold at least `min_count` times, the most frequent first."""
        counts = Counter(word for caption in captions for word in words(caption))
        kept = [(-count, word) for word, count in counts.items() if count >= min_count]
        return cls([word for _, word in sorted(kept)])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, caption: str) -> list[int]:
        """The caption's words by number, between START and END."""
        return [START, *(self.numbers.get(word, UNKNOWN) for word in words(caption)), END]

    def decode(self, numbers: Iterable[int]) -> str:
        """The words up to END."""
        said = []
        for number in numbers:
            if number == END:
                break
            if number >= len(SPECIAL):
                said.append(self.words[number])
        return " ".join(said)
