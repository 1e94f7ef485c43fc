"""BM25 over an index that can be added to and deleted from at any time, with scores as if it were built anew.

score(q, d) = sum over the terms t of q of  idf(t) * tf / (tf + k1 * (1 - b + b * length(d) / mean length))
idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5))

That is Lucene's form (Robertson and Zaragoza 2009, section 3, without the constant factor k1 + 1; Kamphuis et al. 2020
compare the forms), with exact document lengths where Lucene keeps one byte of them. N, df and the mean length change
with every addition. So nothing that depends on them is stored, other than in libraries that compute each score ahead
(bm25s): an index holds, for each term, the documents that have it and how often, and a search does the arithmetic.
"""

import math
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


class _Postings:
    """The documents that have a term, by ascending slot, and how often each has it."""

    __slots__ = ("counts", "slots")

    def __init__(self) -> None:
        self.slots, self.counts = array("q"), array("d")

    def insert(self, slot: int, count: int) -> None:
        if not self.slots or slot > self.slots[-1]:
            self.slots.append(slot)
            self.counts.append(count)
        else:
            place = bisect_left(self.slots, slot)
            self.slots.insert(place, slot)
            self.counts.insert(place, count)

    def delete(self, slot: int) -> None:
        place = bisect_left(self.slots, slot)
        del self.slots[place], self.counts[place]


class SparseIndex:
    """Documents as lists of terms, by integer id. Not for several threads at once: the store that owns it locks."""

    def __init__(self, k1: float = 1.2, b: float = 0.75) -> None:
        self.k1, self.b = k1, b
        self._postings: dict[str, _Postings] = {}
        # A document's slot is its place in the arrays; a deleted one's is used again.
        self._slot: dict[int, int] = {}
        self._terms: dict[int, tuple[str, ...]] = {}
        self._ids = np.empty(0, dtype=np.int64)
        self._lengths = np.empty(0)
        self._free: list[int] = []
        self._total_length = 0
        self._penalty: np.ndarray | None = None  # what a slot adds to tf below the line, until something changes

    def __len__(self) -> int:
        return len(self._slot)

    def add(self, documents: Iterable[tuple[int, Sequence[str]]]) -> None:
        """Add documents, each an id and its terms. Raises ValueError for an id that is in the index already."""
        for identity, terms in documents:
            if identity in self._slot:
                raise ValueError(f"document {identity} is in the index already: remove it first")
            counts = Counter(terms)
            slot = self._take_slot()
            for term, count in counts.items():
                self._postings.setdefault(term, _Postings()).insert(slot, count)
            self._slot[identity], self._terms[identity] = slot, tuple(counts)
            self._ids[slot], self._lengths[slot] = identity, len(terms)
            self._total_length += len(terms)
        self._penalty = None

    def remove(self, identities: Iterable[int]) -> None:
        """Remove documents. Raises KeyError for an id that is not in the index."""
        for identity in identities:
            slot = self._slot.pop(identity)
            for term in self._terms.pop(identity):
                postings = self._postings[term]
                postings.delete(slot)
                if not postings.slots:
                    del self._postings[term]
            self._total_length -= int(self._lengths[slot])
            self._ids[slot], self._lengths[slot] = -1, 0
            self._free.append(slot)
        self._penalty = None

    def idf(self, term: str) -> float:
        """How much a term tells: near 0 for one that every document has, most for one that none has."""
        postings = self._postings.get(term)
        df = len(postings.slots) if postings else 0
        return math.log1p((len(self) - df + 0.5) / (df + 0.5))

    def possible(self, query: Sequence[str]) -> float:
        """What no document's score can reach: the sum of the idf of the query's terms, above 0."""
        return sum(map(self.idf, query))

    def search(
        self, query: Sequence[str] | Mapping[str, float], k: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and scores, at most (k,), of the best documents that share a term with the query; equal ones by id.

        `query` is a list of terms, or terms with weights; `among` (ids) restricts what may be found.
        """
        scores = self._scores(query)
        if among is not None:
            allowed = np.zeros(len(scores), dtype=bool)
            allowed[[self._slot[identity] for identity in among.tolist() if identity in self._slot]] = True
            scores = np.where(allowed, scores, 0)
        found = np.flatnonzero(scores)
        if len(found) > k:
            # All that score as much as the k-th, so that the id decides among equals.
            found = found[scores[found] >= np.partition(scores[found], -k)[-k]]
        ids, values = self._ids[found], scores[found]
        order = np.lexsort((ids, -values))[:k]
        return ids[order], values[order]

    def scores_of(self, query: Sequence[str] | Mapping[str, float], identities: Iterable[int]) -> np.ndarray:
        """The scores (N,) of these documents, 0 for one that shares no term with the query."""
        return self._scores(query)[[self._slot[int(identity)] for identity in identities]]

    def _scores(self, query: Sequence[str] | Mapping[str, float]) -> np.ndarray:
        """The score of every slot."""
        weights = query if isinstance(query, Mapping) else Counter(query)
        known = [
            (self._postings[term], weight * self.idf(term))
            for term, weight in weights.items()
            if term in self._postings
        ]
        if not known:
            return np.zeros(len(self._ids))
        if self._penalty is None:
            mean_length = self._total_length / len(self)
            self._penalty = self.k1 * (1 - self.b + self.b * self._lengths / mean_length)
        slots = np.concatenate([np.frombuffer(postings.slots, dtype=np.int64) for postings, _ in known])
        counts = np.concatenate([np.frombuffer(postings.counts) for postings, _ in known])
        factors = np.repeat([factor for _, factor in known], [len(postings.slots) for postings, _ in known])
        gains = factors * counts / (counts + self._penalty[slots])
        return np.bincount(slots, gains, minlength=len(self._ids))

    def _take_slot(self) -> int:
        if self._free:
            return self._free.pop()
        used = len(self._slot)  # every slot below is taken
        if used == len(self._ids):
            more = max(64, used)
            self._ids = np.concatenate([self._ids, np.full(more, -1)])
            self._lengths = np.concatenate([self._lengths, np.zeros(more)])
        return used
