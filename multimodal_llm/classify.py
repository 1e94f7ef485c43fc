"""Which of your labels fits the photo?

python -m multimodal_llm.classify photo.jpg cat dog "cup of coffee"
python -m multimodal_llm.classify photo.jpg 猫 狗 咖啡
python -m multimodal_llm.classify --classifier openai/clip-vit-base-patch32 photo.jpg cat dog
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from shared.config import check, parse_config, split_texts
from shared.errors import UserError, run_program
from shared.logging import get_logger, print_result, setup_logging
from shared.timing import Timer

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClassifyConfig:
    """Choose among the labels that stand behind the photo's name."""

    classifier: str = "auto"
    """Who decides: conse (English), conse-e5 (Chinese and more), or the folder or hub name of a CLIP or SigLIP."""
    labels_file: str | None = None
    """Text file with one more label a line."""
    top: int = 5
    """Labels to give."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        check(self.top >= 1, "top", self.top, "give at least 1")


def classify(config: ClassifyConfig, words: Sequence[str]) -> dict[str, Any]:
    """Classify the photo that the first word names. Raises UserError for a missing photo or no labels."""
    from pathlib import Path

    from multimodal_llm.clip_applications.zero_shot_classification import clean_labels, load_classifier
    from multimodal_llm.images import load_image
    from shared.datasets import read_text

    if not words:
        raise UserError("no photo: give one, then the labels to choose from")
    file, *labels = words
    if config.labels_file:
        labels += read_text(Path(config.labels_file)).splitlines()
    labels = clean_labels(labels)
    picture = load_image(file)
    classifier = load_classifier(config.classifier, config.device, labels)
    with Timer() as timer:
        [found] = classifier.classify([picture], labels, config.top)
    return {"file": file, "best": found.best, "labels": len(labels), **asdict(found), "seconds": timer.seconds}


def main(argv: Sequence[str] | None = None) -> None:
    options, words = split_texts(sys.argv[1:] if argv is None else argv)
    config = parse_config(ClassifyConfig, options, prog="python -m multimodal_llm.classify [IMAGE LABEL ...]")
    setup_logging()
    result = classify(config, words)
    for score in result["scores"]:
        chance = "" if score["probability"] is None else f"{score['probability']:.0%}  "
        reasons = ", ".join(f"{name} {share:.2f}" for name, share in score["because"])
        log.info("%s%s%s", chance, score["label"], f"  (because of {reasons})" if reasons else "")
    if result["fits"] is False:
        log.info("none of the labels seems to fit")
    if result["fits"] is None:
        log.info("the nearest of these labels; how near is near enough was not measured for this classifier")
    print_result(result)


if __name__ == "__main__":
    run_program(main)
