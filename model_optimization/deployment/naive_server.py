"""The server that tutorials show, to measure ours beside: torch in fp32, one text a call, inside an async handler.

python -m model_optimization.deployment.naive_server --variant FOLDER --port 8001

It is that pattern at its best: inference mode, no padding, a loaded model, the same tokenizer, uvicorn and schema as
ours. What it cannot do is answer texts together, and while torch computes, nothing else goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_optimization.config import PROJECT
from shared.config import check, parse_config
from shared.errors import run_program


@dataclass(frozen=True, kw_only=True)
class NaiveConfig:
    """Serve one variant that torch runs, the plain way."""

    variant: str
    """Folder of a variant, as the method fp32_torch makes it."""
    port: int = 8001
    """Port on this machine."""
    threads: int = 1
    """Threads of torch."""

    def __post_init__(self) -> None:
        check(self.threads >= 1, "threads", self.threads, "give at least 1")


def serve(config: NaiveConfig) -> None:
    import torch
    import uvicorn
    from fastapi import FastAPI

    from model_optimization.deployment.schema import ClassifyRequest, ClassifyResponse, to_answers
    from model_optimization.runtime import Variant
    from shared.cleaning import clean

    torch.set_num_threads(config.threads)
    variant = Variant(Path(config.variant))
    app = FastAPI()

    @app.post("/v1/classify")
    async def classify(asked: ClassifyRequest) -> ClassifyResponse:
        texts = [clean(text) for text in asked.texts]
        return ClassifyResponse(version="1", answers=to_answers(variant.settings, texts, variant.logits(texts, 1)))

    uvicorn.run(app, port=config.port, log_level="warning", access_log=False)


def main(argv: Sequence[str] | None = None) -> None:
    serve(parse_config(NaiveConfig, argv, prog=f"python -m {PROJECT}.deployment.naive_server"))


if __name__ == "__main__":
    run_program(main)
