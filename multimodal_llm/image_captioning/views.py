"""A photo seen several ways: as it is, mirrored, cropped and tinted at random, so that there is more to learn from it.

The grids of all views are computed once and kept, for the image encoder is never trained: a view costs one pass over
the photos, and training then reads grids only. Crops keep most of the picture, since what a caption says must stay
visible; the hue is left alone, since captions name colours.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional as F

from multimodal_llm.image_captioning.flickr import CaptionedPhoto
from multimodal_llm.image_encoder import ImageEncoder, scale, stack
from multimodal_llm.images import load_image

PLAIN, MIRRORED = 0, 1
SMALLEST_CROP = 0.75  # of each side
TINT = 0.2  # change of brightness, contrast and saturation, at most


def load_pixels(photos: Sequence[CaptionedPhoto], side: int) -> Tensor:
    """All photos as bytes (N, 3, side, side): 900 MB for 6,000 at 224 pixels, decoded once for all views."""
    with ThreadPoolExecutor(os.cpu_count()) as readers:  # decoding runs outside Python's lock
        pictures = readers.map(lambda photo: stack([load_image(photo.file)], side), photos)
        return torch.cat(list(pictures))


@torch.inference_mode()
def grids_of_view(
    encoder: ImageEncoder,
    pixels: Tensor,
    view: int,
    batch: int = 32,
    progress: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """The grids (N, cells, 1280) of one view of these pixels (N, 3, side, side), in fp16 on the encoder's device.

    View 0 is the photo as it is, 1 its mirror image, any other number is the seed of a random view.
    """
    generator = torch.Generator().manual_seed(view)
    grids = []
    for start in range(0, len(pixels), batch):
        part = scale(pixels[start : start + batch].to(encoder.device))
        grids.append(encoder.grid(see(part, view, generator)).flatten(1, 2).half())
        progress(start + len(part))
    return torch.cat(grids)


def see(pixels: Tensor, view: int, generator: torch.Generator) -> Tensor:
    """Pixels (N, 3, H, W) in [-1, 1] as this view shows them."""
    if view == PLAIN:
        return pixels
    if view == MIRRORED:
        return pixels.flip(-1)
    n = len(pixels)
    draw = torch.rand(7, n, generator=generator).to(pixels.device)
    size = SMALLEST_CROP + (1 - SMALLEST_CROP) * draw[:2]  # (2, N), width and height each
    middle = (1 - size) * (2 * draw[2:4] - 1)
    mirror = torch.where(torch.arange(n, device=pixels.device) % 2 == view % 2, -1.0, 1.0)
    place = torch.zeros(n, 2, 3, device=pixels.device)
    place[:, 0, 0], place[:, 1, 1] = size[0] * mirror, size[1]
    place[:, 0, 2], place[:, 1, 2] = middle
    where = F.affine_grid(place, list(pixels.shape), align_corners=False)
    cropped = F.grid_sample(pixels, where, padding_mode="reflection", align_corners=False)
    brightness, contrast, saturation = ((2 * draw[4:] - 1) * TINT)[:, :, None, None, None]  # (N, 1, 1, 1) each
    grey = cropped.mean(1, keepdim=True)
    tinted = grey + (cropped - grey) * (1 + saturation)
    mean = tinted.mean((1, 2, 3), keepdim=True)
    return (mean + (tinted - mean) * (1 + contrast) + brightness).clamp(-1, 1)
