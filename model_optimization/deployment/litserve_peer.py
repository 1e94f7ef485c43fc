"""The same int8 model behind LitServe, to measure our server beside: its batching is by count, without buckets.

Its engine runs in a process of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import litserve
import numpy as np

from model_optimization.deployment.model_store import ModelStore
from model_optimization.deployment.schema import ClassifyRequest, ClassifyResponse, to_answers

MAX_REQUESTS, WAIT_S = 8, 0.002


class Sentiment(litserve.LitAPI):
    def __init__(self, models: Path, threads: int) -> None:
        super().__init__(max_batch_size=MAX_REQUESTS, batch_timeout=WAIT_S, api_path="/v1/classify")
        self.models, self.threads = models, threads

    def setup(self, device: str) -> None:
        self.served = ModelStore(self.models, threads=self.threads).serving

    def decode_request(self, request: ClassifyRequest) -> list[str]:
        return request.texts

    def batch(self, inputs: Sequence[list[str]]) -> list[list[str]]:
        return list(inputs)

    def predict(self, requests: Sequence[list[str]]) -> list[ClassifyResponse]:
        texts, _ = self.served.read([text for request in requests for text in request])
        variant = self.served.variant
        logits = variant.logits(texts, batch_size=len(texts))
        answers = to_answers(variant.settings, texts, logits)
        ends = np.cumsum([len(request) for request in requests])
        starts = [0, *ends[:-1]]
        return [
            ClassifyResponse(version="1", answers=answers[start:end]) for start, end in zip(starts, ends, strict=True)
        ]

    def unbatch(self, output: list[ClassifyResponse]) -> list[ClassifyResponse]:
        return output

    def encode_response(self, output: ClassifyResponse) -> dict[str, Any]:
        return output.model_dump()


def serve(models: str, port: int, threads: int) -> None:
    server = litserve.LitServer(Sentiment(Path(models), threads), accelerator="cpu")
    server.run("127.0.0.1", port, log_level="warning", generate_client_file=False)
