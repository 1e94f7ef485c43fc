"""How fast it trains and predicts, beside transformers' Trainer and pipeline with the same model, taking turns.

Taking turns spreads the noise of a shared machine over all. Every number is the median of the turns; the ratios are
medians of the turns' own ratios.
"""

import copy
import logging
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, TextClassificationPipeline, TrainerCallback
from transformers.modeling_outputs import SequenceClassifierOutput

from bert_sentiment_analysis.config import PROJECT, QUICK_RECIPE, TrainingConfig
from bert_sentiment_analysis.data.imdb_dataset import load_splits
from bert_sentiment_analysis.models.batches import predict_logits
from bert_sentiment_analysis.models.bert_classifier import TextClassifier
from bert_sentiment_analysis.models.trainer import Data, load_data, make_classifier, make_trainer
from shared.cleaning import clean
from shared.config import to_dict
from shared.devices import choose_device, choose_precision, keep_freed_memory
from shared.logging import progress_bar
from shared.runs import RunFolder
from shared.timing import Timer

WARM_UP = 2  # steps
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Of the pipeline, by precision: 32 bits and 1 text are its defaults. In bf16 small ones are its best.
BATCH_SIZES: dict[str, tuple[int, ...]] = {"fp32": (1, 8, 32, 128), "bf16": (1, 8)}
SOURCES = ("imdb", "rotten_tomatoes", "amazon", "tweets", "nyt")

# Name of the row, what it changes of the settings, and its steps a turn: fewer where each takes longer.
TRAININGS: list[tuple[str, dict[str, Any], int]] = [
    ("ours", {name: QUICK_RECIPE[name] for name in ("freeze", "encoder_dropout")}, 24),
    ("ours, all weights and dropout", {}, 24),
    ("Trainer", {"precision": "fp32", "group_by_length": False, "padding": "longest"}, 12),
    ("Trainer, padded to the limit", {"precision": "fp32", "group_by_length": False, "padding": "max_length"}, 6),
]


def training_speeds(config: TrainingConfig, turns: int) -> list[dict[str, Any]]:
    """A row a way to train this model on this set: examples a second, and its share of ours, in the Trainer's loop.

    All have the same Trainer, model and texts. "ours" trains as the recipe of the accuracy beside it does: word vectors
    stay, and nothing is dropped within the encoder. "Trainer" is what its users get with the dynamically padding
    collator: all weights, fp32, texts in random order, each batch padded to its longest text.
    """
    keep_freed_memory()
    data = load_data(config)
    rates: dict[str, list[float]] = {name: [] for name, _, _ in TRAININGS}
    with progress_bar("training speed", turns * len(TRAININGS)) as update:
        for turn in range(turns):
            for name, changes, steps in TRAININGS:
                changed = replace(config, **changes, epochs=1, evaluations=1, seed=config.seed + turn)
                rates[name].append(_examples_per_s(changed, data, steps))
                update(sum(map(len, rates.values())))
    ours = rates["ours"]
    return [
        {
            "way": name,
            "examples_per_s": statistics.median(own),
            "our_speed_up": statistics.median(mine / other for mine, other in zip(ours, own, strict=True)),
        }
        for name, own in rates.items()
    ]


class Clock(TrainerCallback):
    """Times the steps of a training but the first ones."""

    def __init__(self) -> None:
        self.timer = Timer()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == WARM_UP:
            self.timer.__enter__()
        if state.global_step == state.max_steps:
            self.timer.__exit__(None, None, None)


def _examples_per_s(config: TrainingConfig, data: Data, steps: int) -> float:
    """Train on so many batches of texts drawn from the whole set; what is timed are whole steps, loading included."""
    texts = random.Random(config.seed).sample(data.train, (WARM_UP + steps) * config.batch_size)
    some = replace(data, train=texts, validation=data.validation[:2])
    device = choose_device(config.device).value
    classifier = make_classifier(config, data.label_names)
    precision = choose_precision(config.precision, device, classifier.encoder.config.hidden_size).value
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(f"{folder}/run", PROJECT, to_dict(config))
        trainer, _ = make_trainer(config, run, classifier, some, device, precision)
        trainer.add_callback(clock)
        trainer.train()
    return clock.timer.rate(steps * config.batch_size)


def mixed_texts(n: int, classifier: TextClassifier, seed: int) -> list[str]:
    """So many held-out texts of 1 to some 250 tokens, as many of film reviews as of each of four sets of short texts.

    Longer texts than the model's window are left out: the pipeline would cut them, and we read them whole.
    """
    draw = random.Random(seed)
    texts: list[str] = []
    for name in SOURCES:
        test = [clean(example.text) for example in load_splits(name).test]
        draw.shuffle(test)
        fitting = (text for text in test if len(classifier.encode([text])[0]) == 1)
        texts += islice(fitting, n // len(SOURCES))
    draw.shuffle(texts)
    return texts


def prediction_speeds(classifier: TextClassifier, texts: Sequence[str], turns: int) -> list[dict[str, Any]]:
    """A row a way to predict these texts with these weights: texts a second, and the share of equal answers with ours.

    The first of ours is its default, in the precision that is fast on this machine.
    """
    keep_freed_memory()
    ways: dict[str, Callable[[], np.ndarray]] = {
        "ours": lambda: predict_logits(classifier, texts).argmax(1),
        "ours, fp32": lambda: predict_logits(classifier, texts, precision="fp32").argmax(1),
    }
    for precision, sizes in BATCH_SIZES.items():
        pipeline = as_pipeline(copy.deepcopy(classifier).to(DTYPES[precision]))
        for size in sizes:
            ways[f"pipeline, {precision}, batch {size}"] = lambda size=size, pipeline=pipeline: np.array(  # type: ignore[misc]
                [int(answer["label"]) for answer in pipeline(list(texts), batch_size=size, truncation=True)]
            )
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, np.ndarray] = {}
    with progress_bar("prediction speed", turns * len(ways)) as update:
        for _ in range(turns):
            for name, predict in ways.items():
                with Timer() as timer:
                    answers[name] = predict()
                seconds[name].append(timer.seconds)
                update(sum(map(len, seconds.values())))
    ours = next(iter(ways))
    return [
        {
            "way": name,
            "texts_per_s": len(texts) / statistics.median(own),
            "our_speed_up": statistics.median(other / mine for mine, other in zip(seconds[ours], own, strict=True)),
            "same_answers": float((answers[name] == answers[ours]).mean()),
        }
        for name, own in seconds.items()
    ]


class PipelineModel(PreTrainedModel):
    """The same classifier in the shape that transformers' pipeline takes."""

    config_class = PreTrainedConfig

    def __init__(self, classifier: TextClassifier) -> None:
        n_classes = classifier.settings.n_outputs
        super().__init__(PreTrainedConfig(id2label={i: str(i) for i in range(n_classes)}, num_labels=n_classes))
        self.classifier = classifier

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        return SequenceClassifierOutput(logits=self.classifier.window_logits(input_ids, attention_mask))


def as_pipeline(classifier: TextClassifier) -> TextClassificationPipeline:
    # It knows its models by their class's name, and lists all of them where it does not.
    logging.getLogger("transformers.pipelines.base").setLevel(logging.CRITICAL)
    return TextClassificationPipeline(
        model=PipelineModel(classifier).eval(), tokenizer=classifier.tokenizer, device=torch.device(classifier.device)
    )
