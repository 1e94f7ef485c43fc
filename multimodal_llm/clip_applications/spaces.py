"""The spaces in which pictures and words meet, by name:

joint         the trained towers over EfficientNet-Lite2 and MiniLM (English; weights for non-commercial use)
conse         ConSE over the same two: no training, weights free to use (English)
conse-e5      ConSE over multilingual E5: Chinese and English among 100 languages
NAME or PATH  CLIP or SigLIP from the hub or a folder
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from shared.asset_table import ASSETS

DEFAULT, FREE, CHINESE = "joint", "conse", "conse-e5"
READERS = {"conse": "minilm", "conse-e5": "e5-multilingual"}


class Encoder(Protocol):
    """What brings N pictures and N texts into one space, as vectors (N, width) of length 1."""

    width: int

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray: ...
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray: ...


@dataclass(frozen=True)
class NamedSpace:
    """A space, and what an index must know of it."""

    name: str
    encoder: Encoder
    fingerprint: str
    """Of the weights: vectors of another fingerprint cannot be compared with its own."""

    @property
    def width(self) -> int:
        return self.encoder.width

    @property
    def floor(self) -> float | None:
        """The cosine below which a photo does not fit a query; None where it was not measured."""
        return getattr(self.encoder, "floor", None)

    @property
    def engine(self) -> str:
        """What computes the pictures' side."""
        return getattr(getattr(self.encoder, "encoder", None), "engine", "torch")

    @property
    def reads_chinese(self) -> bool | None:
        """None where it is not known."""
        return {"joint": False, "conse": False, "conse-e5": True}.get(self.name)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        return self.encoder.encode_images(images)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.encoder.encode_texts(texts)


def load_space(name: str = "auto", device: str = "auto") -> NamedSpace:
    """The space of this name; `auto` is `joint`, or `conse` where the weights for non-commercial use are left out.

    Raises UserError for a name or folder that is none, and for `joint` where it is left out.
    """
    from multimodal_llm.clip_applications import joint_space

    if name == "auto":
        name = FREE if joint_space.left_out() else DEFAULT
    lite2 = ASSETS["efficientnet-lite2"].sha256
    if name == "joint":
        space = joint_space.JointSpace.load(device=device)
        return NamedSpace(name, space, _digest(lite2, (joint_space.SHIPPED / joint_space.WEIGHTS).read_bytes()))
    if name in READERS:
        from multimodal_llm.clip_applications.conse import ConseSpace, Meanings
        from multimodal_llm.clip_applications.onnx_encoder import load_fast_encoder

        meanings = Meanings.load(READERS[name])
        parts = (lite2, ASSETS[READERS[name]].sha256, *meanings.templates)
        return NamedSpace(name, ConseSpace(load_fast_encoder(device), meanings), _digest(*parts))
    if (Path(name) / joint_space.SETTINGS).is_file():
        space = joint_space.JointSpace.load(Path(name), device)
        return NamedSpace(name, space, _digest(lite2, (Path(name) / joint_space.WEIGHTS).read_bytes()))
    from multimodal_llm.clip_applications.clip_model import ClipModel

    clip = ClipModel.load(name, device)
    return NamedSpace(name, clip, clip.fingerprint)


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()[:16]
