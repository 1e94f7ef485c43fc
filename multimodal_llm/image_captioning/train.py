"""Train the small captioner on photos with captions.

python -m multimodal_llm.image_captioning.train --data FLICKR_DIR
python -m multimodal_llm.image_captioning.train --data FLICKR_DIR --device cuda

The image encoder stays as it is: the grids of every view of every photo are computed once and kept below
runs/multimodal_llm/features, then the decoder learns words, then sentences (training.py). A run that was stopped goes
on with the view or the epoch that it had not finished, when the same command is given with the same --output;
--minutes stops it by itself.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multimodal_llm.photo_training import PhotoTrainingConfig, claimed_output, finish, see_views, take_photos
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.logging import format_cell, get_logger, print_result, setup_logging
from shared.runs import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from multimodal_llm.image_captioning.caption_model import CaptionSettings
    from multimodal_llm.image_captioning.flickr import CaptionedPhoto
    from multimodal_llm.image_captioning.vocabulary import Vocabulary

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(PhotoTrainingConfig):
    """Train the small captioner: its defaults are the recipe of the weights that ship."""

    output: str = "runs/multimodal_llm/captioner"
    """Folder for the captioner."""
    start: str | None = None
    """Folder of a captioner to go on from, instead of random weights; its shape must be the same."""
    start_share: float = 0.0
    """Share of that captioner's weights in the result, the rest being what was learnt (arXiv 2109.01903)."""
    minutes: float | None = None
    """Stop after the epoch in which so much time has passed; the same command then goes on."""
    min_count: int = 5
    """How often people must have written a word for it to be learnt."""
    side: int = 224
    """Pixels of the square that a photo is brought to."""
    width: int = 304
    """Width of the decoder."""
    heads: int = 8
    """Attention heads."""
    encoder_layers: int = 1
    """Layers in which the grid cells attend to each other."""
    decoder_layers: int = 3
    """Layers of the decoder."""
    feed_forward: int = 4
    """Inner width of the feed-forward layers, in widths."""
    dropout: float = 0.15
    """Share of activations dropped at each training step."""
    cell_dropout: float = 0.1
    """Share of grid cells hidden at each training step."""
    use_classes: bool = False
    """Whether the decoder also looks at the classifier's probabilities."""
    word_epochs: int = 20
    """Passes over the photos that learn the next word; 0 leaves the stage out, which wants a --start."""
    word_lr: float = 1.5e-3
    """Highest learning rate of that stage."""
    sentence_epochs: int = 8
    """Passes over the photos that learn whole sentences; 0 leaves the stage out."""
    sentence_lr: float = 3e-4
    """Highest learning rate of that stage."""
    samples: int = 5
    """Sentences that the model writes about each photo at each step of that stage."""
    word_weight: float = 0.3
    """Share of the first stage's loss in that of the second."""
    photos_a_step: int = 256
    """Photos in a step of either stage, each with five captions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.minutes is None or self.minutes > 0, "minutes", self.minutes, "give more than 0")
        check(
            self.word_epochs >= (0 if self.start else 1),
            "word_epochs",
            self.word_epochs,
            "give at least 1, or a --start",
        )
        for name in ("side", "width", "heads", "decoder_layers", "feed_forward", "photos_a_step"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")
        check(self.width % self.heads == 0, "heads", self.heads, f"give a divisor of the width, {self.width}")
        for name in ("encoder_layers", "sentence_epochs"):
            check(getattr(self, name) >= 0, name, getattr(self, name), "give 0 or more")
        for name in ("word_lr", "sentence_lr"):
            check(getattr(self, name) > 0, name, getattr(self, name), "give a number above 0")
        for name in ("start_share", "dropout", "cell_dropout"):
            check(0 <= getattr(self, name) < 1, name, getattr(self, name), "give a share from 0 to below 1")
        check(self.samples >= 2, "samples", self.samples, "give at least 2, which are compared with each other")
        check(0 <= self.word_weight <= 1, "word_weight", self.word_weight, "give a share from 0 to 1")


def train(config: TrainConfig) -> dict[str, Any]:
    """Train, save, and give the scores on the held-out photos.

    Raises UserError for an unusable folder, where another process trains in the output folder, and where `start` has
    other words or another shape.
    """
    from multimodal_llm.image_captioning.vocabulary import Vocabulary

    photos = take_photos(config)
    vocabulary = Vocabulary.of((text for photo in photos for text in photo.captions), config.min_count)
    start = _weights_of_start(config, vocabulary) if config.start else None
    with claimed_output(config) as run:
        return _train_on(photos, vocabulary, start, config, run)


def _train_on(
    photos: "list[CaptionedPhoto]",
    vocabulary: "Vocabulary",
    start: "dict[str, Tensor] | None",
    config: TrainConfig,
    run: RunFolder,
) -> dict[str, Any]:
    import math

    from multimodal_llm.image_captioning.caption_model import CaptionModel, count_parameters
    from multimodal_llm.image_captioning.small_captioner import SmallCaptioner
    from multimodal_llm.image_captioning.training import CaptionData, HeldOut, encode_captions, held_out_scores
    from multimodal_llm.image_encoder import ImageEncoder
    from shared.devices import choose_device, keep_freed_memory, seed_everything
    from shared.timing import Timer

    stop_at = math.inf if config.minutes is None else time.monotonic() + 60 * config.minutes
    device = choose_device(config.device)
    log.info("device %s: %s", *device)
    keep_freed_memory()

    encoder = ImageEncoder.load(device.value)
    grids = see_views(config, encoder, photos, config.side)  # (views, photos, cells, 1280)
    chances = _probabilities(encoder, grids) if config.use_classes else None
    settings = _shape(config, vocabulary)
    held, learnt = slice(config.held_out), slice(config.held_out, None)
    words, references = encode_captions(photos[learnt], vocabulary, settings.max_words)
    data = CaptionData(
        grids[:, learnt], None if chances is None else chances[:, learnt], words.to(grids.device), references
    )
    test = HeldOut(photos[held], grids[0, held], None if chances is None else chances[0, held])

    seed_everything(config.seed)
    model = CaptionModel(settings).to(device.value)
    if start:
        model.load_state_dict(start)
    log.info("%s words, %s parameters", f"{len(vocabulary):,}", f"{count_parameters(model):,}")
    with Timer() as timer:
        finished = _both_stages(config, run, model, data, test, vocabulary, stop_at)
    if not finished:
        log.info("the time is up: give the same command to go on")
        return {"finished": False, "output": config.output, "seconds": timer.seconds}
    if start and config.start_share:
        _mix(model, start, config.start_share)
    SmallCaptioner(model, vocabulary, encoder).save(run.path)
    scores = held_out_scores(model, test, vocabulary, beams=5) if config.held_out else {}
    result: dict[str, Any] = {f"held_out_{name}": value for name, value in scores.items()}
    result |= {"finished": True, "parameters": count_parameters(model), "output": config.output}
    finish(run, config, photos, result)
    return {**result, "seconds": timer.seconds}


def _both_stages(
    config: TrainConfig, run: RunFolder, model: Any, data: Any, test: Any, vocabulary: Any, stop_at: float
) -> bool:
    """Leave the averaged weights of the last stage in the model; False where the time was up before."""
    from multimodal_llm.image_captioning.checkpoint import Checkpoint
    from multimodal_llm.image_captioning.reward import CiderReward
    from multimodal_llm.image_captioning.training import (
        SentenceStage,
        Unfinished,
        WordStage,
        held_out_scores,
        learn_sentences,
        learn_words,
    )

    started = time.monotonic()

    def report(stage: str, epoch: int, value: float, averaged: Any) -> None:
        line = {"stage": stage, "epoch": epoch, "value": value, "seconds": time.monotonic() - started}
        if config.held_out:
            line |= held_out_scores(averaged, test, vocabulary)
        # Of an epoch that a kill cut off before its checkpoint there is a line already.
        run.keep_metrics(lambda kept: (kept["stage"], kept["epoch"]) != (stage, epoch))
        run.log_metrics(line)
        log.info("%s", ", ".join(f"{name} {format_cell(value)}" for name, value in line.items()))

    steps = {"photos_a_step": config.photos_a_step}
    words = WordStage(epochs=config.word_epochs, lr=config.word_lr, **steps)
    try:
        kept = Checkpoint(run.path / "words.safetensors", stop_at)
        averaged = learn_words(model, data, words, report, kept)
        model.load_state_dict(averaged.state_dict())
        if config.sentence_epochs:
            sentences = SentenceStage(
                epochs=config.sentence_epochs,
                lr=config.sentence_lr,
                samples=config.samples,
                word_weight=config.word_weight,
                **steps,
            )
            reward = CiderReward(data.references, data.words.device)
            kept = Checkpoint(run.path / "sentences.safetensors", stop_at)
            averaged = learn_sentences(model, data, reward, sentences, report, kept)
            model.load_state_dict(averaged.state_dict())
    except Unfinished:
        return False
    return True


def _weights_of_start(config: TrainConfig, vocabulary: "Vocabulary") -> "dict[str, Tensor]":
    """Those of the captioner to go on from. Raises UserError where its words or its shape are others."""
    from multimodal_llm.image_captioning.caption_model import CaptionModel
    from multimodal_llm.image_captioning.small_captioner import SmallCaptioner

    assert config.start is not None
    before = SmallCaptioner.load(config.start, "cpu")
    if before.vocabulary.words != vocabulary.words:
        raise UserError(f"--start {config.start}: learnt other words: give one that was trained on the same photos")
    try:
        CaptionModel(_shape(config, vocabulary)).load_state_dict(before.model.state_dict())
    except RuntimeError as error:
        remedy = "give its width and layers as options"
        raise UserError(f"--start {config.start}: has another shape: {remedy}") from error
    return before.model.state_dict()


def _mix(model: Any, start: "dict[str, Tensor]", share: float) -> None:
    """Bring the weights towards those of the start, on the straight line between (WiSE-FT, arXiv 2109.01903).

    What is learnt last is learnt at the cost of something else; in between is often better than either end.
    """
    after = model.state_dict()
    model.load_state_dict({name: after[name].lerp(start[name].to(after[name]), share) for name in after})


SHAPE = (
    "side",
    "width",
    "heads",
    "encoder_layers",
    "decoder_layers",
    "feed_forward",
    "dropout",
    "cell_dropout",
    "use_classes",
)


def _shape(config: TrainConfig, vocabulary: "Vocabulary") -> "CaptionSettings":
    from multimodal_llm.image_captioning.caption_model import CaptionSettings

    return CaptionSettings(n_words=len(vocabulary), **{name: getattr(config, name) for name in SHAPE})


def _probabilities(encoder: Any, grids: Any) -> Any:
    """The class probabilities (views, photos, 1000) of grids (views, photos, cells, 1280), in fp16."""
    import torch

    rows = [
        encoder.features(part.float().unflatten(1, (round(part.shape[1] ** 0.5), -1))).probabilities.half()
        for grid in grids
        for part in grid.split(256)
    ]
    return torch.cat(rows).view(*grids.shape[:2], -1)


def main() -> None:
    config = parse_config(TrainConfig, prog="python -m multimodal_llm.image_captioning.train")
    setup_logging()
    print_result(train(config))


if __name__ == "__main__":
    run_program(main)
