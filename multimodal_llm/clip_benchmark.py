"""How often is the right label first, and the right photo? On photos and captions that nothing was trained on."""

import csv
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.benchmark import BenchmarkConfig, Outcome
from shared.config import check
from shared.errors import UserError
from shared.logging import progress_bar
from shared.timing import Timer, percentile

AT_ONCE = 32  # photos that lie in memory together
LABELS_IN_A_LIST, FOLDS = 20, 10
PLAIN = {"ridge": 1.0, "conse_share": float("inf")}  # ConSE as published
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
class ZeroShotConfig(BenchmarkConfig):
    """Labels of unseen photos: with ImageNet's names, and with the true class's own name and probability taken out."""

    data: str
    """Folder with images/ and labels.csv (file, and imagenet_index or label)."""
    classifier: str = "conse"
    """Who decides: conse, conse-e5, or the folder or hub name of a CLIP or SigLIP."""
    n: int | None = None
    """Photos to look at; by default all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n is None or self.n >= 1, "n", self.n, "give at least 1")


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


def zero_shot(config: ZeroShotConfig) -> Outcome:
    from multimodal_llm.clip_applications.zero_shot_classification import load_classifier
    from shared.leaks import text_hash

    files, labels, truth, indexed = read_labels(Path(config.data))
    files, truth = files[: config.n], truth[: config.n]
    tuned = np.array([int(text_hash(file.name)[16:32], 16) % 2 == 0 for file in files])
    classifier: Any = load_classifier(config.classifier)
    if not hasattr(classifier, "space"):
        return _with_clip(classifier, files, labels, truth)
    meanings = classifier.space.meanings
    logits = _logits(classifier.space, files)
    label_vectors = meanings.encode(meanings.names if indexed else labels)
    named = {"top1": 1, "top5": 5}
    result: dict[str, Any] = {}
    rows = []
    for who, names, vectors, recipe in (
        ("ours", meanings.name_vectors, label_vectors, {}),
        ("ConSE (10)", *_plain(meanings, None if indexed else labels), PLAIN),
    ):
        scores = _places(names, logits, recipe) @ vectors.T
        rank = ranks(scores, truth)
        row: dict[str, Any] = {"recipe": who} | {name: _share(rank < k) for name, k in named.items()}
        if indexed:
            unseen = ranks(_places_without(names, logits, truth, recipe) @ vectors.T, truth)
            fold = ranks_in_folds(names, vectors, logits, truth, recipe)
            row |= {"unseen_top1": _share(unseen < 1), "unseen_top5": _share(unseen < 5)}
            row |= {"unseen_top1_report_half": _share((unseen < 1)[~tuned])}
            row |= {"unseen_of_100_top1": _share(fold < 1), "unseen_of_100_top5": _share(fold < 5)}
            row |= {"unseen_of_100_top1_report_half": _share((fold < 1)[~tuned])}
        if who == "ours":
            result = {name: value for name, value in row.items() if name != "recipe"} | {"n": len(files)}
            result |= {"top1_report_half": _share((rank < 1)[~tuned]), "classifier": config.classifier}
            if classifier.least is not None:
                result |= reject_rates(scores, truth, classifier.least, ~tuned, config.seed)
        else:
            result |= {f"conse_{name}": value for name, value in row.items() if "top1" in name and "half" not in name}
        rows.append(row)
    if indexed:
        rank = ranks(logits, truth)
        result["classifier_top1"], result["classifier_top5"] = _share(rank < 1), _share(rank < 5)
        rows.append({"recipe": "EfficientNet-Lite2"} | {name: _share(rank < k) for name, k in named.items()})
    columns = list(rows[0])
    return Outcome(result, [{column: row.get(column) for column in columns} for row in rows])


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
        place = np.concatenate([part for part in _encode_photos(free, [photo.file for photo in photos])])
        rows.append({"space": FREE, **recalls(free.encode_texts(texts) @ place.T, captions)})
    n, m = len(photos), len(texts)
    chance = {f"t2i_r{k}": k / n for k in (1, 5, 10)}
    chance |= {f"i2t_r{k}": 1 - float(np.prod([(m - captions - j) / (m - j) for j in range(k)])) for k in (1, 5, 10)}
    rows.append({"space": "chance", **chance})
    if config.synthetic:
        result |= large_index(config.synthetic, space.width, config.seed)
    return Outcome(result, rows)


def read_labels(folder: Path) -> tuple[list[Path], list[str], np.ndarray, bool]:
    """Photos, candidate labels, the number of each photo's label, and whether these are ImageNet's own.

    Raises UserError for another layout.
    """
    from multimodal_llm.image_encoder import class_names

    table = folder / "labels.csv"
    if not table.is_file():
        raise UserError(f"{folder}: no labels.csv in it: see docs/data.md")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kind = next((name for name in ("imagenet_index", "label") if rows and name in rows[0]), None)
    if kind is None or "file" not in rows[0]:
        raise UserError(f"{table}: needs the columns file, and imagenet_index or label: see docs/data.md")
    files = [folder / "images" / row["file"] for row in rows]
    if kind == "imagenet_index":
        return files, list(class_names()), np.array([int(row[kind]) for row in rows]), True
    labels = sorted({row[kind] for row in rows})
    return files, labels, np.array([labels.index(row[kind]) for row in rows]), False


def ranks(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How many labels score above the true one, for each row of scores (N, L). A tie counts against it."""
    own = scores[np.arange(len(truth)), truth]
    return (scores >= own[:, None]).sum(1) - 1


def ranks_in_folds(
    names: np.ndarray, labels: np.ndarray, logits: np.ndarray, truth: np.ndarray, recipe: dict[str, float]
) -> np.ndarray:
    """The rank of the true one of 100 labels of which no class was known: ten fixed tenths of the classes are taken out
    in turn, names and logits, and the photos of their classes are labelled with their names only.
    """
    fold = np.random.default_rng(0).permutation(len(names)) % FOLDS
    found = np.empty(len(truth), dtype=int)
    for number in range(FOLDS):
        known, taken_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        photos = np.flatnonzero(np.isin(truth, taken_out))
        if len(photos):
            scores = _places(names[known], logits[photos][:, known], recipe) @ labels[taken_out].T
            found[photos] = ranks(scores, np.searchsorted(taken_out, truth[photos]))
    return found


def reject_rates(
    scores: np.ndarray, truth: np.ndarray, least: float, reported: np.ndarray, seed: int
) -> dict[str, float]:
    """Lists of 20 labels at random, with the true one and without it: how often the best one is said to fit."""
    random = np.random.default_rng(seed)
    with_truth, without = [], []
    for row, own in zip(scores, truth, strict=True):
        others = random.permutation(np.delete(np.arange(scores.shape[1]), own))[: LABELS_IN_A_LIST - 1]
        with_truth.append(max(row[own], row[others].max()) >= least)
        without.append(row[others].max() >= least)
    return {
        "accepted": _share(np.array(with_truth)[reported]),
        "false_accepted": _share(np.array(without)[reported]),
    }


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


def _encode_photos(space: Any, files: Sequence[Path]) -> list[np.ndarray]:
    from multimodal_llm.images import load_image

    parts = []
    with progress_bar(f"photos, {space.name}", len(files)) as show:
        for start in range(0, len(files), AT_ONCE):
            parts.append(space.encode_images([load_image(file) for file in files[start : start + AT_ONCE]]))
            show(start + AT_ONCE)
    return parts


def _logits(space: Any, files: Sequence[Path]) -> np.ndarray:
    from multimodal_llm.images import load_image

    parts = []
    with progress_bar("photos", len(files)) as show:
        for start in range(0, len(files), AT_ONCE):
            parts.append(space.logits([load_image(file) for file in files[start : start + AT_ONCE]]))
            show(start + AT_ONCE)
    return np.concatenate(parts)


def _plain(meanings: Any, labels: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """The published recipe's vectors of classes and labels: one name each, nothing around it, nothing taken away."""
    from multimodal_llm.image_encoder import class_names

    names = meanings.reader.encode(list(class_names()))
    return names, names if labels is None else meanings.reader.encode(list(labels))


def _places(names: np.ndarray, logits: np.ndarray, recipe: dict[str, float]) -> np.ndarray:
    from multimodal_llm.clip_applications.conse import class_weights, unit

    return unit(class_weights(names, logits, **recipe) @ names)


def _places_without(names: np.ndarray, logits: np.ndarray, truth: np.ndarray, recipe: dict[str, float]) -> np.ndarray:
    """Each photo's place where its own class is not among those that are known: no name of it, and no logit."""
    places = []
    with progress_bar("unseen", len(truth)) as show:
        for number, own in enumerate(truth):
            known = np.delete(np.arange(len(names)), own)
            places.append(_places(names[known], logits[number : number + 1, known], recipe))
            show(number + 1)
    return np.concatenate(places)


def _with_clip(classifier: Any, files: Sequence[Path], labels: Sequence[str], truth: np.ndarray) -> Outcome:
    """CLIP knows no classes, so nothing can be taken out."""
    from multimodal_llm.images import load_image

    rank = []
    with progress_bar("photos", len(files)) as show:
        for start in range(0, len(files), AT_ONCE):
            pictures = [load_image(file) for file in files[start : start + AT_ONCE]]
            for found in classifier.classify(pictures, labels, top=5):
                said = [score.label for score in found.scores]
                own = labels[truth[len(rank)]]
                rank.append(said.index(own) if own in said else len(labels))
            show(len(rank))
    ranked = np.array(rank)
    return Outcome({"top1": _share(ranked < 1), "top5": _share(ranked < 5), "n": len(files)})


def _share(right: np.ndarray) -> float:
    return float(np.mean(right)) if len(right) else float("nan")
