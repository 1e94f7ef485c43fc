"""Two minutes with the project: train a character model on real text, watch it learn, look inside, let it write.

python -m transformer_from_scratch.quickstart --output outputs/demo/transformer_from_scratch
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.config import parse_config, to_dict
from shared.errors import run_program
from shared.logging import print_result, setup_logging
from shared.report import Section
from shared.runs import RunFolder
from transformer_from_scratch.config import ARCHITECTURES, PRESETS, PROJECT, Sampling, TrainingConfig
from transformer_from_scratch.train_simple_lm import train

SECONDS = 85  # measured on 2 cores; the demo's estimate of the time left starts from it

STEPS = 600
LONGEST_NGRAM = 6
PROMPTS = {"rotten_tomatoes": ("the film ", "a moving "), "zh_reviews": ("这本书", "酒店的")}


@dataclass(frozen=True)
class QuickstartConfig:
    """Train a character model on real text, watch it learn, look inside, let it write; about two minutes."""

    output: str = f"outputs/demo/{PROJECT}"
    """Folder for the run and its section of the report."""
    data: str = "rotten_tomatoes"
    """Text to learn; zh_reviews for Chinese."""
    smoke: bool = False
    """A few steps of a tiny model: seconds, to see that all works."""


def run(out_dir: str | Path, data: str = "rotten_tomatoes", smoke: bool = False) -> dict[str, Any]:
    """Train into `out_dir` and write its section.json. Returns the training's summary."""
    size: dict[str, Any] = PRESETS["tiny"] if smoke else {"max_steps": STEPS, "eval_every": 75, "eval_blocks": 64}
    settings = {**ARCHITECTURES["modern"], **size, "tracking": "none"}
    config = TrainingConfig(data=data, architecture="modern", **settings)
    folder = RunFolder.create(out_dir, PROJECT, to_dict(config))
    setup_logging(folder.path)
    summary = train(config, folder)
    _describe(folder, config, summary).save(folder.path)
    return summary


def _describe(folder: RunFolder, config: TrainingConfig, summary: dict[str, Any]) -> Section:
    """What the run taught, in pictures, numbers and samples."""
    import numpy as np
    import torch

    from shared.phrases import both, phrase
    from transformer_from_scratch import figures, training
    from transformer_from_scratch.checkpoint import load_model
    from transformer_from_scratch.inspection import most_focused
    from transformer_from_scratch.ngram_baseline import ngram_losses
    from transformer_from_scratch.positional_encoding import sinusoidal_table
    from transformer_from_scratch.sampling import generate_tokens

    text = training.prepare_text(config)
    model, tokenizer = load_model(folder.path)
    metrics = folder.metrics()
    vocabulary = len(tokenizer)
    longest = LONGEST_NGRAM if vocabulary < 1000 else 3
    ngrams = ngram_losses(text.train.numpy(), text.validation.numpy(), vocabulary, longest)
    best_ngram = int(np.argmin(ngrams)) + 1
    prompt = PROMPTS.get(config.data, (text.tokenizer.decode(text.validation[:9].tolist()),))[0]

    section = Section(both("transformer.title"), both("transformer.summary", steps=config.max_steps))
    section.numbers(
        [
            (both("transformer.number.val_loss"), summary["val_loss"]),
            (both("transformer.number.perplexity"), float(np.exp(summary["val_loss"]))),
            (both("transformer.number.params"), summary["params"]),
            (both("transformer.number.tokens_seen"), summary["tokens_seen"]),
            (both("transformer.number.tokens_per_s"), summary["tokens_per_s"]),
        ]
    )
    section.text(both("transformer.explain.task"))
    section.samples(
        [
            (both("transformer.after_steps", step=line["step"], loss=f"{line['val_loss']:.2f}"), line["sample"])
            for line in _a_few([line for line in metrics if "sample" in line])
        ],
        both("transformer.caption.samples"),
    )

    def curve(language):
        names = {
            phrase("transformer.baseline.unigram", language): ngrams[0],
            phrase("transformer.baseline.bigram", language): ngrams[1],
            phrase("transformer.baseline.best_ngram", language, n=best_ngram): min(ngrams),
        }
        return figures.training_curve(metrics, names, language)

    section.figure(curve, both("transformer.caption.curve"))
    section.table(_ladder(config, ngrams, vocabulary, summary), both("transformer.caption.ladder"))
    if min(ngrams) < summary["val_loss"]:
        share = f"{summary['tokens_seen'] / len(text.train):.2g}"
        section.text(both("transformer.explain.counting_wins", n=best_ngram, share=share))

    section.text(both("transformer.explain.attention"))
    tokens = torch.from_numpy(tokenizer.encode(prompt * 4))[None, : min(24, config.context)].long()
    with torch.inference_mode():
        logits, maps = model(tokens, need_weights=True)  # (1, T, V), layers x (1, H, T, T)
    characters = tokenizer.decode(tokens[0].tolist())
    weights = torch.cat(maps).numpy()  # (layers, H, T, T)
    section.figure(
        lambda language: figures.attention_heads(weights, characters, language),
        both("transformer.caption.heads", text=characters),
    )
    layer, head = most_focused(weights)
    section.figure(
        lambda language: figures.attention_map(weights[layer, head], characters, language),
        both("transformer.caption.map", layer=layer + 1, head=head + 1),
    )
    probabilities = logits[0, -1].softmax(-1).numpy()
    section.figure(
        lambda language: figures.next_characters(probabilities, tokenizer.characters, language),
        both("transformer.caption.next", text=characters),
    )
    table = sinusoidal_table(config.context, config.width).numpy()
    section.figure(lambda language: figures.positional_encoding(table, language), both("transformer.caption.positions"))

    samples = []
    for temperature in (0.0, 0.5, 0.8, 1.2):
        start = torch.from_numpy(tokenizer.encode(prompt))
        drawn = generate_tokens(model, start, training.SAMPLE_LENGTH, Sampling(temperature), seed=1)
        label = both("transformer.temperature", temperature=temperature)
        samples.append((label, prompt + tokenizer.decode(list(drawn))))
    section.samples(samples, both("transformer.caption.temperature"))
    section.next(both("transformer.explain.next", folder=folder.path))
    return section


def _a_few(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first, the last, and those about a tenth and a third of the way: most is learned early."""
    last = lines[-1]["step"]
    wanted = [0, last / 10, last / 3, last]
    chosen = [min(lines, key=lambda line, step=step: abs(line["step"] - step)) for step in wanted]  # type: ignore[misc]
    return list({line["step"]: line for line in chosen}.values())


def _ladder(
    config: TrainingConfig, ngrams: list[float], vocabulary: int, summary: dict[str, Any]
) -> list[dict[str, Any]]:
    import math

    from shared.phrases import both

    rows: list[dict[str, Any]] = [{"model": both("transformer.baseline.uniform"), "val_loss": math.log(vocabulary)}]
    for n, loss in enumerate(ngrams, start=1):
        rows.append({"model": both("transformer.baseline.ngram", n=n), "val_loss": loss})
    ours = both("transformer.baseline.ours", params=f"{summary['params']:,}", context=config.context)
    rows.append({"model": ours, "val_loss": summary["val_loss"]})
    return [{**row, "perplexity": math.exp(row["val_loss"])} for row in rows]


def main() -> None:
    config = parse_config(QuickstartConfig, prog=f"python -m {PROJECT}.quickstart")
    print_result(run(config.output, config.data, config.smoke))


if __name__ == "__main__":
    run_program(main)
