"""Train the towers of the joint space on photos with captions: what the weights in multimodal_llm/weights came from.

python -m multimodal_llm.clip_applications.train_joint_space --data FLICKR_DIR

Both encoders stay as they are: what they make of each view of each photo and of each caption is computed once. Then
each step takes some photos with one caption each and asks, of every photo which caption is its own, and of every
caption which photo (the symmetric cross-entropy of CLIP, arXiv 2103.00020, figure 3). Choices were made on photos of
the train split that were held out; the last training takes them too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from multimodal_llm.photo_training import PhotoTrainingConfig, claimed_output, finish, see_views, take_photos
from shared.config import check, parse_config
from shared.errors import run_program
from shared.logging import get_logger, print_result, progress_bar, setup_logging
from shared.runs import RunFolder

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from multimodal_llm.image_captioning.flickr import CaptionedPhoto

log = get_logger(__name__)

CAPTIONS = 5  # of each photo; where there are fewer, they are repeated
CUT_TOKENS = 40


@dataclass(frozen=True, kw_only=True)
class JointTrainingConfig(PhotoTrainingConfig):
    """Train the joint space of photos and sentences: the defaults are the recipe of the weights that ship."""

    output: str = "runs/multimodal_llm/joint-space"
    """Folder for the weights."""
    width: int = 512
    """Width of the space."""
    heads: int = 8
    """Queries of the pooling over tokens."""
    hidden: int = 256
    """Inner width of each tower's last layer."""
    dropout: float = 0.3
    """Share of inputs and inner values dropped at each step."""
    epochs: int = 40
    """Passes over the photos."""
    batch_size: int = 512
    """Photos in a step, each compared with the captions of all others."""
    learning_rate: float = 1e-3
    """Highest learning rate."""
    weight_decay: float = 0.05
    """Of the matrices."""
    temperature: float = 0.05
    """By which cosines are divided at the start; it is learnt too."""
    average: float = 0.98
    """How slowly the averaged weights, which are kept, follow those of the steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.batch_size >= 2, "batch_size", self.batch_size, "give at least 2, which are compared with each other"
        )
        for name in ("epochs", "width", "heads", "hidden"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")
        check(self.width % self.heads == 0, "heads", self.heads, f"give a divisor of the width, {self.width}")
        check(0 <= self.dropout < 1, "dropout", self.dropout, "give a share from 0 to below 1")
        check(self.learning_rate > 0, "learning_rate", self.learning_rate, "give a number above 0")
        check(self.weight_decay >= 0, "weight_decay", self.weight_decay, "give 0 or more")
        check(self.temperature > 0, "temperature", self.temperature, "give a number above 0")
        check(0 <= self.average < 1, "average", self.average, "give a share from 0 to below 1")


class Pairs(NamedTuple):
    """Photos and their captions as the frozen encoders see them."""

    pooled: "Tensor"
    """(views, photos, 1280)"""
    mean_class: "Tensor"
    """(views, photos, 384), the weighed mean of the class names"""
    tokens: "Tensor"
    """(photos, 5, T, 384) in 16 bits"""
    mask: "Tensor"
    """(photos, 5, T)"""

    def of(self, photos: slice) -> "Pairs":
        """The same of some of the photos."""
        return Pairs(self.pooled[:, photos], self.mean_class[:, photos], self.tokens[photos], self.mask[photos])


def train(config: JointTrainingConfig) -> dict[str, Any]:
    """Train, save, and give the scores on the held-out photos, if any.

    Raises UserError for an unusable folder, and where another process trains in the output folder.
    """
    photos = take_photos(config)
    with claimed_output(config) as run:
        return _train_on(photos, config, run)


def _train_on(photos: "list[CaptionedPhoto]", config: JointTrainingConfig, run: RunFolder) -> dict[str, Any]:
    from multimodal_llm.clip_applications.joint_space import JointSpaceSettings, Towers
    from shared.devices import choose_device, seed_everything
    from shared.timing import Timer

    device = choose_device(config.device)
    log.info("device %s: %s", *device)
    pairs = _see_and_read(config, photos, device.value)
    held, learnt = pairs.of(slice(config.held_out)), pairs.of(slice(config.held_out, None))

    seed_everything(config.seed)
    shape = {name: getattr(config, name) for name in ("width", "heads", "hidden", "dropout")}
    towers = Towers(JointSpaceSettings(**shape)).to(device.value)
    with Timer() as timer, progress_bar("epochs", config.epochs) as show:
        loss = learn(towers, learnt, config, lambda epoch, loss: show(epoch, f"loss {loss:.3f}"))
    scores = {f"held_out_{name}": value for name, value in scores_of(towers, held).items()} if config.held_out else {}
    towers.save(run.path)
    parameters = sum(weight.numel() for weight in towers.parameters())
    result = {**scores, "loss": loss, "parameters": parameters, "train_seconds": timer.seconds, "output": config.output}
    finish(run, config, photos, result)
    return result


def learn(
    towers: Any,
    pairs: Pairs,
    config: JointTrainingConfig,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> float:
    """Train the towers in place; they end with the averaged weights. Gives the last step's loss, in nats."""
    import torch

    device = pairs.pooled.device
    n, steps_an_epoch = len(pairs.tokens), math.ceil(len(pairs.tokens) / config.batch_size)
    sharpness = torch.nn.Parameter(torch.tensor(math.log(1 / config.temperature), device=device))
    matrices = [weight for weight in towers.parameters() if weight.ndim > 1]
    others = [weight for weight in towers.parameters() if weight.ndim < 2]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": [*others, sharpness]}]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.epochs * steps_an_epoch, pct_start=0.1
    )
    averaged = [weight.detach().clone() for weight in towers.parameters()]
    towers.train()
    step, loss = 0, torch.tensor(0.0)
    for epoch in range(1, config.epochs + 1):
        for rows in torch.randperm(n, device=device).tensor_split(steps_an_epoch):
            view = torch.randint(len(pairs.pooled), rows.shape, device=device)
            caption = torch.randint(CAPTIONS, rows.shape, device=device)
            images = towers.image(pairs.pooled[view, rows], pairs.mean_class[view, rows])  # (B, W)
            texts = towers.text(pairs.tokens[rows, caption].float(), pairs.mask[rows, caption])  # (B, W)
            loss = contrastive_loss(images, texts, sharpness.exp().clamp(max=100))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            follow = min(config.average, step / (step + 10))  # at first the average follows faster
            with torch.no_grad():
                for kept, weight in zip(averaged, towers.parameters(), strict=True):
                    kept.lerp_(weight, 1 - follow)
        report(epoch, loss.item())
    with torch.no_grad():
        for kept, weight in zip(averaged, towers.parameters(), strict=True):
            weight.copy_(kept)
    towers.eval()
    return loss.item()


def contrastive_loss(images: "Tensor", texts: "Tensor", sharpness: "Tensor | float") -> "Tensor":
    """The symmetric cross-entropy of B photos and their captions, both (B, W) of length 1: row i belongs to row i.

    Equal vectors everywhere give log B twice; the loss falls to 0 where each is nearest to its own.
    """
    import torch
    from torch.nn import functional as F

    scores = images @ texts.T * sharpness  # (B, B)
    own = torch.arange(len(scores), device=scores.device)
    return F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)


def scores_of(towers: Any, pairs: Pairs) -> dict[str, float]:
    """Recall at 1, 5 and 10 both ways, of photos as they are and all their captions."""
    import torch

    with torch.inference_mode():
        images = towers.image(pairs.pooled[0], pairs.mean_class[0])
        texts = torch.cat([
            towers.text(tokens.flatten(0, 1).float(), mask.flatten(0, 1))
            for tokens, mask in zip(pairs.tokens.split(100), pairs.mask.split(100), strict=True)
        ])  # fmt: skip
    return recalls((texts @ images.T).cpu().numpy(), CAPTIONS)


def recalls(cosines: "np.ndarray", captions: int) -> dict[str, float]:
    """Of cosines (photos * captions, photos), where each photo's captions follow one another: the share of texts whose
    photo is among the best k (t2i_rK), and of photos that have one of their texts among the best k (i2t_rK).
    """
    import numpy as np

    n = cosines.shape[1]
    own = cosines[np.arange(n * captions), np.arange(n).repeat(captions)]  # (photos * captions,)
    better_photos = (cosines > own[:, None]).sum(1)
    best = own.reshape(n, captions).max(1)
    better_texts = (cosines > best[None]).sum(0)
    found = {f"t2i_r{k}": float((better_photos < k).mean()) for k in (1, 5, 10)}
    return found | {f"i2t_r{k}": float((better_texts < k).mean()) for k in (1, 5, 10)}


def _see_and_read(config: JointTrainingConfig, photos: Sequence[Any], device: str) -> Pairs:
    """What the frozen encoders make of all views and captions."""
    import torch

    from multimodal_llm.clip_applications.joint_space import class_meanings, read_tokens
    from multimodal_llm.image_encoder import GRID_SIDE, ImageEncoder
    from shared.text_encoder import load_text_encoder

    reader: Any = load_text_encoder("minilm")
    classes = class_meanings(reader)
    captions = [(list(photo.captions) * CAPTIONS)[:CAPTIONS] for photo in photos]
    tokens, masks = [], []
    with progress_bar("captions", len(photos)) as show:
        for start in range(0, len(photos), 16):
            some = [text for group in captions[start : start + 16] for text in group]
            vectors, mask = read_tokens(reader, some)
            wide = (0, CUT_TOKENS - vectors.shape[1])
            tokens.append(torch.nn.functional.pad(vectors, (0, 0, *wide)).half())
            masks.append(torch.nn.functional.pad(mask, wide))
            show(start + 16)
    encoder = ImageEncoder.load(device)
    pooled = see_views(config, encoder, photos, GRID_SIDE, pooled=True)  # (views, photos, 1280)
    probabilities = encoder.network.classify(pooled).softmax(-1)
    return Pairs(
        pooled,
        probabilities @ classes.to(device),
        torch.cat(tokens).unflatten(0, (-1, CAPTIONS)).to(device),
        torch.cat(masks).unflatten(0, (-1, CAPTIONS)).to(device),
    )


def main() -> None:
    config = parse_config(JointTrainingConfig, prog="python -m multimodal_llm.clip_applications.train_joint_space")
    setup_logging()
    print_result(train(config))


if __name__ == "__main__":
    run_program(main)
