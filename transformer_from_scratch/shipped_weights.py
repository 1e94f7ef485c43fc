"""Make the two models that ship with the project, so that its page has something to say right after installation.

python -m transformer_from_scratch.shipped_weights             train both, about ten minutes on 2 cores
python -m transformer_from_scratch.shipped_weights --name zh-reviews

Each goes to weights/NAME: a run folder with the weights in half precision, a model card, and the hashes of the lines
that trained it.
"""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.config import check, parse_config, to_dict
from shared.errors import run_program
from shared.files import atomic_path, write_json, write_text
from shared.logging import print_result, setup_logging
from shared.runs import CONFIG, METRICS, SUMMARY, RunFolder
from transformer_from_scratch.config import ARCHITECTURES, PROJECT, TrainingConfig

WEIGHTS = Path(__file__).with_name("weights")
HASHES = "train_ids.sha256"

# The page sorts them by their first letters: those of its language first.
MODELS: dict[str, dict[str, Any]] = {
    "en-film-reviews": {"data": "rotten_tomatoes", "max_steps": 4000},
    "zh-reviews": {"data": "zh_reviews", "max_steps": 5000, "vocabulary": 2500},
}


@dataclass(frozen=True)
class ShipConfig:
    """Train the models that ship with the project anew."""

    name: str = "all"
    """Which one: en-film-reviews, zh-reviews, or all."""

    def __post_init__(self) -> None:
        check(self.name in (*MODELS, "all"), "name", self.name, f"choose among {', '.join(MODELS)} and all")


def ship(name: str) -> dict[str, Any]:
    """Train one model and write its folder. Returns the training's summary."""
    from transformer_from_scratch.train_simple_lm import train

    settings = {**ARCHITECTURES["modern"], **MODELS[name], "architecture": "modern", "tracking": "none"}
    config = TrainingConfig(eval_every=500, **settings)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(f"{folder}/run", PROJECT, to_dict(config))
        train(config, run)
        return publish(run, config, WEIGHTS / name)


def publish(run: RunFolder, config: TrainingConfig, target: Path) -> dict[str, Any]:
    """Copy what the page needs of a finished run into `target`, the weights in half precision, and describe it."""
    import torch
    from safetensors.torch import load_file, save_file

    from shared.datasets import load_corpus
    from transformer_from_scratch import training
    from transformer_from_scratch.checkpoint import MODEL, load_model
    from transformer_from_scratch.tokenizer import FILE

    target.mkdir(parents=True, exist_ok=True)
    halves = {key: weight.half() for key, weight in load_file(run.path / MODEL).items()}
    with atomic_path(target / MODEL) as draft:
        save_file(halves, draft)
    for file in (CONFIG, FILE):
        write_text(target / file, (run.path / file).read_text(encoding="utf-8"))
    curve = [line for line in run.metrics() if "val_loss" in line or line["step"] % 50 == 0]
    write_text(target / METRICS, "".join(json.dumps(line) + "\n" for line in curve))

    text = training.prepare_text(config)
    trained = load_corpus(config.data)[: len(text.train)]
    lines = sorted({_hash(line) for line in trained.split("\n") if line.strip()})
    write_text(target / HASHES, "\n".join(lines) + "\n")

    with torch.inference_mode():  # the score of what ships, not of what was trained
        model, _ = load_model(target)
        loss = training.evaluate(model, text.validation)
    summary = {**run.summary(), "val_loss": loss}
    write_json(target / SUMMARY, summary)
    write_text(target / "README.md", card(target.name, config, summary, len(lines)))
    return summary


def card(name: str, config: TrainingConfig, summary: dict[str, Any], n_lines: int) -> str:
    """The model card, in Markdown."""
    return f"""# {name}

A character-level language model of {summary["params"]:,} parameters (architecture `modern`, context {config.context}),
trained from nothing. It continues a text letter by letter and exists to be looked into on the project's page.

- **Made by** `python -m {PROJECT}.shipped_weights --name {name}` · {summary["date"]} · `{summary["commit"]}` ·
  {summary["hardware"]}, {summary["seconds"]:.0f} s
- **Data** the packaged set `{config.data}`: its first 90 % of characters, {n_lines:,} different lines, whose SHA-256
  hashes (first 16 digits, white space collapsed, lower case) are in `{HASHES}`. LICENSES.md names its terms.
- **Score** {summary["val_loss"]:.3f} nats a character on the last 10 %, {summary["tokens_seen"]:,} characters seen.
- **Weights** half precision, safetensors; MIT like the code, the terms of the data apply to what one does with them.
- **Limits** It spells and has caught the tone of reviews. It knows no facts, means nothing, and repeats whatever
  opinion is frequent in its data. Not for any use where somebody relies on what it says.
"""


def _hash(line: str) -> str:
    return hashlib.sha256(" ".join(line.split()).lower().encode()).hexdigest()[:16]


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(ShipConfig, argv, prog=f"python -m {PROJECT}.shipped_weights")
    setup_logging()
    names = list(MODELS) if config.name == "all" else [config.name]
    print_result({name: ship(name) for name in names})


if __name__ == "__main__":
    run_program(main)
