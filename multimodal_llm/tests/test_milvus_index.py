"""The index on Milvus, with milvus-lite in a file: the same answers as the index on this machine."""

import numpy as np
import pytest

from multimodal_llm.clip_applications.image_index import Broken, ImageIndex, Photo
from shared.errors import UserError

WIDTH = 8
SETTINGS = {"space": "test", "fingerprint": "v1", "width": str(WIDTH)}


def vectors(n: int) -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((n, WIDTH)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture
def both(tmp_path):
    pytest.importorskip("milvus_lite")
    from multimodal_llm.clip_applications.milvus_index import MilvusIndex

    made = MilvusIndex(str(tmp_path / "photos.db"), SETTINGS), ImageIndex(tmp_path / "index", SETTINGS)
    yield made
    for index in made:
        index.close()


@pytest.mark.slow
def test_both_indexes_hold_and_find_the_same_after_the_same_changes(both):
    photos = [Photo(f"/photos/{n}.jpg", n, n, f"content {n}", n) for n in range(40)]
    for index in both:
        index.put(photos, vectors(40), [Broken("/photos/bad.jpg", 1, 1, "cut short")])
        index.remove([photos[3].path])
        index.move([(photos[4].path, Photo("/photos/moved.jpg", 4, 9, "content 4", 4))])
        index.put([photos[5]], vectors(41)[-1:])
        index.reload()
    milvus, local = both
    assert len(milvus) == len(local) == 39
    assert milvus.photos() == local.photos()
    assert milvus.broken() == local.broken()
    query = vectors(50)[-1]
    ours, theirs = local.search(query, 10), milvus.search(query, 10)
    assert [one.path for one in theirs] == [one.path for one in ours]
    assert [one.cosine for one in theirs] == pytest.approx([one.cosine for one in ours], abs=1e-3)
    assert milvus.vector("/photos/moved.jpg") == pytest.approx(vectors(40)[4], abs=1e-3)
    assert np.sort(milvus.usual(query)) == pytest.approx(np.sort(local.usual(query)), abs=1e-3)
    with pytest.raises(KeyError):
        milvus.vector(photos[3].path)


@pytest.mark.slow
def test_an_index_of_another_space_is_refused(both, tmp_path):
    from multimodal_llm.clip_applications.milvus_index import MilvusIndex

    with pytest.raises(UserError, match="its fingerprint is v1, not v2"):
        MilvusIndex(both[0].folder, {**SETTINGS, "fingerprint": "v2"})
    with pytest.raises(UserError, match="there is no index"):
        MilvusIndex(str(tmp_path / "other.db"))
