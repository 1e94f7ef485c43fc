"""Every setting of a training; `config.yaml` holds the same defaults. Nothing here loads torch: `--help` is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared.config import check
from shared.tracking import Tool

PROJECT = "bert_sentiment_analysis"
SHIPPED = Path(__file__).with_name("weights")
DEFAULT_RUN = "english-sentiment"
SETTINGS = "classifier.json"  # marks a folder as a whole classifier

# What trains best in some three minutes on a processor. The word vectors, half of all weights, stay as they are and
# nothing is dropped within the encoder: both save time, and in two passes neither costs accuracy. How many raters agree
# says more than a label, above all of lukewarm texts.
QUICK_RECIPE: dict[str, Any] = {
    "targets": "ratings",
    "epochs": 2,
    "learning_rate": 1.5e-4,
    "freeze": "embeddings",
    "encoder_dropout": 0.0,
    "patience": 0,
    "tracking": "none",
}

Head = Literal["classification", "rating"]
Targets = Literal["labels", "ratings"]
Pooling = Literal["mean", "first"]
Freeze = Literal["nothing", "embeddings", "encoder"]


@dataclass(frozen=True)
class TrainingConfig:
    """Fine-tune an encoder to tell the sentiment of texts."""

    model: str = "minilm"
    """Encoder: minilm or smollm2 (packaged), bert-base-uncased, any hub name, a folder, or that of a run, such as the
    english-sentiment that ships."""
    dataset: str = "rotten_tomatoes"
    """Set to learn: a packaged one, a file or a hub set; several packaged ones with commas."""
    text_column: str | None = None
    """Column of a file that holds the texts; by default the first of text, sentence, review, content."""
    label_column: str | None = None
    """Column of a file that holds the labels; by default label or sentiment."""
    head: Head = "classification"
    """classification: a class with its probability. rating: a number, the mean of human ratings from -4 to 4."""
    targets: Targets = "labels"
    """What two classes are learned from where people rated a text: its label, or how many raters agree with it."""
    pooling: Literal["auto", "mean", "first"] = "auto"
    """Text vector: the mean of all tokens, or the first one; auto takes what suits the encoder, the mean for minilm."""
    max_length: int = 256
    """Tokens of a window, at most the positions of the model; longer texts are read in several windows."""
    overlap: int = 64
    """Tokens that a window shares with the one before it."""
    n_train: int | None = None
    """Train on this many texts only, evenly spread over the set; by default on all."""

    epochs: int = 3
    """Passes over the texts."""
    batch_size: int = 32
    """Texts a step, over all processes."""
    learning_rate: float | None = None
    """Peak rate of the encoder; by default 1e-4 for all weights and 1e-3 for an adapter."""
    head_learning_rate: float = 1e-3
    """Peak rate of the new output layer, which has everything to learn."""
    warmup: float = 0.1
    """Share of the steps over which the rates rise from zero; after that they fall to zero in a straight line."""
    weight_decay: float = 0.01
    """Pull of the matrices towards zero."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 leaves it as it is."""
    dropout: float = 0.1
    """Share of the text vector that is dropped before the output layer in training."""
    encoder_dropout: float | None = None
    """Share dropped within the encoder; by default its authors' choice. 0 trains a third faster on a processor."""
    freeze: Freeze = "nothing"
    """What of the encoder stays as it is: nothing, the embeddings (half of minilm), or the whole encoder."""
    lora_rank: int = 0
    """Train a low-rank adapter of this rank (linear layers and word vectors) instead of all weights; 0 trains those."""
    evaluations: int = 2
    """Evaluations in one pass; each saves a checkpoint, and the best one is kept."""
    patience: int = 3
    """Stop after this many evaluations in a row without a new best; 0 never stops early."""
    abstain_target: float = 0.95
    """Accuracy wanted of the answers that are given: less certain texts go without one."""

    group_by_length: bool = True
    """Batches of texts of similar length, which need little padding; false draws them at random."""
    padding: Literal["least", "longest", "max_length"] = "least"
    """Compute windows of similar length together; or fill a batch up to its longest window, or to max_length, which
    shows what padding costs."""
    seed: int = 0
    """Seed of the output layer, the order of texts and dropout."""
    n_seeds: int = 1
    """Trainings with the seeds seed, seed + 1, ...: the summary has the mean and the spread of their scores."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the matrix products; auto takes bf16 where it is faster."""
    tracking: Tool = "mlflow"
    """Experiment tracker: mlflow (a local SQLite file), wandb, or none."""
    output: str | None = None
    """Folder for the run; by default runs/bert_sentiment_analysis/DATE-TIME."""
    resume: str | None = None
    """Folder of an interrupted run to continue, bit for bit, with its own settings."""

    def __post_init__(self) -> None:
        used = self.targets == "labels" or self.head == "classification"
        check(used, "targets", self.targets, "leave it out: the rating head learns from ratings anyhow")
        for name in ("batch_size", "epochs", "evaluations", "n_seeds"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give a whole number of at least 1")
        check(self.model != "", "model", "''", "give the name of an encoder, such as minilm")
        check(self.dataset != "", "dataset", "''", "give the name of a set, such as rotten_tomatoes")
        check(self.max_length >= 8, "max_length", self.max_length, "give at least 8 tokens")
        room = self.max_length // 2
        check(0 <= self.overlap <= room, "overlap", self.overlap, f"give 0 to {room}, half of max_length")
        check(self.n_train is None or self.n_train >= 2, "n_train", self.n_train, "give at least 2 texts")
        positive = self.learning_rate is None or self.learning_rate > 0
        check(positive, "learning_rate", self.learning_rate, "give a number above 0")
        check(self.head_learning_rate > 0, "head_learning_rate", self.head_learning_rate, "give a number above 0")
        check(0 <= self.warmup < 1, "warmup", self.warmup, "give a share from 0 to below 1")
        for name in ("weight_decay", "clip", "lora_rank", "patience"):
            check(getattr(self, name) >= 0, name, getattr(self, name), "give 0 or more")
        for name in ("dropout", "encoder_dropout"):
            share = getattr(self, name)
            check(share is None or 0 <= share < 1, name, share, "give a share from 0 to below 1")
        alone = self.freeze == "nothing" or not self.lora_rank
        check(alone, "freeze", self.freeze, "leave it out: --lora_rank freezes the encoder by itself")
        check(0 < self.abstain_target <= 1, "abstain_target", self.abstain_target, "give a share above 0 and up to 1")

    @property
    def encoder_learning_rate(self) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        return 1e-3 if self.lora_rank else 1e-4


def run_path(name: str | Path) -> Path:
    """The folder of a run: one that ships, by its name, or any other."""
    shipped = SHIPPED / name
    return shipped if shipped.is_dir() and not Path(name).exists() else Path(name)
