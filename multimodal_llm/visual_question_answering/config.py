"""The settings of a training, and where the shipped weights are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from multimodal_llm.visual_question_answering.data_loader import EASY_VQA
from shared.config import check

PROJECT = "multimodal_llm"
SHIPPED = Path(__file__).parents[1] / "weights" / "shapes"


@dataclass(frozen=True, kw_only=True)
class VqaTrainingConfig:
    """Train a small BLIP to answer questions about pictures of shapes."""

    data: str = EASY_VQA
    """easy_vqa, or a folder laid out like it, with the same answers."""
    epochs: int = 14
    """Passes over the pictures."""
    batch_pictures: int = 16
    """Pictures a step; each is encoded once for all its questions."""
    questions_each: int = 6
    """Questions a picture and step, drawn from its own and from our rewordings."""
    reworded: float = 0.35
    """Share of our rewordings among them; 0 trains on the set's own questions alone."""
    learning_rate: float = 2e-3
    """Highest one of AdamW; it rises over the first tenth of the steps and falls to zero."""
    weight_decay: float = 0.05
    """Of all weights."""
    width: int = 128
    """Width of the picture's and the question's vectors."""
    image_layers: int = 1
    """Transformer layers over the picture's grid."""
    text_layers: int = 2
    """Transformer layers over the question; each looks at the picture."""
    word_dropout: float = 0.08
    """Share of a question's words hidden in a step."""
    validation_pictures: int = 400
    """Pictures kept out of training, for the temperature and the thresholds."""
    max_pictures: int | None = None
    """Train on so many of the pictures only."""
    seed: int = 0
    """Seed of everything random."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    output: str | None = None
    """Folder for the run; by default a new one below runs/."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_pictures", "questions_each", "image_layers", "text_layers"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")
        check(0 <= self.reworded < 1, "reworded", self.reworded, "give a share below 1")
        check(self.learning_rate > 0, "learning_rate", self.learning_rate, "give a number above 0")
        check(self.validation_pictures >= 20, "validation_pictures", self.validation_pictures, "give at least 20")
        many = self.max_pictures is None or self.max_pictures > self.validation_pictures
        check(many, "max_pictures", self.max_pictures, "give more than --validation_pictures")
