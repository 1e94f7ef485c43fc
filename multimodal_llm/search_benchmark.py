"""`python -m multimodal_llm.benchmark search`: how often is the right photo first, and how fast?

On captions of photos that the space was not trained on, for what is hardly there at all, and in 100,000 random vectors.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multimodal_llm.images import AT_ONCE, load_in_batches
from shared.benchmark import BenchmarkConfig, Outcome
from shared.config import check
from shared.errors import UserError
from shared.logging import progress_bar
from shared.timing import Timer, percentile

SYNTHETIC, SYNTHETIC_QUERIES = 100_000, 200

ABSENT = (
    "an X-ray of a hand", "bacteria under a microscope", "a spiral galaxy", "a plate of sushi", "a stop sign",
    "a page of sheet music", "a bar chart of sales", "the inside of a submarine", "a bowl of tomato soup",
    "a giraffe eating leaves", "a dentist's chair", "a keyboard and a computer mouse", "an elephant in a zoo",
    "a wedding cake with candles",
    "a bathroom with a white sink", "a teddy bear on a bed", "qwerty asdf zxcv", "a receipt from a supermarket",
    "a laboratory with test tubes", "a zebra", "a vase of tulips", "an empty hotel room", "a medieval map",
    "a cargo ship with containers",
)  # fmt: skip
"""What Flickr8k's people, dogs and sports outdoors hardly hold."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig(BenchmarkConfig):
    """Photos by their captions and captions by their photos, the speed of indexing, and 100,000 photos' answers."""

    data: str
    """Folder in Flickr8k layout: images/ and captions.jsonl."""
    space: str = "auto"
    """Where pictures and words meet: joint, conse, a training's folder, or a CLIP's name."""
    n: int | None = None
    """Photos; by default all of the dev split."""
    synthetic: int = SYNTHETIC
    """Random vectors for the trial of a large index; 0 leaves it out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n is None or self.n >= 2, "n", self.n, "give at least 2")


def search(config: SearchConfig) -> Outcome:
    from multimodal_llm.clip_applications.image_search import ImageSearch
    from multimodal_llm.clip_applications.query import Query
    from multimodal_llm.clip_applications.spaces import FREE, load_space
    from multimodal_llm.clip_applications.train_joint_space import recalls
    from multimodal_llm.image_captioning.flickr import load_photos

    space = load_space(config.space)
    photos, n_excluded = unseen(load_photos(config.data, "dev"), space.name)
    photos = photos[: config.n]
    captions = min(len(photo.captions) for photo in photos)
    texts = [text for photo in photos for text in photo.captions[:captions]]
    with tempfile.TemporaryDirectory() as folder:
        index, images_per_s = _index(space, [photo.file for photo in photos], Path(folder))
        vectors = np.stack([index.vector(str(photo.file.resolve())) for photo in photos])
        with progress_bar("captions", len(texts)) as show:
            asked = []
            for start in range(0, len(texts), AT_ONCE):
                asked.append(space.encode_texts(texts[start : start + AT_ONCE]))
                show(start + AT_ONCE)
        queries = np.concatenate(asked)
        result: dict[str, Any] = recalls(queries @ vectors.T, captions)
        result |= {"images_per_s": images_per_s, "engine": space.engine, "n": len(photos)}
        result |= {"n_excluded": n_excluded, "space": space.name}
        result |= cut_off_rates(queries[::captions], vectors, space.floor, space.encode_texts(ABSENT), config.seed)
        whole = ImageSearch(space, index)
        seconds = []
        for text in texts[:: captions * 10]:
            with Timer() as timer:
                whole.search(Query(texts=(text,)))
            seconds.append(timer.seconds)
        result["query_p95_ms"] = 1000 * percentile(seconds, 95)
        index.close()
    rows = [{"space": space.name, **{name: result[name] for name in result if name[:3] in ("t2i", "i2t")}}]
    if space.name != FREE:
        free = load_space(FREE)
        files = [photo.file for photo in photos]
        place = np.concatenate([free.encode_images(some) for some in load_in_batches(files, f"photos, {FREE}")])
        rows.append({"space": FREE, **recalls(free.encode_texts(texts) @ place.T, captions)})
    n, m = len(photos), len(texts)
    chance = {f"t2i_r{k}": k / n for k in (1, 5, 10)}
    chance |= {f"i2t_r{k}": 1 - float(np.prod([(m - captions - j) / (m - j) for j in range(k)])) for k in (1, 5, 10)}
    rows.append({"space": "chance", **chance})
    if config.synthetic:
        result |= large_index(config.synthetic, space.width, config.seed)
    return Outcome(result, rows)


def cut_off_rates(
    queries: np.ndarray, photos: np.ndarray, floor: float | None, absent: np.ndarray, seed: int
) -> dict[str, float]:
    """Of captions (N, W) of the photos (N, W): how many photos are given, and whether the right one is among them, on
    the half of the photos that nothing was chosen on; and how often something is given to queries of what is not there.
    """
    from multimodal_llm.clip_applications.image_search import fitting

    order = np.random.default_rng(seed).permutation(len(photos))
    given, right = [], []
    for number in order[len(order) // 2 :]:
        cosines = photos @ queries[number]
        n = fitting(np.sort(cosines)[::-1], cosines, floor)
        given.append(n)
        right.append((cosines > cosines[number]).sum() < n)
    nonsense = [fitting(np.sort(cosines)[::-1], cosines, floor) > 0 for cosines in absent @ photos.T]
    return {
        "given_median": float(np.median(given)),
        "nothing_given": _share(np.array(given) == 0),
        "right_given": _share(np.array(right)),
        "absent_given": _share(np.array(nonsense)),
    }


def large_index(n: int, width: int, seed: int) -> dict[str, float]:
    """Random vectors of length 1 in an index on the disk: seconds to open it, and how long 95 % of answers take."""
    from multimodal_llm.clip_applications.image_index import ImageIndex, Photo

    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        index = ImageIndex(folder, {"space": "synthetic", "fingerprint": "none", "width": str(width)})
        for start in range(0, n, 10_000):
            vectors = random.standard_normal((min(10_000, n - start), width), dtype=np.float32)
            photos = [Photo(f"/photo/{start + i}.jpg", 1, 1, str(start + i), 0) for i in range(len(vectors))]
            index.put(photos, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        index.close()
        ImageIndex(folder).close()  # the file is in memory now, as it is for an index in use
        with Timer() as opening:
            index = ImageIndex(folder)
        seconds = []
        for _ in range(SYNTHETIC_QUERIES):
            query = random.standard_normal(width, dtype=np.float32)
            with Timer() as timer:
                index.usual(query)
                index.search(query / np.linalg.norm(query), 80)
            seconds.append(timer.seconds)
        index.close()
    return {"large_n": n, "large_open_s": opening.seconds, "large_p95_ms": 1000 * percentile(seconds, 95)}


def unseen(photos: Sequence[Any], space: str) -> tuple[list[Any], int]:
    """The photos that the space was not trained on, and how many others there were. Raises UserError where none is."""
    from multimodal_llm.clip_applications.joint_space import SHIPPED
    from shared.leaks import TRAIN_IDS, load_ids, text_id

    folder = SHIPPED if space == "joint" else Path(space)
    trained_on = load_ids(folder) if space == "joint" or (folder / TRAIN_IDS).is_file() else set()
    kept = [photo for photo in photos if text_id(photo.file.name) not in trained_on]
    if not kept:
        raise UserError(f"{space}: was trained on all {len(photos):,} of these photos: give another set")
    return kept, len(photos) - len(kept)


def _index(space: Any, files: Sequence[Path], folder: Path) -> tuple[Any, float]:
    """An index of these photos, and photos a second from the file to the index, after one batch to warm up."""
    from multimodal_llm.clip_applications.image_index import ImageIndex
    from multimodal_llm.clip_applications.index_update import encode_here, update

    settings = {"space": space.name, "fingerprint": space.fingerprint, "width": str(space.width)}
    warm = ImageIndex(folder / "warm", settings)
    update(warm, files[:AT_ONCE], lambda found: encode_here(space, found))
    warm.close()
    index = ImageIndex(folder / "index", settings)
    with Timer() as timer, progress_bar("photos", len(files)) as show:
        update(index, files, lambda found: encode_here(space, found), progress=lambda done, total: show(done))
    return index, timer.rate(len(files))


def _share(right: np.ndarray) -> float:
    """Of an array of truth values; nan of none."""
    return float(np.mean(right)) if len(right) else float("nan")
