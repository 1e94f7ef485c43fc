"""Train the small BLIP on easy-VQA, from nothing but its questions, answers and pictures (and frozen word vectors).

python -m multimodal_llm.visual_question_answering.train
python -m multimodal_llm.visual_question_answering.train --reworded 0 --output runs/own_questions_alone

A picture is encoded once a step for all of its questions. Every distinct question is read once by the frozen MiniLM,
before training. What is measured at the end is calibrated on pictures and rewordings kept out of training; the test
part is looked at once, after that.
"""

from collections.abc import Sequence
from typing import Any

from multimodal_llm.visual_question_answering.config import PROJECT, VqaTrainingConfig
from shared.config import parse_config, to_dict
from shared.errors import run_program
from shared.logging import get_logger, print_result, setup_logging
from shared.runs import RunFolder

log = get_logger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(VqaTrainingConfig, argv, prog=f"python -m {PROJECT}.visual_question_answering.train")
    run = RunFolder.create(config.output, PROJECT, to_dict(config))
    setup_logging(run.path)
    print_result({"run": str(run.path), **run_training(config, run)})


def run_training(config: VqaTrainingConfig, run: RunFolder) -> dict[str, Any]:
    """Train, calibrate, save and score. Returns the summary, which is in the folder too."""
    from multimodal_llm.visual_question_answering.calibration import calibrate
    from multimodal_llm.visual_question_answering.evaluation import evaluate
    from multimodal_llm.visual_question_answering.training import Trainer
    from multimodal_llm.visual_question_answering.vqa_system import ShapesVqa
    from shared.timing import Timer

    with Timer() as timer:
        trainer = Trainer(config)
        trainer.train(run)
        system = ShapesVqa(trainer.model.eval(), trainer.reader, **calibrate(trainer))
    system.save(run.path, trainer.train_ids())
    scores = evaluate(system, config.data, config.seed)
    summary = {"train_seconds": timer.seconds, **scores, "seed": config.seed, "device": trainer.device}
    run.write_summary(summary)
    return summary


if __name__ == "__main__":
    run_program(main)
