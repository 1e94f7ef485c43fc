"""Write a sentence about each photo.

python -m multimodal_llm.caption photo.jpg holiday/*.jpg
python -m multimodal_llm.caption --prefix "a photo of" photo.jpg
python -m multimodal_llm.caption --captioner Salesforce/blip-image-captioning-base photo.jpg
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from shared.config import parse_config, split_texts
from shared.errors import UserError, run_program
from shared.logging import get_logger, print_result, progress_bar, setup_logging
from shared.timing import Timer

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class CaptionConfig:
    """Write a sentence about each of the photos that stand after the options."""

    captioner: str = "auto"
    """Who writes: small (ours, for non-commercial use), tags (free to use, poorer), or a BLIP folder or hub name."""
    prefix: str = ""
    """What the sentence begins with."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""


def caption(config: CaptionConfig, files: Sequence[str]) -> dict[str, Any]:
    """Caption the files. One that cannot be read is reported and left out; raises UserError where none can."""
    from multimodal_llm.image_captioning.captioner import load_captioner
    from multimodal_llm.images import AT_ONCE, LARGE_ENOUGH, load_image

    if not files:
        raise UserError("no photos: give some after the options")
    captioner = load_captioner(config.captioner, config.device)
    captions, errors = [], []
    with Timer() as timer, progress_bar("captions", len(files)) as update:
        for start in range(0, len(files), AT_ONCE):
            readable = {}
            for file in files[start : start + AT_ONCE]:
                try:
                    readable[file] = load_image(file, largest_side=LARGE_ENOUGH)
                except UserError as error:
                    errors.append({"file": file, "error": str(error)})
                    log.warning("%s", error)
            if readable:
                found = captioner.caption(list(readable.values()), config.prefix)
                captions += [{"file": file, **asdict(one)} for file, one in zip(readable, found, strict=True)]
            update(min(start + AT_ONCE, len(files)))
    if not captions:
        raise UserError(errors[0]["error"])
    return {"captions": captions, "errors": errors, "seconds": timer.seconds}


def main(argv: Sequence[str] | None = None) -> None:
    options, files = split_texts(sys.argv[1:] if argv is None else argv)
    config = parse_config(CaptionConfig, options, prog="python -m multimodal_llm.caption [IMAGE ...]")
    setup_logging()
    result = caption(config, files)
    for line in result["captions"]:
        log.info("%s: %s", line["file"], line["text"])
    print_result(result)


if __name__ == "__main__":
    run_program(main)
