"""What the trainings on photos with captions share: the photos, the views of them, and what is left beside the weights.

Both the captioner (image_captioning/train.py) and the joint space (clip_applications/train_joint_space.py) learn above
an image encoder that stays as it is. So what it sees in each view of each photo is computed once, and kept below
runs/multimodal_llm/features for the next training.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.config import check, to_dict
from shared.errors import UserError
from shared.logging import get_logger, progress_bar
from shared.runs import CONFIG, SUMMARY, RunFolder, read_json

if TYPE_CHECKING:
    from torch import Tensor

    from multimodal_llm.image_captioning.flickr import CaptionedPhoto
    from multimodal_llm.image_encoder import ImageEncoder

log = get_logger(__name__)

PROJECT = "multimodal_llm"
FEATURES = Path("runs") / PROJECT / "features"
MAY_CHANGE = ("minutes",)
"""Settings that may be others when a run goes on."""


@dataclass(frozen=True, kw_only=True)
class PhotoTrainingConfig:
    """What every training on photos with captions is told."""

    data: str
    """Folder in Flickr8k layout (images/ and captions.jsonl or captions.txt), or a set of the hub (jxie/flickr8k)."""
    output: str
    """Folder for the weights."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    seed: int = 0
    """Seed of everything random."""
    n_photos: int | None = None
    """Photos to take from the train split; by default all."""
    held_out: int = 0
    """How many of these are not learnt from, but tell how the training goes."""
    views: int = 6
    """Ways in which each photo is shown: as it is, mirrored, and random crops and tints."""

    def __post_init__(self) -> None:
        check(self.n_photos is None or self.n_photos >= 2, "n_photos", self.n_photos, "give at least 2")
        check(self.held_out == 0 or self.held_out >= 2, "held_out", self.held_out, "give 0, or at least 2")
        check(self.views >= 1, "views", self.views, "give at least 1")


def take_photos(config: PhotoTrainingConfig) -> "list[CaptionedPhoto]":
    """The photos of the training, those that are held out first. Raises UserError where too few are left to learn from.

    By hash, since neighbours in the alphabet are often photos of one scene.
    """
    from multimodal_llm.image_captioning.flickr import load_photos
    from shared.leaks import text_hash

    photos = sorted(load_photos(config.data, "train"), key=lambda photo: text_hash(photo.file.name))[: config.n_photos]
    if len(photos) - config.held_out < 2:
        raise UserError(f"--held_out {config.held_out}: of {len(photos):,} photos: leave some to learn from")
    return photos


@contextmanager
def claimed_output(config: PhotoTrainingConfig) -> Iterator[RunFolder]:
    """The output folder, with the settings noted in it, which no other process may work on within the block.

    Raises UserError where another does, and where a run with other settings or a finished one is there.
    """
    output = Path(config.output)
    if (output / SUMMARY).exists():
        raise UserError(f"--output {output}: holds a finished run: name another folder")
    settings = {name: value for name, value in to_dict(config).items() if name not in MAY_CHANGE}
    if not (output / CONFIG).exists():
        RunFolder.create(output, PROJECT, settings)
    if read_json(output / CONFIG) != settings:
        raise UserError(f"--output {output}: holds a run with other settings: name another folder")
    run = RunFolder(output)
    with run.claimed():
        yield run


def see_views(
    config: PhotoTrainingConfig,
    encoder: "ImageEncoder",
    photos: "Sequence[CaptionedPhoto]",
    side: int,
    *,
    pooled: bool = False,
) -> "Tensor":
    """The grids (views, photos, cells, 1280) in fp16, or with `pooled` their means (views, photos, 1280) in fp32.

    Photos are brought to `side` x `side` pixels; views that were kept are read from the disk.
    """
    import torch
    from safetensors.torch import load_file, save_file

    from multimodal_llm.image_captioning.views import grids_of_view, load_pixels
    from shared.files import atomic_path

    kept = FEATURES / f"{_name_of(photos)}-{side}{'-pooled' if pooled else ''}"
    pixels, views = None, []
    for view in range(config.views):
        file = kept / f"view-{view}.safetensors"
        if not file.exists():
            pixels = load_pixels(photos, side) if pixels is None else pixels
            with progress_bar(f"view {view + 1} of {config.views}", len(photos)) as update:
                grid = grids_of_view(encoder, pixels, view, progress=update)  # (photos, cells, 1280)
            with atomic_path(file) as draft:
                save_file({"features": (grid.float().mean(1) if pooled else grid).cpu()}, draft)
            log.info("view %d of %d is kept in %s", view + 1, config.views, file)
        views.append(load_file(file, device=encoder.device)["features"])
    return torch.stack(views)


def finish(
    run: RunFolder, config: PhotoTrainingConfig, photos: "Sequence[CaptionedPhoto]", result: dict[str, Any]
) -> None:
    """Leave beside the weights which photos they were trained on, and the outcome, which ends the run."""
    from shared.leaks import save_ids

    save_ids(run.path, [photo.file.name for photo in photos])
    run.write_summary({**result, "config": to_dict(config)})


def _name_of(photos: "Sequence[CaptionedPhoto]") -> str:
    """By file names and sizes: two sets of the hub may well both hold a train-000000.jpg."""
    lines = "\n".join(f"{photo.file.name} {photo.file.stat().st_size}" for photo in photos)
    return hashlib.sha256(lines.encode()).hexdigest()[:12]
