"""EfficientNet-Lite2: what a photo shows, as a grid of features, as one vector, and as ImageNet classes.

EfficientNet (arXiv 1905.11946, table 1) is a stack of inverted residual blocks: widen with a 1x1 convolution, filter
each channel by itself, narrow again, and add the input where the shapes allow it. The Lite variants leave out the
squeeze-and-excitation branch and clip at 6 (ReLU6), which suits small processors. The weights are the packaged ones of
shared/assets.py; each batch normalisation is folded into the convolution before it when they are loaded, for at
inference both are one linear map.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from shared.assets import asset_path
from shared.devices import choose_device
from shared.errors import UserError, reason_of
from shared.runs import read_json

# kernel, stride, expansion, channels, blocks
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 3),
    (5, 2, 6, 48, 3),
    (3, 2, 6, 88, 4),
    (5, 1, 6, 120, 4),
    (5, 2, 6, 208, 5),
    (3, 1, 6, 352, 1),
)
STEM_CHANNELS, FEATURES, CLASSES = 32, 1280, 1000
STRIDE = 32  # pixels between two cells of the grid
BATCH_NORM_EPSILON = 1e-3

GRID_SIDE = 224
"""Pixels for a grid of 7x7 cells."""
CLASSIFIER_SIDE = 260
"""Pixels at which the classifier was trained and is most often right."""


class ImageFeatures(NamedTuple):
    """What the encoder sees in N photos, as fp32 on the encoder's device."""

    grid: Tensor
    """(N, rows, columns, 1280)"""
    pooled: Tensor
    """(N, 1280), the mean of the grid."""
    probabilities: Tensor
    """(N, 1000), of the ImageNet classes."""


class InvertedResidual(nn.Module):
    """Widen, filter, narrow; plus the input where nothing changed its shape."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = c_in * expansion
        self.expand = nn.Conv2d(c_in, wide, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(wide, wide, kernel, stride, padding=kernel // 2, groups=wide)
        self.project = nn.Conv2d(wide, c_out, 1)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.expand is None else F.relu6(self.expand(x), inplace=True)  # (N, wide, H, W)
        h = self.project(F.relu6(self.depthwise(h), inplace=True))  # (N, c_out, H / stride, W / stride)
        return x + h if self.residual else h


class EfficientNetLite2(nn.Module):
    """The network with batch normalisation folded in; for inference only."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, padding=1)
        blocks, channels = [], STEM_CHANNELS
        for kernel, stride, expansion, c_out, n in STAGES:
            for number in range(n):
                blocks.append(InvertedResidual(channels, c_out, kernel, stride if number == 0 else 1, expansion))
                channels = c_out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Conv2d(channels, FEATURES, 1)
        self.classify = nn.Linear(FEATURES, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) in [-1, 1] to the grid (N, 1280, H / 32, W / 32)."""
        return F.relu6(self.head(self.blocks(F.relu6(self.stem(pixels), inplace=True))), inplace=True)


class ImageEncoder:
    """Photos in, features out.

    >>> encoder = ImageEncoder.load()  # doctest: +SKIP
    >>> encoder.encode([load_image("photo.jpg")]).grid.shape  # doctest: +SKIP
    torch.Size([1, 7, 7, 1280])
    """

    def __init__(self, network: EfficientNetLite2, device: str = "cpu") -> None:
        self.device = device
        # Channels last: the depthwise filters then read memory in order, 1.5 times as fast on a CPU.
        self.network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)

    @classmethod
    def load(cls, device: str = "auto") -> "ImageEncoder":
        """The packaged weights. Raises UserError where they cannot be fetched or are not of this network."""
        file = asset_path("efficientnet-lite2") / "efficientnet-lite2.pth"
        return cls(load_network(torch.load(file, map_location="cpu", weights_only=True)), choose_device(device).value)

    @torch.inference_mode()
    def encode(self, images: Sequence[Image.Image], side: int = GRID_SIDE, batch: int = 16) -> ImageFeatures:
        """The features of RGB pictures, each brought to `side` x `side` pixels. Raises UserError for no pictures."""
        if not images:
            raise UserError("no picture to look at: give at least one")
        grids = [
            self.grid(to_pixels(images[start : start + batch], side)) for start in range(0, len(images), batch)
        ]  # each (n, rows, columns, 1280)
        return self.features(torch.cat(grids))

    @torch.inference_mode()
    def grid(self, pixels: Tensor) -> Tensor:
        """The grid (N, rows, columns, 1280) of pixels (N, 3, H, W) in [-1, 1]."""
        pixels = pixels.to(self.device).contiguous(memory_format=torch.channels_last)
        return self.network(pixels).permute(0, 2, 3, 1)  # in memory it lies like this already

    @torch.inference_mode()
    def features(self, grid: Tensor) -> ImageFeatures:
        """A grid (N, rows, columns, 1280) with its mean (N, 1280) and the classifier's probabilities (N, 1000)."""
        pooled = grid.mean((1, 2))
        return ImageFeatures(grid, pooled, self.network.classify(pooled).softmax(-1))


def to_pixels(images: Sequence[Image.Image], side: int) -> Tensor:
    """RGB pictures as (N, 3, side, side) in [-1, 1], see `stack` and `scale`."""
    return scale(stack(images, side))


def stack(images: Sequence[Image.Image], side: int) -> Tensor:
    """RGB pictures as bytes (N, 3, side, side).

    A picture that is not square is squeezed rather than cut: a caption needs what stands at the edges too.
    """
    resized = [
        image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3)
        for image in images
    ]
    return torch.from_numpy(np.stack([np.asarray(image) for image in resized])).permute(0, 3, 1, 2)


def scale(pixels: Tensor) -> Tensor:
    """Bytes of any shape to [-1, 1], with which the classifier is most often right (mean and deviation .5)."""
    return pixels.float().div_(127.5).sub_(1)


def class_names() -> tuple[str, ...]:
    """The 1000 ImageNet classes in plain words, by index."""
    return tuple(read_json(asset_path("imagenet-names") / "imagenet1k_clean_names.json"))


def load_network(weights: dict[str, Tensor]) -> EfficientNetLite2:
    """The network from the published weights, with every batch normalisation folded into its convolution.

    Raises UserError where the weights are those of another network.
    """
    network = EfficientNetLite2()
    pairs = [("stem", "_conv_stem", "_bn0"), ("head", "_conv_head", "_bn1")]
    for number, block in enumerate(network.blocks):
        here, there = f"blocks.{number}.", f"_blocks.{number}."
        if block.expand is not None:
            pairs.append((f"{here}expand", f"{there}_expand_conv", f"{there}_bn0"))
        pairs.append((f"{here}depthwise", f"{there}_depthwise_conv", f"{there}_bn1"))
        pairs.append((f"{here}project", f"{there}_project_conv", f"{there}_bn2"))
    try:
        folded = {"classify.weight": weights["_fc.weight"], "classify.bias": weights["_fc.bias"]}
        for ours, convolution, norm in pairs:
            scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + BATCH_NORM_EPSILON).sqrt()
            folded[f"{ours}.weight"] = weights[f"{convolution}.weight"] * scale[:, None, None, None]
            folded[f"{ours}.bias"] = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
        network.load_state_dict(folded)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"efficientnet-lite2: weights of another network ({reason_of(error)})") from error
    return network
