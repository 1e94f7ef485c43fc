"""`python -m multimodal_llm.benchmark vqa`: the small BLIP on easy-VQA, on rewordings, and on what it never learnt."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimodal_llm.visual_question_answering.config import PROJECT, SHIPPED, VqaTrainingConfig
from shared.benchmark import BenchmarkConfig, Outcome
from shared.errors import UserError
from shared.runs import SUMMARY, RunFolder, read_json


@dataclass(frozen=True, kw_only=True)
class VqaBenchmarkConfig(BenchmarkConfig):
    """Questions about pictures of shapes: in easy-VQA's words, in other words, and beside the point."""

    train: bool = False
    """Train the weights anew instead of scoring those that ship."""
    reworded: float = VqaTrainingConfig.reworded
    """Share of our rewordings in that training; with 0 it learns from easy-VQA's own questions alone."""
    epochs: int = VqaTrainingConfig.epochs
    """Passes over the pictures in that training."""

    @property
    def variant(self) -> str:
        return "" if not self.train or self.reworded else "_own_questions"


def vqa(config: VqaBenchmarkConfig) -> Outcome:
    from multimodal_llm.visual_question_answering.evaluation import evaluate
    from multimodal_llm.visual_question_answering.vqa_system import ShapesVqa
    from shared.leaks import load_ids

    training = VqaTrainingConfig(seed=config.seed, reworded=config.reworded, epochs=config.epochs)
    folder = trained(training) if config.train else SHIPPED
    if not (folder / SUMMARY).is_file():
        raise UserError(f"{folder}: no weights here: add --train true, which takes some minutes")
    result = evaluate(ShapesVqa.load(folder), training.data, config.seed, load_ids(folder))
    worst = result.pop("worst")
    result["train_seconds"] = read_json(folder / SUMMARY)["train_seconds"]
    rows = [
        {
            "questions": "easy-VQA's test",
            "accuracy": result["accuracy"],
            "prior": result["question_only_prior"],
            "rules": result["rules"],
            "n": result["n"],
        },
        *(
            {
                "questions": f"easy-VQA's test: {kind}",
                "accuracy": score,
                "prior": result["prior_by_type"][kind],
                "rules": result["rules_by_type"][kind],
                "n": None,
            }
            for kind, score in result["by_type"].items()
        ),
        {
            "questions": "in other words",
            "accuracy": result["paraphrase_accuracy"],
            "prior": result["paraphrase_prior"],
            "rules": result["paraphrase_rules"],
            "n": result["n_paraphrases"],
        },
        *(
            {
                "questions": f"in other words: {kind}",
                "accuracy": score,
                "prior": None,
                "rules": result["paraphrase_rules_by_kind"][kind],
                "n": None,
            }
            for kind, score in result["paraphrase_by_kind"].items()
        ),
    ]
    return Outcome({**result, "worst_paraphrases": worst}, rows)


def trained(config: VqaTrainingConfig) -> Path:
    """The folder of a new training with these settings."""
    from multimodal_llm.visual_question_answering.train import run_training
    from shared.config import to_dict

    run: Any = RunFolder.create(None, PROJECT, to_dict(config))
    run_training(config, run)
    return run.path
