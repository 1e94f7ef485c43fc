"""One way to ask for captions, whoever writes them:

small         this project's own decoder over EfficientNet-Lite2 (small_captioner.py), weights non-commercial
tags          ImageNet tags written into a sentence by smollm2: weights that are free to use, and poorer sentences
NAME or PATH  BLIP from the hub or a folder

    captioner = load_captioner("small")
    [caption] = captioner.caption([load_image("photo.jpg")])
    print(caption.text, caption.confidence)

Nothing here loads torch, which takes seconds, until a captioner is asked for: a page shows itself before.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from shared.errors import UserError

SHIPPED = Path(__file__).parents[1] / "weights" / "flickr-captioner"
FREE_ONLY = "LAPTOP_LLM_FREE_WEIGHTS_ONLY"
"""Set to 1, this environment variable leaves out the weights that are for non-commercial use only."""

FREE_ONLY_REASON = f"its weights are for non-commercial use, and {FREE_ONLY}=1 leaves such out"
NOT_HERE = "its weights are not here"

WORDS, WEIGHTS = "vocabulary.json", "model.safetensors"


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
    reason = left_out()
    if name == "small" and reason:
        raise UserError(f"small: {reason}: use tags, or the name of a BLIP model")
    if name in ("auto", "small"):
        name = "tags" if reason else str(SHIPPED)
    if name == "tags":
        from multimodal_llm.image_captioning.tag_captioner import TagCaptioner

        return TagCaptioner.load(device)
    if Path(name) == SHIPPED or (Path(name) / WORDS).is_file():
        from multimodal_llm.image_captioning.small_captioner import SmallCaptioner

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
