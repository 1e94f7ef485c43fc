"""Ask a question about a picture.

python -m multimodal_llm.vqa picture.png "what color is the shape?"
python -m multimodal_llm.vqa picture.png "is it round?" "which shape is it?"
python -m multimodal_llm.vqa --model Salesforce/blip-vqa-base photo.jpg "how many dogs are there?"
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from multimodal_llm.visual_question_answering.config import PROJECT
from shared.config import parse_config, split_texts
from shared.errors import UserError, run_program
from shared.logging import print_result, print_table, setup_logging
from shared.timing import Timer


@dataclass(frozen=True, kw_only=True)
class VqaConfig:
    """Answer questions about a picture; the picture and the questions stand after the options."""

    model: str = "shapes"
    """shapes (ships with the project: pictures of one shape), measured (rules without weights), the folder of a
    training, or a BLIP for VQA by name."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""


def answer(config: VqaConfig, texts: Sequence[str]) -> dict[str, Any]:
    """Print what the model says to each question. Raises UserError without a picture and a question."""
    from multimodal_llm.images import load_image
    from multimodal_llm.visual_question_answering.vqa_system import load_vqa_system

    if len(texts) < 2:
        raise UserError("give a picture and at least one question: python -m multimodal_llm.vqa IMAGE QUESTION")
    path, *questions = texts
    picture = load_image(path)
    system = load_vqa_system(config.model, config.device)
    with Timer() as timer:
        found = system.answer(picture, questions)
    rows = [
        {"question": a.question, "answer": a.text, "confidence": a.confidence, "unlike training": ", ".join(a.doubts)}
        for a in found
    ]
    print_table(path, rows)
    return {"image": path, "model": config.model, "answers": [asdict(a) for a in found], "seconds": timer.seconds}


def main(argv: Sequence[str] | None = None) -> None:
    options, texts = split_texts(sys.argv[1:] if argv is None else argv)
    config = parse_config(VqaConfig, options, prog=f"python -m {PROJECT}.vqa IMAGE QUESTION ...")
    setup_logging()
    print_result(answer(config, texts))


if __name__ == "__main__":
    run_program(main)
