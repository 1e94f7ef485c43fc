"""Trainings for tools/faults.py to disturb: a language model, a classifier of texts, a captioner of pictures.

Models are tiny and random, photos and texts are drawn.
"""

import hashlib
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.borrowed import load, of_tests


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _lines(folder: Path, but: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The run's metrics without what no two runs share."""
    from shared.runs import RunFolder

    return [{name: value for name, value in line.items() if name not in but} for line in RunFolder(folder).metrics()]


def begin_language_model(given: Path) -> None:
    load("transformer_from_scratch.training", "transformer_from_scratch.checkpoint", "shared.tracking")
    draw = random.Random(0)
    words = ["sea", "lamp", "stone", "the", "a", "under", "is", "old"]
    (given / "text.txt").write_text(" ".join(draw.choice(words) for _ in range(900)))


def train_language_model(given: Path, folder: Path) -> None:
    from shared.runs import SUMMARY
    from transformer_from_scratch.train_simple_lm import main

    run = folder / "run"
    if (run / SUMMARY).exists():
        return
    if (run / "config.json").exists():
        main(["--resume", str(run)])
    else:
        flags = ["--max_steps", "60", "--eval_every", "10", "--warmup_steps", "5", "--device", "cpu"]
        main(["--preset", "tiny", "--data", str(given / "text.txt"), "--output", str(run), *flags])


def language_model(folder: Path) -> dict[str, Any]:
    from shared.runs import RunFolder

    run = folder / "run"
    loss = RunFolder.open(run).summary()["val_loss"]
    return {"model": _hash(run / "model.safetensors"), "loss": loss, "metrics": _lines(run, ["seconds"])}


def look_at_language_model(folder: Path) -> None:
    from safetensors import safe_open

    for file in (folder / "run").glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            assert opened.keys()


def begin_sentiment(given: Path) -> None:
    load("bert_sentiment_analysis.models.trainer", "bert_sentiment_analysis.train")
    of_tests("bert_sentiment_analysis", "conftest").build_encoder("bert", given / "encoder")
    of_tests("bert_sentiment_analysis", "test_trainer").write_reviews(given / "reviews.csv", 120)


def train_sentiment(given: Path, folder: Path) -> None:
    from bert_sentiment_analysis.config import TrainingConfig
    from bert_sentiment_analysis.train import finish

    values: dict[str, Any] = {"epochs": 4, "batch_size": 16, "n_train": 80, "max_length": 16, "overlap": 4}
    where: dict[str, Any] = {"model": str(given / "encoder"), "dataset": str(given / "reviews.csv")}
    how: dict[str, Any] = {"device": "cpu", "precision": "fp32", "tracking": "none", "patience": 0}
    finish(TrainingConfig(**values, **where, **how), folder / "run")


def sentiment(folder: Path) -> dict[str, Any]:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier
    from shared.runs import RunFolder

    run = folder / "run"
    TextClassifier.load(run)
    scores = {name: RunFolder(run).summary()[name] for name in ("accuracy", "best_val_score", "steps", "temperature")}
    # A training loss is the mean since the line before, or since the start of the process.
    kept = ("step", "val_loss", "val_accuracy")
    metrics = [{name: line[name] for name in kept} for line in RunFolder(run).metrics() if "val_loss" in line]
    files = sorted(str(file.relative_to(run)) for file in run.rglob("*") if file.is_file() and file.suffix != ".draft")
    return {"model": _hash(run / "model.safetensors"), **scores, "metrics": metrics, "files": files}


def begin_captioner(given: Path) -> None:
    load("multimodal_llm.image_captioning.train", "multimodal_llm.image_captioning.training")
    load("multimodal_llm.image_captioning.small_captioner", "multimodal_llm.image_captioning.views")
    import torch

    from multimodal_llm.image_encoder import EfficientNetLite2, ImageEncoder

    of_tests("multimodal_llm", "conftest").write_photos(given / "photos", {"train": 12})
    torch.manual_seed(0)
    encoder = ImageEncoder(EfficientNetLite2())
    vars_of: Any = ImageEncoder
    vars_of.load = lambda device="auto": encoder


def train_captioner(given: Path, folder: Path) -> None:
    from multimodal_llm.image_captioning.train import TrainConfig, train

    os.chdir(folder)  # what the encoder saw is kept below it
    shape: dict[str, Any] = {"side": 32, "width": 32, "heads": 4, "encoder_layers": 1, "decoder_layers": 1}
    how: dict[str, Any] = {"views": 2, "held_out": 4, "min_count": 1, "word_epochs": 5, "sentence_epochs": 2}
    if not (folder / "run" / "summary.json").exists():
        train(TrainConfig(data=str(given / "photos"), output="run", device="cpu", **shape, **how))


def captioner(folder: Path) -> dict[str, Any]:
    from multimodal_llm.image_captioning.small_captioner import SmallCaptioner

    run = folder / "run"
    SmallCaptioner.load(run, "cpu")
    score = json.loads((run / "summary.json").read_text())["held_out_cider"]
    return {"model": _hash(run / "model.safetensors"), "cider": score, "metrics": _lines(run, ["seconds"])}
