"""What several tests of this project need."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (250, 250, 250)}
CAPTIONS = ("A {} wall .", "the {} wall", "a wall is {}", "{} paint", "a {} wall")


def write_photos(folder: Path, counts: dict[str, int]) -> Path:
    """A set in Flickr8k layout: plain coloured pictures of which five people say what colour they are."""
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    lines = []
    for split, n in counts.items():
        for number in range(n):
            colour = list(COLOURS)[number % len(COLOURS)]
            noise = random.integers(-20, 20, (48, 64, 3))
            pixels = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
            file = f"{split}_{number}.jpg"
            Image.fromarray(pixels).save(folder / "images" / file)
            said = [
                f"A {colour} wall .",
                f"the {colour} wall",
                f"a wall is {colour}",
                f"{colour} paint",
                f"a {colour} wall",
            ]
            lines.append(json.dumps({"file": file, "split": split, "captions": said}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def flickr(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("set") / "flickr", {"train": 12, "dev": 8})


@pytest.fixture
def random_encoder(monkeypatch) -> None:
    """The image encoder with random weights, whatever the packaged ones are."""
    from multimodal_llm.image_encoder import EfficientNetLite2, ImageEncoder

    torch.manual_seed(0)
    encoder = ImageEncoder(EfficientNetLite2())
    monkeypatch.setattr(ImageEncoder, "load", classmethod(lambda cls, device="auto": encoder))
