"""A photo's place among the meanings of words, without any training on pairs: ConSE, and what we add to it.

ConSE (Norouzi et al. 2014, arXiv 1312.5650): the mean of the class names' vectors, weighed by the highest class
probabilities, lies in the space of a text encoder, and what a label means lies in the same space. Its weakness is that
a sure classifier leaves the photo at the name of one class: a label near but not equal to it never wins.

So we add a second place, by least squares: the vector whose products with all names come closest to all the logits,

    v = argmin |N v - z|^2 + ridge |v|^2 = (N'N + ridge I)^-1 N'z        N (C, D) names, z (C,) logits less their mean

which also hears what the classifier finds unlikely. (Ridge regression from names to scores is how ESZSL learns classes
from descriptions, Romera-Paredes and Torr 2015, section 3.) The photo's place is the sum of both, each of length 1.

Both are weighed sums of the names' vectors, so every score is a sum of what each class gives to it, and can be told.

The text encoder may be any of shared/text_encoder.py: with `e5-multilingual` the labels may be Chinese.

Letters in shapes: N photos, L labels, C classes, D = 384.
"""

import hashlib
import re
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from multimodal_llm.image_encoder import CLASSIFIER_SIDE, ImageEncoder, class_names
from shared.asset_table import ASSETS
from shared.assets import asset_path
from shared.files import atomic_path
from shared.runs import read_json
from shared.text_encoder import WIDTH, TextEncoder, load_text_encoder

TOP_CLASSES = 10
RIDGE = 1.0
CONSE_SHARE = 0.35
"""How much of the place is ConSE's, where least squares counts 1. With `RIDGE` chosen on nips17."""
SYNONYM_SHARE = 0.5
"""How much the other names of a class count, where its plain name counts 1."""
TEMPLATES: dict[str, tuple[str, ...]] = {
    "minilm": ("{}", "a photo of a {}", "there is a {} in the picture", "a close-up of a {}"),
    "e5-multilingual": ("{}",),
}
"""Texts around a name or label; the mean of their vectors stands for it. E5 already has its "query: " before it."""


def plain_names() -> tuple[str, ...]:
    """The ImageNet classes without explanations in brackets and second names: "kite (bird of prey)" is "kite"."""
    return tuple(re.split(r" \(| / ", name)[0] for name in class_names())


def synonyms() -> tuple[tuple[str, ...], ...]:
    """All names that WordNet has for each class, by index: ("tench", "Tinca tinca")."""
    lines = read_json(asset_path("imagenet-names") / "imagenet1k_label_to_names.json")
    return tuple(tuple(name.strip() for name in lines[str(index)].split(",")) for index in range(len(lines)))


def unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors (..., D) brought to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


class Meanings:
    """A text encoder for labels: templates around each, and what all names of things share taken away.

    Any two names of things are rather similar (cosines of .2 or, in E5, .8), and that shared part is no meaning.
    """

    def __init__(self, reader: TextEncoder, templates: Sequence[str], mean: np.ndarray, names: np.ndarray) -> None:
        """`mean` (D,) is what all names share, `names` (C, D) the classes' vectors without it."""
        self.reader, self.templates, self.mean = reader, tuple(templates), mean
        self.names = plain_names()
        self.name_vectors = names
        """(C, D), of length 1."""

    @classmethod
    def of(cls, reader: TextEncoder, templates: Sequence[str] = ("{}",)) -> "Meanings":
        """With the classes' vectors computed by this encoder: a few thousand short texts."""
        plain = _encode(reader, templates, plain_names())
        groups = synonyms()
        others = reader.encode([name for group in groups for name in group])
        ends = np.cumsum([len(group) for group in groups])
        means = np.stack([part.mean(0) for part in np.split(others, ends[:-1])])
        mean = plain.mean(0)
        return cls(reader, templates, mean, unit(unit(plain + SYNONYM_SHARE * unit(means)) - mean))

    @classmethod
    def load(cls, name: str) -> "Meanings":
        """With the encoder of this short name; the classes' vectors are computed once and kept beside it.

        Raises UserError for an unknown name.
        """
        reader, templates = load_text_encoder(name), TEMPLATES.get(name, ("{}",))

        def make() -> np.ndarray:
            new = cls.of(reader, templates)
            return np.vstack([new.mean, new.name_vectors])

        mean, *names = kept_classes(name, [*templates, str(SYNONYM_SHARE)], make)
        return cls(reader, templates, mean, np.stack(names))

    def encode(self, labels: Sequence[str], templates: Sequence[str] | None = None) -> np.ndarray:
        """Vectors (L, D) of length 1, with the texts around each label that the names had, or with others."""
        if not len(labels):
            return np.empty((0, WIDTH), dtype=np.float32)
        return unit(_encode(self.reader, templates or self.templates, labels) - self.mean)


def kept_classes(reader: str, recipe: Sequence[str], make: Callable[[], np.ndarray]) -> np.ndarray:
    """What a text encoder makes of the classes' names, (C or C + 1, D): computed once for each recipe, and kept beside
    the encoder."""
    parts = "|".join([ASSETS[reader].sha256, ASSETS["imagenet-names"].sha256, *recipe])
    kept = asset_path(reader).parent / f"{reader}-classes-{hashlib.sha256(parts.encode()).hexdigest()[:12]}.npy"
    if not kept.is_file():
        vectors = make().astype(np.float32)
        with atomic_path(kept) as draft, open(draft, "wb") as file:
            np.save(file, vectors)
    return np.load(kept, allow_pickle=False)


def _encode(reader: TextEncoder, templates: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    texts = [template.format(label) for template in templates for label in labels]
    return unit(reader.encode(texts).reshape(len(templates), len(labels), WIDTH).mean(0))


def class_weights(
    names: np.ndarray, logits: np.ndarray, ridge: float = RIDGE, conse_share: float = CONSE_SHARE
) -> np.ndarray:
    """How much each class's name (C, D) counts in the place of each photo with logits (N, C): weights (N, C).

    The places are `unit(weights @ names)`; with an infinite `conse_share` they are ConSE's own.
    """
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    conse = top_only(probabilities / probabilities.sum(1, keepdims=True))  # (N, C)
    conse = conse / np.maximum(np.linalg.norm(conse @ names, axis=1, keepdims=True), 1e-9)
    if np.isinf(conse_share):
        return conse
    centred = logits - logits.mean(1, keepdims=True)
    v = centred @ names @ np.linalg.inv(names.T @ names + ridge * np.eye(names.shape[1]))  # (N, D)
    # v is itself a weighed sum of the names: v = N'w with w = (z - N v) / ridge, the residual.
    squares = (centred - v @ names.T) / ridge / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9)
    return squares + conse_share * conse


class ConseSpace:
    """Photos as places among the meanings of words: labels without training, and search without the joint space."""

    width = WIDTH

    def __init__(self, encoder: ImageEncoder, meanings: Meanings) -> None:
        self.encoder, self.meanings = encoder, meanings

    def logits(self, images: Sequence[Image.Image]) -> np.ndarray:
        """The classifier's scores (N, C) of RGB pictures."""
        return np.log(np.maximum(self.encoder.encode(images, CLASSIFIER_SIDE).probabilities.cpu().numpy(), 1e-30))

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Places (N, D) of length 1."""
        return self.place(self.logits(images))

    def place(self, logits: np.ndarray) -> np.ndarray:
        """The same from logits (N, C)."""
        return unit(class_weights(self.meanings.name_vectors, logits) @ self.meanings.name_vectors)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors (L, D) of length 1 of whole sentences, which need nothing around them."""
        return self.meanings.encode(texts, ("{}",))


def top_only(probabilities: np.ndarray, n: int = TOP_CLASSES) -> np.ndarray:
    """Probabilities (N, C) with all but each row's n highest set to 0, and the rest brought to a sum of 1."""
    if probabilities.shape[1] > n:
        least = np.partition(probabilities, -n, axis=1)[:, -n, None]
        probabilities = np.where(probabilities >= least, probabilities, 0)
    return probabilities / np.maximum(probabilities.sum(1, keepdims=True), 1e-12)
