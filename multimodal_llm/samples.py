"""Pictures to try the commands on, for who has none at hand: two photos, a drawing, a receipt, an invoice, a page.

python -m multimodal_llm.samples
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.config import parse_config
from shared.errors import UserError, run_program
from shared.files import atomic_path
from shared.logging import get_logger, print_result, setup_logging

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class SamplesConfig:
    """Write pictures to try: photos that come with scikit-learn, and what this project draws itself."""

    output: str = "samples"
    """Folder for them."""


def write_samples(folder: Path) -> dict[str, Any]:
    """photo.jpg, flower.jpg, picture.png, receipt.png, invoice.png and paper.png; the invoice needs a Chinese font."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_image

    from multimodal_llm.document_understanding.document_samples import draw_sample
    from multimodal_llm.visual_question_answering.drawings import draw

    pictures = {
        "photo.jpg": lambda: Image.fromarray(load_sample_image("china.jpg")),
        "flower.jpg": lambda: Image.fromarray(load_sample_image("flower.jpg")),
        "picture.png": lambda: draw("usual", np.random.default_rng(0), size=256),
        "receipt.png": lambda: draw_sample("receipt"),
        "invoice.png": lambda: draw_sample("invoice_zh"),
        "paper.png": lambda: draw_sample("paper"),
    }
    written = []
    for name, make in pictures.items():
        try:
            picture = make()
        except UserError as error:
            log.info("%s is left out: %s", name, error)
            continue
        with atomic_path(folder / name) as draft:
            picture.save(draft, format="JPEG" if name.endswith(".jpg") else "PNG")
        written.append(name)
    return {"folder": str(folder), "files": written}


def main() -> None:
    config = parse_config(SamplesConfig, prog="python -m multimodal_llm.samples")
    setup_logging()
    print_result(write_samples(Path(config.output)))


if __name__ == "__main__":
    run_program(main)
