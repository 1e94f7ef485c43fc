"""Search a collection of photos by words and by pictures, added and subtracted, and stop where nothing fits any more.

    search = ImageSearch(load_space(), ImageIndex("photos.index"))
    found = search.search(Query(texts=("a dog on a beach",), not_texts=("people",)))
    for hit in found.hits:
        print(hit.path, hit.cosine, hit.near_duplicates)

A search that always gives k photos gives nonsense for what the collection does not hold. A cosine alone does not tell:
that of the right photo is often below that of a wrong one of another query. So each is compared with what is usual for
this very query, its cosines with up to 1000 photos of the collection: how many standard deviations above their mean.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from multimodal_llm.clip_applications.duplicates import fold
from multimodal_llm.clip_applications.image_index import Found
from multimodal_llm.clip_applications.query import Query, Space

LEAST_Z = 3.0
"""Standard deviations above the usual that the best photo must have; else nothing matches."""
KEPT = 0.7
"""Share of the best photo's z that each other must have."""
FEW = 20
"""Photos below which "usual" means nothing, and all are given."""
DEPTH = 4  # photos that are looked at for each that is asked for: near-duplicates are folded


class Index(Protocol):
    """What a search asks of an index, on this machine or on a server."""

    def __len__(self) -> int: ...
    def search(self, vector: np.ndarray, n: int) -> list[Found]: ...
    def usual(self, vector: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Hit:
    """A photo that was found."""

    path: str
    cosine: float
    z: float | None
    """Standard deviations above what is usual for the query; None in a small collection."""
    near_duplicates: tuple[str, ...] = ()
    """Photos that look almost the same, and are not listed on their own."""


@dataclass(frozen=True)
class Results:
    """What a search found, the best first."""

    hits: list[Hit] = field(default_factory=list)
    closest: Hit | None = None
    """The best photo where none was good enough to be a hit."""
    n_searched: int = 0


class ImageSearch:
    """A space and an index of vectors of that space."""

    def __init__(self, space: Space, index: Index) -> None:
        self.space, self.index = space, index

    def search(self, query: Query, k: int = 20, *, cut: bool = True, folded: bool = True) -> Results:
        """At most k photos, fewer where the rest does not fit; with `cut` false always k, if there are so many.

        Raises UserError where the query asks for nothing. An empty collection gives empty results.
        """
        vector = query.vector(self.space)
        found = self.index.search(vector, k * DEPTH)
        if not found:
            return Results()
        z = self._above_usual(vector, np.array([one.cosine for one in found]))
        n = len(found) if z is None or not cut else fitting(z)
        groups = fold([one.looks for one in found[: max(n, 1)]], np.stack([one.vector for one in found[: max(n, 1)]]))
        if not folded:
            groups = [[number] for number in range(max(n, 1))]
        hits = [
            Hit(
                found[best].path,
                found[best].cosine,
                None if z is None else float(z[best]),
                tuple(found[other].path for other in others),
            )
            for best, *others in groups[:k]
        ]
        return Results(hits if n else [], None if n else hits[0], len(self.index))

    def _above_usual(self, vector: np.ndarray, cosines: np.ndarray) -> np.ndarray | None:
        usual = self.index.usual(vector)
        if len(usual) < FEW:
            return None
        return (cosines - usual.mean()) / max(float(usual.std()), 1e-6)


def fitting(z: np.ndarray, least: float = LEAST_Z, kept: float = KEPT) -> int:
    """How many of a query's photos fit, by their z-scores (N,) in descending order.

    >>> fitting(np.array([6.0, 5.0, 4.3, 4.0, 1.0]))
    3
    >>> fitting(np.array([2.0, 1.9]))
    0
    """
    if len(z) == 0 or z[0] < least:
        return 0
    return int((z >= max(least, kept * z[0])).sum())
