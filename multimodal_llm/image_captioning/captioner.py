"""One way to ask for captions, whoever writes them:

small         this project's own decoder over EfficientNet-Lite2, weights in multimodal_llm/weights (non-commercial)
tags          ImageNet tags written into a sentence by smollm2: weights that are free to use, and poorer sentences
NAME or PATH  BLIP from the hub or a folder

    captioner = load_captioner("small")
    [caption] = captioner.caption([load_image("photo.jpg")])
    print(caption.text, caption.confidence)
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from multimodal_llm.image_captioning.caption_model import CaptionModel, CaptionSettings, Picture
from multimodal_llm.image_captioning.decoding import beam_search
from multimodal_llm.image_captioning.vocabulary import UNKNOWN, Vocabulary
from multimodal_llm.image_encoder import ImageEncoder
from shared.config import build
from shared.devices import choose_device
from shared.errors import UserError, reason_of
from shared.files import atomic_path, write_json
from shared.runs import read_json

SHIPPED = Path(__file__).parents[1] / "weights" / "flickr-captioner"
FREE_ONLY = "LAPTOP_LLM_FREE_WEIGHTS_ONLY"
"""Set to 1, this environment variable leaves out the weights that are for non-commercial use only."""

FREE_ONLY_REASON = f"its weights are for non-commercial use, and {FREE_ONLY}=1 leaves such out"
NOT_HERE = "its weights are not here"

SETTINGS, WORDS, WEIGHTS = "settings.json", "vocabulary.json", "model.safetensors"


@dataclass(frozen=True)
class Caption:
    """A sentence, and the probability (0 to 1) that its words had on average, as far as the model can tell."""

    text: str
    confidence: float | None


class Captioner(Protocol):
    """What `load_captioner` gives."""

    def caption(self, images: Sequence[Image.Image], prefix: str = "") -> list[Caption]:
        """A caption for each RGB picture, starting with `prefix`."""


def load_captioner(name: str = "auto", device: str = "auto") -> Captioner:
    """The captioner of this name; `auto` is `small`, or `tags` where that one is left out.

    Raises UserError for a name or folder that is none, and for `small` where it is left out.
    """
    if name in ("auto", "small"):
        if reason := left_out():
            if name == "small":
                raise UserError(f"small: {reason}: use tags, or the name of a BLIP model")
            name = "tags"
        else:
            return SmallCaptioner.load(SHIPPED, device)
    if name == "tags":
        from multimodal_llm.image_captioning.tag_captioner import TagCaptioner

        return TagCaptioner.load(device)
    if (Path(name) / WORDS).is_file():
        return SmallCaptioner.load(name, device)
    from multimodal_llm.image_captioning.blip_model import BlipCaptioner

    return BlipCaptioner.load(name, device)


def left_out() -> str | None:
    """Why the shipped captioner may or can not be used; None where it can."""
    return why_left_out(SHIPPED / WEIGHTS)


def why_left_out(weights: Path) -> str | None:
    """Why these weights, for non-commercial use only, may or can not be used; None where they can."""
    if os.environ.get(FREE_ONLY) == "1":
        return FREE_ONLY_REASON
    return None if weights.is_file() else NOT_HERE


class SmallCaptioner:
    """EfficientNet-Lite2, the decoder and its words."""

    def __init__(self, model: CaptionModel, vocabulary: Vocabulary, encoder: ImageEncoder) -> None:
        self.model, self.vocabulary, self.encoder = model.eval(), vocabulary, encoder

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> "SmallCaptioner":
        """From a folder that `save` wrote. Raises UserError where a file is missing, damaged or of another model."""
        folder = Path(folder)
        chosen = choose_device(device).value
        words, settings = read_json(folder / WORDS), read_json(folder / SETTINGS)
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UserError(f"{folder / WORDS}: damaged, not a list of words: train anew")
        vocabulary, shape = Vocabulary(words), build(CaptionSettings, settings)
        try:
            model = CaptionModel(shape)
            weights = load_file(folder / WEIGHTS)
            model.load_state_dict({name: weight.float() for name, weight in weights.items()})
        except (OSError, SafetensorError, RuntimeError, TypeError, ValueError) as error:
            reason = reason_of(error)
            raise UserError(f"{folder / WEIGHTS}: not this captioner's weights ({reason}): train anew") from error
        if model.settings.n_words != len(vocabulary):
            raise UserError(f"{folder / WORDS}: {len(vocabulary):,} words for {model.settings.n_words:,} in the model")
        return cls(model.to(chosen), vocabulary, ImageEncoder.load(chosen))

    def save(self, folder: Path) -> None:
        """Weights in fp16, settings and words, from which `load` makes the same again."""
        write_json(folder / SETTINGS, asdict(self.model.settings))
        write_json(folder / WORDS, self.vocabulary.words[UNKNOWN + 1 :])
        weights = {name: weight.detach().half().cpu().contiguous() for name, weight in self.model.state_dict().items()}
        with atomic_path(folder / WEIGHTS) as draft:
            save_file(weights, draft)

    @torch.inference_mode()
    def caption(
        self, images: Sequence[Image.Image], prefix: str = "", beams: int = 5, batch: int = 32
    ) -> list[Caption]:
        """As every captioner's: of each photo and its mirror image together, of which people say the same.

        Raises UserError for a prefix that is too long or has a word it never learnt.
        """
        start = self.vocabulary.encode(prefix)[1:-1]
        if UNKNOWN in start:
            raise UserError(f"--prefix {prefix}: holds a word that the captioner never learnt: use simpler words")
        if len(start) > (most := self.model.settings.max_words - 2):  # room for a word and the end
            raise UserError(f"--prefix {prefix:.40}: {len(start)} words, the most are {most}: shorten it")
        captions = []
        for first in range(0, len(images), batch):
            photos = images[first : first + batch]
            views = [self._look(photos), self._look([ImageOps.mirror(photo) for photo in photos])]
            said = beam_search(self.model, views, len(photos), beams, prefix=start)
            whole = (
                " ".join([*prefix.split(), self.vocabulary.decode(sentence.words[len(start) :])]) for sentence in said
            )
            captions += [Caption(text, one.confidence) for text, one in zip(whole, said, strict=True)]
        return captions

    def _look(self, photos: Sequence[Image.Image]) -> Picture:
        features = self.encoder.encode(photos, self.model.settings.side)
        return self.model.look(features.grid.flatten(1, 2), features.probabilities)
