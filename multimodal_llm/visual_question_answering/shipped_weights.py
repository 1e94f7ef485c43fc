"""Make the weights that ship with the project, with their card.

python -m multimodal_llm.visual_question_answering.shipped_weights
python -m multimodal_llm.visual_question_answering.shipped_weights --run runs/multimodal_llm/20261126-101500
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimodal_llm.visual_question_answering.config import PROJECT, SHIPPED, VqaTrainingConfig
from shared.config import parse_config, to_dict
from shared.errors import run_program
from shared.files import write_json, write_text
from shared.logging import print_result, setup_logging
from shared.runs import CONFIG, METRICS, SUMMARY, RunFolder


@dataclass(frozen=True, kw_only=True)
class ShipConfig:
    """Train the small BLIP by its default settings, and put it where the project looks for it."""

    run: str | None = None
    """Folder of a finished training to take instead."""


def publish(run: RunFolder, target: Path = SHIPPED) -> dict[str, Any]:
    """Copy what a reader needs of a finished run into `target` and describe it. Returns the run's summary."""
    from multimodal_llm.visual_question_answering.vqa_system import SETTINGS, WEIGHTS
    from shared.leaks import TRAIN_IDS

    summary = run.summary()
    target.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, SETTINGS, TRAIN_IDS, METRICS):
        shutil.copyfile(run.path / name, target / name)
    write_json(target / CONFIG, {**run.config(), "output": None})
    write_json(target / SUMMARY, summary)
    write_text(target / "README.md", card(target / WEIGHTS, run.config(), summary))
    return summary


def card(weights: Path, config: dict[str, Any], summary: dict[str, Any]) -> str:
    """The model card, in Markdown."""
    size = weights.stat().st_size / 1e6
    refused = summary["question_refused"]
    return f"""# shapes

A small BLIP that answers questions about pictures of one coloured shape, {size:.1f} MB in half precision, over the word
vectors of the packaged `minilm` (all-MiniLM-L6-v2), which is not changed.

- **Made by** `python -m {PROJECT}.visual_question_answering.shipped_weights` · {summary["date"]} ·
  `{summary["commit"]}` · {summary["hardware"]}. {config["epochs"]} passes, {summary["train_seconds"]:.0f} seconds.
- **Data** the train part of easy-VQA (MIT), {config["validation_pictures"]} of its pictures kept out to set temperature
  and thresholds, and the sentences of `questions/train.yaml`, which are ours. The ids of both (the
  first 16 digits of their SHA-256) are in `train_ids.sha256`.
- **Weights** safetensors; MIT like the code.
- **Limits** One shape a picture, three shapes, eight colours, thirteen answers, English. Its gates notice most of what
  is unlike training, not all: of {summary["n_outside_questions"]["nearly_outside"]} questions about such pictures,
  never taught, {1 - refused["nearly_outside"]:.0%} pass, and hardly any hexagon is noticed.

| on what no training has seen | |
|---|---|
| easy-VQA's test, accuracy | {summary["accuracy"]:.4f} |
| the same without looking at the picture | {summary["question_only_prior"]:.4f} |
| {summary["n_paraphrases"]} sentences in other words | {summary["paraphrase_accuracy"]:.3f} |
| questions beside the point noticed | {refused["outside"]:.3f} |
| easy-VQA's questions wrongly doubted | {refused["easy_vqa"]:.4f} |
"""


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(ShipConfig, argv, prog=f"python -m {PROJECT}.visual_question_answering.shipped_weights")
    setup_logging()
    if config.run:
        run = RunFolder.open(config.run)
    else:
        from multimodal_llm.visual_question_answering.train import run_training

        training = VqaTrainingConfig()
        run = RunFolder.create(None, PROJECT, to_dict(training))
        run_training(training, run)
    summary = publish(run)
    print_result({"folder": str(SHIPPED), **{k: v for k, v in summary.items() if k != "worst"}})


if __name__ == "__main__":
    run_program(main)
