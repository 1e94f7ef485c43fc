"""Search a collection of photos by words and by pictures, added and subtracted, and stop where nothing fits any more.

    search = ImageSearch(load_space(), ImageIndex("photos.index"))
    found = search.search(Query(texts=("a dog on a beach",), not_texts=("people",)))
    for hit in found.hits:
        print(hit.path, hit.cosine, hit.near_duplicates)

A search that always gives k photos gives nonsense for what the collection does not hold. So the list ends where a
photo's cosine falls below a share of the best one's, both measured from what is usual for this very query (the median
over up to 1000 photos of the collection), and below what a fitting photo has at least: the space's own floor, where it
was measured, else three spreads above the usual. The spread is that of the lower half, which stays the same when many
photos fit.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from multimodal_llm.clip_applications.duplicates import fold
from multimodal_llm.clip_applications.image_index import Found
from multimodal_llm.clip_applications.query import Query, Space

SPREADS = 3.0
"""Above the usual, that a photo must have in a space without a floor."""
KEPT = 0.7
"""Share of the best photo's height above the usual that each other must have."""
FEW = 50
"""Photos below which "usual" means nothing: then the floor alone decides, and without one all are given."""
DEPTH = 4  # photos that are looked at for each that is asked for: near-duplicates are folded


class Index(Protocol):
    """What a search asks of an index, on this machine or on a server."""

    def __len__(self) -> int: ...
    def search(self, vector: np.ndarray, n: int) -> list[Found]:
        """The n photos nearest to a vector (D,), the nearest first."""

    def usual(self, vector: np.ndarray) -> np.ndarray:
        """The cosines (S,) of a sample of the photos with a vector (D,)."""


@dataclass(frozen=True)
class Hit:
    """A photo that was found."""

    path: str
    cosine: float
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
        self.floor: float | None = getattr(space, "floor", None)

    def search(self, query: Query, k: int = 20, *, cut: bool = True, folded: bool = True) -> Results:
        """At most k photos, fewer where the rest does not fit; with `cut` false always k, if there are so many.

        Raises UserError where the query asks for nothing. An empty collection gives empty results.
        """
        vector = query.vector(self.space)
        found = self.index.search(vector, k * DEPTH)
        if not found:
            return Results()
        cosines = np.array([one.cosine for one in found])
        n = fitting(cosines, self.index.usual(vector), self.floor) if cut else len(found)
        groups = fold([one.looks for one in found[: max(n, 1)]], np.stack([one.vector for one in found[: max(n, 1)]]))
        if not folded:
            groups = [[number] for number in range(max(n, 1))]
        hits = [
            Hit(
                found[best].path,
                found[best].cosine,
                tuple(found[other].path for other in others),
            )
            for best, *others in groups[:k]
        ]
        return Results(hits if n else [], None if n else hits[0], len(self.index))


def fitting(cosines: np.ndarray, usual: np.ndarray, floor: float | None = None, kept: float = KEPT) -> int:
    """How many of a query's photos fit, by their cosines (N,) in descending order and the usual ones (M,) in any order.

    >>> usual = np.linspace(-0.1, 0.1, 100)
    >>> fitting(np.array([0.6, 0.5, 0.44, 0.3]), usual)
    3
    >>> fitting(np.array([0.6, 0.5, 0.44, 0.3]), usual, floor=0.7)
    0
    """
    if len(usual) < FEW:
        return len(cosines) if floor is None else int((cosines >= floor).sum())
    middle, low = np.quantile(usual, [0.5, 0.16])  # a standard deviation apart, if the usual ones were normal
    least = middle + SPREADS * (middle - low) if floor is None else floor
    if cosines[0] < least:
        return 0
    height = max(cosines[0] - middle, 0.0)
    return int((cosines >= max(least, cosines[0] - (1 - kept) * height)).sum())
