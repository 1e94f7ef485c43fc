"""What a trained classifier is, beside its weights: its classes, how it reads texts and words its answers."""

from dataclasses import dataclass
from pathlib import Path

from bert_sentiment_analysis.config import SETTINGS, Head, Pooling
from shared.config import build, check
from shared.errors import UserError
from shared.runs import read_json


@dataclass(frozen=True)
class ClassifierSettings:
    """What `classifier.json` holds. With `base` only an adapter or an output layer is stored, to be put upon that.

    A `partner` is the name of a run in a folder beside this one, which answers too: its answer counts by
    `partner_weight`, this one's by the rest.
    """

    label_names: tuple[str, ...] = ("negative", "positive")
    head: Head = "classification"
    pooling: Pooling = "mean"
    max_length: int = 256
    overlap: int = 64
    dropout: float = 0.1
    lora_rank: int = 0
    base: str | None = None
    base_sha256: str | None = None
    temperature: float = 1.0
    abstain_below: float | None = None
    partner: str | None = None
    partner_weight: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "label_names", tuple(self.label_names))  # JSON has lists only
        for name in ("base", "partner"):
            value = getattr(self, name) or ""
            fits = all(len(part.encode()) <= 255 for part in Path(value).parts)  # more is no file's name anywhere
            check(fits, name, f"{value:.40}...", "give the name or path of a model")
        check(0 <= self.dropout < 1, "dropout", self.dropout, "give a share from 0 to below 1")

    @property
    def n_outputs(self) -> int:
        return 1 if self.head == "rating" else len(self.label_names)


def load_settings(folder: Path) -> ClassifierSettings:
    """The settings of a saved classifier. Raises UserError where there is none."""
    if not (folder / SETTINGS).is_file():
        raise UserError(
            f"{folder}: no trained classifier here ({SETTINGS} is missing): give the folder that a finished training "
            f"printed, or finish this one by --resume {folder}; what ships is made by "
            "`python -m bert_sentiment_analysis.shipped_weights`"
        )
    values = read_json(folder / SETTINGS)
    if not isinstance(values, dict):
        raise UserError(f"{folder / SETTINGS}: damaged, not a JSON object: restore it or train anew")
    return build(ClassifierSettings, values)


def usual_pooling(folder: Path) -> Pooling:
    """How the encoder in this folder was trained to be read: one of our runs says so, and sentence-transformers too."""
    if (folder / SETTINGS).is_file():
        return load_settings(folder).pooling
    return "mean" if (folder / "1_Pooling").is_dir() else "first"
