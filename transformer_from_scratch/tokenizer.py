"""Characters as numbers: the simplest tokenizer, with one id for every character it does not know."""

from collections import Counter
from pathlib import Path

import numpy as np

from shared.errors import UserError
from shared.files import write_json
from shared.runs import read_json

FILE = "tokenizer.json"
UNKNOWN = "\ufffd"  # Unicode's own replacement character, id 0


class CharTokenizer:
    """Maps each known character to its id and back.

    `characters` are those of ids 1, 2, ...; id 0 stands for all others and is never generated. Raises ValueError where
    one is given twice.
    """

    def __init__(self, characters: str) -> None:
        self.characters = UNKNOWN + characters
        if len(set(self.characters)) != len(self.characters):
            raise ValueError("a character appears twice: give each once, and not the replacement character")
        self._ids = np.zeros(0x110000, dtype=np.int32)  # one entry a Unicode code point, 0 = unknown
        self._ids[_code_points(characters)] = np.arange(1, len(self.characters), dtype=np.int32)

    @classmethod
    def train(cls, text: str, vocabulary: int) -> "CharTokenizer":
        """Know the `vocabulary` - 1 most frequent characters of `text`."""
        frequent = Counter(text.replace(UNKNOWN, "")).most_common(vocabulary - 1)
        return cls("".join(sorted(character for character, _ in frequent)))

    @classmethod
    def load(cls, folder: Path) -> "CharTokenizer":
        """Read it back. Raises UserError where the file is missing or damaged."""
        try:
            return cls(read_json(folder / FILE)["characters"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{folder / FILE}: damaged: restore it or train anew") from error

    def save(self, folder: Path) -> None:
        write_json(folder / FILE, {"characters": self.characters[1:]})

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        """Ids (n,) int32, one a character."""
        return self._ids[_code_points(text)]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.characters[i] for i in ids)


def _code_points(text: str) -> np.ndarray:
    # A lone surrogate, as in badly escaped JSON, is a character like any other here.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
