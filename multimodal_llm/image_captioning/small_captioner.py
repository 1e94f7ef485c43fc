"""This project's own captioner: EfficientNet-Lite2 looks, the decoder of caption_model.py writes, by beam search."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from multimodal_llm.image_captioning.caption_model import CaptionModel, CaptionSettings, Picture
from multimodal_llm.image_captioning.captioner import WEIGHTS, WORDS, Caption
from multimodal_llm.image_captioning.decoding import beam_search
from multimodal_llm.image_captioning.vocabulary import UNKNOWN, Vocabulary
from multimodal_llm.image_encoder import ImageEncoder
from shared.config import build
from shared.devices import choose_device
from shared.errors import UserError, reason_of
from shared.files import atomic_path, write_json
from shared.runs import read_json

SETTINGS = "settings.json"


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
