"""Near-duplicates: the same photo in another size, format or compression, and shots of one moment.

The difference hash (Krawetz 2013, "Kind of like that", hackerfactor.com) shrinks a photo to 9x8 grey values and notes
for each whether the next one to the right is brighter: 64 bits that hardly change when a photo is scaled, compressed or
brightened. Two photos are near-duplicates where few of the bits differ and the vectors agree too: the hash alone would
join any two flat skies, and vectors alone any two of the same kind of scene.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

MOST_BITS = 8
"""Of 64 that may differ."""
LEAST_COSINE = 0.9
"""Of the vectors, at least."""


def difference_hash(image: Image.Image) -> int:
    """The 64 bits as a signed integer, which is what SQLite holds."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = (grey[:, 1:] > grey[:, :-1]).flatten()
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)


def bits_apart(one: int, other: int) -> int:
    """In how many of 64 bits two hashes differ.

    >>> bits_apart(-1, 0), bits_apart(5, 4)
    (64, 1)
    """
    return ((one ^ other) & (2**64 - 1)).bit_count()


def fold(looks: Sequence[int], vectors: np.ndarray) -> list[list[int]]:
    """Groups of near-duplicates among N photos, given best first with hashes and vectors (N, width) of length 1.

    Each group is led by its best photo, and the groups stand in the order of their leaders: nothing is lost, and each
    photo is in one group.
    """
    groups: list[list[int]] = []
    for number, own in enumerate(looks):
        for group in groups:
            leader = group[0]
            if bits_apart(own, looks[leader]) <= MOST_BITS and vectors[number] @ vectors[leader] >= LEAST_COSINE:
                group.append(number)
                break
        else:
            groups.append([number])
    return groups
