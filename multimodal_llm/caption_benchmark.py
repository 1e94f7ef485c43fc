"""How good are the captions, on photos that nothing was trained on? And how good are a person's, and a fool's?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from multimodal_llm.images import AT_ONCE, load_image, load_in_batches
from shared.benchmark import BenchmarkConfig, Outcome
from shared.config import check
from shared.errors import UserError
from shared.logging import get_logger
from shared.timing import Timer

log = get_logger(__name__)

CONSTANTS, PHOTOS_TO_CHOOSE_BY = 40, 200
EXAMPLES = 6


@dataclass(frozen=True, kw_only=True)
class CaptionsConfig(BenchmarkConfig):
    """Captions of unseen photos against five people's: CIDEr-D, BLEU and ROUGE-L, with floors and ceilings."""

    data: str
    """Folder in Flickr8k layout: images/ and captions.jsonl."""
    split: Literal["dev", "test"] = "dev"
    """Photos to caption."""
    captioner: str = "small"
    """Who writes: small, tags, a training's folder, or a BLIP folder or hub name."""
    n: int | None = None
    """Photos to caption; by default all of the split."""
    n_tags: int = 200
    """Photos that smollm2 captions from tags, for comparison; 0 leaves it out."""

    @property
    def variant(self) -> str:
        return "" if self.split == "dev" else f"_{self.split}"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n is None or self.n >= 2, "n", self.n, "give at least 2")
        check(self.n_tags == 0 or self.n_tags >= 2, "n_tags", self.n_tags, "give 0 or at least 2")


def captions(config: CaptionsConfig) -> Outcome:
    from multimodal_llm.image_captioning.caption_evaluation import caption_scores, cider_d, faithfulness
    from multimodal_llm.image_captioning.captioner import load_captioner
    from multimodal_llm.image_captioning.flickr import load_photos
    from multimodal_llm.image_captioning.tag_captioner import TagCaptioner
    from shared.devices import seed_everything
    from shared.text_encoder import load_text_encoder

    seed_everything(config.seed)
    photos, n_excluded = unseen(load_photos(config.data, config.split), config.captioner)
    photos = photos[: config.n]
    references = [photo.captions for photo in photos]
    captioner = load_captioner(config.captioner)
    said, photos_per_s = _caption(captioner, photos)
    texts = [caption.text for caption in said]
    scores, each = caption_scores(texts, references), cider_d(texts, references)[1]

    strangers = [group[0] for group in (*references[1:], references[0])]
    rows = [
        _row(config.captioner, scores, len(photos)),
        _row("the same, beside four people", _beside_four(lambda number, i: texts[i], references), len(photos)),
        _row(
            "a person, beside the four others",
            _beside_four(lambda number, i: references[i][number], references),
            len(photos),
        ),
        _row("a caption of another photo", caption_scores(strangers, references), len(photos)),
    ]
    try:
        constant = _best_constant(load_photos(config.data, "train"), np.random.default_rng(config.seed))
        rows.append(_row(f"always: {constant}", caption_scores([constant] * len(photos), references), len(photos)))
    except UserError as error:
        log.info("no caption that is said of every photo stands beside them: %s", error)
    tagger = TagCaptioner.load()
    looked = load_in_batches([photo.file for photo in photos], "tags")
    tags = [names for pictures in looked for names in tagger.tags(pictures)[0]]
    if config.n_tags:
        few = slice(min(config.n_tags, len(photos)))
        rows.append(_row("tags and smollm2", caption_scores(tagger.write(tags[few]), references[few]), len(tags[few])))
    meanings = load_text_encoder("minilm")
    faithful = {
        "faithfulness": faithfulness(texts, tags, meanings),
        "faithfulness_person": faithfulness([group[0] for group in references], tags, meanings),
        "faithfulness_other_photo": faithfulness(texts, [*tags[1:], tags[0]], meanings),
    }
    confidences = [caption.confidence for caption in said]
    result: dict[str, Any] = {
        **scores,
        "n": len(photos),
        "n_excluded": n_excluded,
        "photos_per_s": photos_per_s,
        **faithful,
    }
    result |= {"captioner": config.captioner, "distinct_captions": len(set(texts)) / len(texts)}
    result["confidence_rank_correlation"] = _rank_correlation(confidences, each)
    order = np.argsort(each)
    shown = [*order[:EXAMPLES], *order[-EXAMPLES:]]
    result["worst_and_best"] = [
        {"file": photos[i].file.name, "caption": texts[i], "cider": float(each[i])} for i in shown
    ]
    return Outcome(result, rows)


def unseen(photos: Sequence[Any], captioner: str) -> tuple[list[Any], int]:
    """The photos that the captioner was not trained on, by its train_ids.sha256, and how many others there were.

    Of a BLIP checkpoint nobody knows; nothing is left out. Raises UserError where nothing is left.
    """
    from pathlib import Path

    from multimodal_llm.image_captioning.captioner import SHIPPED
    from shared.leaks import TRAIN_IDS, load_ids, text_id

    folder = SHIPPED if captioner in ("small", "auto") else Path(captioner)
    trained_on = load_ids(folder) if (folder / TRAIN_IDS).exists() or folder == SHIPPED else set()
    kept = [photo for photo in photos if text_id(photo.file.name) not in trained_on]
    if not kept:
        raise UserError(f"{captioner}: was trained on all {len(photos):,} of these photos: give another set")
    return kept, len(photos) - len(kept)


def _caption(captioner: Any, photos: Sequence[Any]) -> tuple[list[Any], float]:
    """A caption for each photo, and photos a second from the file to the sentence, after one batch to warm up."""
    files, said = [photo.file for photo in photos], []
    captioner.caption([load_image(file) for file in files[:AT_ONCE]])
    with Timer() as timer:
        for pictures in load_in_batches(files, "captions"):
            said += captioner.caption(pictures)
    return said, timer.rate(len(said))


def _beside_four(caption_of: Any, references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Scores against all references but one, the mean over which one it is. `caption_of(number, photo)`."""
    from multimodal_llm.image_captioning.caption_evaluation import caption_scores

    fewest = min(len(group) for group in references)
    if fewest < 2:
        raise UserError("a photo has only one caption, so no person can be scored beside another: give a set with more")
    scores = []
    for number in range(fewest):
        others = [[text for k, text in enumerate(group) if k != number] for group in references]
        scores.append(caption_scores([caption_of(number, i) for i in range(len(references))], others))
    return {name: float(np.mean([one[name] for one in scores])) for name in scores[0]}


def _best_constant(training: Sequence[Any], random: np.random.Generator) -> str:
    """Of some training captions the one that scores best when said of every photo: what seeing nothing can earn."""
    from multimodal_llm.image_captioning.caption_evaluation import cider_d, words

    some = [training[i] for i in random.permutation(len(training))[:PHOTOS_TO_CHOOSE_BY]]
    references = [photo.captions for photo in some]
    tried = [" ".join(words(photo.captions[0])) for photo in some[:CONSTANTS]]
    return max(tried, key=lambda text: cider_d([text] * len(references), references)[0])


def _row(who: str, scores: dict[str, float], n: int) -> dict[str, Any]:
    return {"who": who, **scores, "n": n}


def _rank_correlation(confidences: Sequence[float | None], each: np.ndarray) -> float | None:
    """Spearman's: whether the captions that the model is surer of are the better ones."""
    if any(value is None for value in confidences):
        return None
    ranks = [np.argsort(np.argsort(values)) for values in (np.array(confidences), each)]
    return float(np.corrcoef(*ranks)[0, 1])
