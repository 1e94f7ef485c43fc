"""Photos and sentences as vectors of one space, in which a photo lies near what people write about it.

Two frozen encoders see the photo and read the sentence: EfficientNet-Lite2 and MiniLM. All that is learnt are two small
towers that bring what they give into one space, as CLIP's projections do (Radford et al. 2021, arXiv 2103.00020, figure
3; LiT, arXiv 2111.07991, froze the image side too). What each tower gets:

image   the mean of the grid (1280), and the mean of the class names' sentence vectors weighed by the class
        probabilities (384): ConSE (arXiv 1312.5650), which already lies in the space of MiniLM
text    the token vectors, pooled by attention with one learnt query a head, their plain mean, and the sentence vector

    space = JointSpace.load()
    photos = space.encode_images([load_image("photo.jpg")])   # (1, 512), of length 1
    texts = space.encode_texts(["a dog on a beach"])           # (1, 512)
    photos @ texts.T

Letters in shapes: N photos or texts, T tokens, W the width of the space, H heads.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal_llm.clip_applications.conse import kept_classes
from multimodal_llm.clip_applications.onnx_encoder import load_fast_encoder
from multimodal_llm.image_captioning.captioner import why_left_out
from multimodal_llm.image_encoder import FEATURES, ImageEncoder, ImageFeatures, class_names
from shared.config import build, check
from shared.devices import choose_device
from shared.errors import UserError, reason_of
from shared.files import atomic_path, write_json
from shared.runs import read_json
from shared.text_encoder import WIDTH as MEANING

SHIPPED = Path(__file__).parents[1] / "weights" / "flickr-joint-space"
SETTINGS, WEIGHTS = "settings.json", "model.safetensors"

CLASS_TEXT = "a photo of a {}"
MAX_TOKENS = 40
MASKED = -1e4


@dataclass(frozen=True, kw_only=True)
class JointSpaceSettings:
    """The shape of the two towers."""

    width: int = 512
    """Of the space."""
    heads: int = 8
    """Of the pooling over tokens."""
    hidden: int = 256
    """Inner width of each tower's last layer."""
    side: int = 224
    """Pixels of the square that a photo is brought to."""
    dropout: float = 0.3
    """Share of inputs and inner values dropped in training."""
    floor: float | None = None
    """Cosine that nine of ten captions have with their best photo among 1000; below it nothing fits."""

    def __post_init__(self) -> None:
        check(self.heads >= 1 and self.width % self.heads == 0, "heads", self.heads, "give a divisor of the width")


class Refine(nn.Module):
    """A residual layer, and the length brought to 1."""

    def __init__(self, settings: JointSpaceSettings) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(settings.width)
        self.widen = nn.Linear(settings.width, settings.hidden)
        self.narrow = nn.Linear(settings.hidden, settings.width)
        self.drop = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, W) to (N, W)."""
        return F.normalize(x + self.narrow(self.drop(F.gelu(self.widen(self.norm(x))))), dim=-1)


class ImageTower(nn.Module):
    """What Lite2 sees, brought into the space."""

    def __init__(self, settings: JointSpaceSettings) -> None:
        super().__init__()
        self.see = nn.Linear(FEATURES, settings.width)
        self.mean_class = nn.Linear(MEANING, settings.width)
        self.drop = nn.Dropout(settings.dropout)
        self.refine = Refine(settings)

    def forward(self, pooled: Tensor, mean_class: Tensor) -> Tensor:
        """Features (N, 1280) and the weighed mean of the class names (N, 384) to vectors (N, W)."""
        return self.refine(self.see(self.drop(pooled)) + self.mean_class(mean_class))


class TextTower(nn.Module):
    """What MiniLM reads, brought into the space."""

    def __init__(self, settings: JointSpaceSettings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.read = nn.Linear(MEANING, settings.width)
        self.look = nn.Linear(MEANING, settings.heads)
        self.sentence = nn.Linear(MEANING, settings.width)
        self.drop = nn.Dropout(settings.dropout)
        self.refine = Refine(settings)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Token vectors (N, T, 384) and where there is one (N, T) to vectors (N, W)."""
        mean = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)  # (N, 384)
        weights = self.look(tokens).masked_fill(~mask[..., None], MASKED).softmax(1)  # (N, T, H)
        parts = self.read(self.drop(tokens)).unflatten(-1, (self.heads, -1))  # (N, T, H, W / H)
        pooled = torch.einsum("nth,nthd->nhd", weights, parts).flatten(1)  # (N, W)
        return self.refine(self.read(self.drop(mean)) + pooled + self.sentence(F.normalize(mean, dim=-1)))


class Towers(nn.Module):
    """Both towers: all that is trained and saved."""

    def __init__(self, settings: JointSpaceSettings) -> None:
        super().__init__()
        self.settings = settings
        self.image, self.text = ImageTower(settings), TextTower(settings)

    def save(self, folder: Path) -> None:
        """Settings, and weights in fp16, from which `load_towers` makes the same again."""
        write_json(folder / SETTINGS, asdict(self.settings))
        weights = {name: weight.detach().half().cpu().contiguous() for name, weight in self.state_dict().items()}
        with atomic_path(folder / WEIGHTS) as draft:
            save_file(weights, draft)


def load_towers(folder: Path) -> Towers:
    """From a folder that `Towers.save` wrote. Raises UserError where a file is missing, damaged or of another model."""
    settings = build(JointSpaceSettings, read_json(folder / SETTINGS))
    try:
        towers = Towers(settings)
        weights = load_file(folder / WEIGHTS)
        towers.load_state_dict({name: weight.float() for name, weight in weights.items()})
    except (OSError, SafetensorError, RuntimeError, TypeError, ValueError) as error:
        reason = reason_of(error)
        raise UserError(f"{folder / WEIGHTS}: not the weights of a joint space ({reason}): train anew") from error
    return towers.eval()


class JointSpace:
    """The towers and the two encoders below them, each of which is loaded when it is first needed.

    So a search by words loads no image encoder, and an index that is up to date neither.
    """

    def __init__(self, towers: Towers, device: str = "auto") -> None:
        self.device = choose_device(device).value
        self.towers = towers.to(self.device).eval()
        self.width, self.side, self.floor = towers.settings.width, towers.settings.side, towers.settings.floor

    @classmethod
    def load(cls, folder: Path = SHIPPED, device: str = "auto") -> "JointSpace":
        """From a folder that `Towers.save` wrote. Raises UserError where something is missing, see `left_out`."""
        if folder == SHIPPED and (reason := left_out()):
            raise UserError(f"joint: {reason}: use the space conse")
        return cls(load_towers(folder), device)

    @cached_property
    def encoder(self) -> ImageEncoder:
        return load_fast_encoder(self.device)

    @cached_property
    def reader(self) -> Any:
        from shared.text_encoder import load_text_encoder

        return load_text_encoder("minilm")

    @cached_property
    def classes(self) -> Tensor:
        """`class_meanings` (1000, 384), from the disk where they were computed before."""
        kept = kept_classes("minilm", [CLASS_TEXT], lambda: class_meanings(self.reader).numpy())
        return torch.from_numpy(kept).to(self.device)

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Vectors (N, W) of length 1 of RGB pictures."""
        return self.place(self.encoder.encode(images, self.side))

    @torch.inference_mode()
    def place(self, features: ImageFeatures) -> np.ndarray:
        """The same, (N, W), from the image encoder's features."""
        return self.towers.image(features.pooled, features.probabilities @ self.classes).cpu().numpy()

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], batch: int = 64) -> np.ndarray:
        """Vectors (N, W) of length 1 of English texts."""
        vectors = []
        for start in range(0, len(texts), batch):
            tokens, mask = read_tokens(self.reader, texts[start : start + batch])
            vectors.append(self.towers.text(tokens.to(self.device), mask.to(self.device)).cpu().numpy())
        return np.concatenate(vectors) if vectors else np.empty((0, self.width), dtype=np.float32)


def class_meanings(reader: Any) -> Tensor:
    """The sentence vectors (1000, 384) of the ImageNet classes."""
    return torch.from_numpy(reader.encode([CLASS_TEXT.format(name) for name in class_names()]))


@torch.inference_mode()
def read_tokens(reader: Any, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """MiniLM's token vectors (N, T, 384) in fp32, and where there is a token (N, T)."""
    inputs = reader.tokenizer(
        list(texts), truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt"
    ).to(reader.device)
    return reader.model(**inputs).last_hidden_state.float(), inputs["attention_mask"].bool()


def left_out() -> str | None:
    """Why the shipped weights may or can not be used; None where they can."""
    return why_left_out(SHIPPED / WEIGHTS)
