"""What a server counts and times, in the form that Prometheus reads, and the same as plain data for a page.

classify_requests_total{route,status}    499: the client left before its answer
classify_request_seconds{route}
classify_stage_seconds{stage}            read (cleaning, tokenizer), queued, batched (on the way), computed
classify_batch_windows                   windows a batch
classify_tokens_total{kind}              text, padding
classify_failed_batches_total
classify_waiting_tokens
classify_model_swaps_total{result}       done, refused, rolled_back
classify_serving{version}                1 for the model that answers
process_resident_memory_bytes            and others of the process, where the system tells them
"""

import urllib.request
from collections.abc import Callable
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from model_optimization.deployment.batching import Batch
from shared.request_metrics import SECONDS, RequestMetrics

STAGES = ("read", "queued", "batched", "computed")
_WINDOWS = (1, 2, 4, 8, 16, 32, 64, 128)


class ServerMetrics(RequestMetrics):
    """The numbers of one server, in a registry of their own."""

    def __init__(self, waiting_tokens: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__("classify")
        own = self.own
        stages = Histogram("stage_seconds", "Where the time goes", ["stage"], buckets=SECONDS, **own)
        self.stages = {stage: stages.labels(stage) for stage in STAGES}
        self.windows = Histogram("batch_windows", "Windows a batch", buckets=_WINDOWS, **own)
        tokens = Counter("tokens", "Tokens computed", ["kind"], **own)
        self.text_tokens, self.padding_tokens = tokens.labels("text"), tokens.labels("padding")
        self.failed = Counter("failed_batches", "Batches that the engine failed at", **own)
        self.swaps = Counter("model_swaps", "Asked for and what became of it", ["result"], **own)
        self.serving = Gauge("serving", "The version that answers", ["version"], **own)
        Gauge("waiting_tokens", "Tokens that wait for a batch", **own).set_function(waiting_tokens)

    def on_batch(self, batch: Batch) -> None:
        if not batch.computed:
            self.failed.inc()
            return
        for seconds in batch.queued:
            self.stages["queued"].observe(seconds)
        self.stages["batched"].observe(batch.batched)
        self.stages["computed"].observe(batch.computed)
        self.windows.observe(len(batch.items))
        self.text_tokens.inc(batch.tokens)
        self.padding_tokens.inc(batch.padded - batch.tokens)

    def now_serving(self, version: str) -> None:
        self.serving.clear()
        self.serving.labels(version).set(1)


def live_numbers(url: str, timeout_s: float = 5.0) -> dict[str, Any]:
    """A running server's numbers so far, read from its `/metrics`; two readings make a rate. Raises OSError.

    `version`, `requests` (by status), `stages` (seconds and count of each), `windows` and `batches`, `text_tokens`,
    `padding_tokens`, `failed_batches`, `waiting_tokens`, `memory_mb` (None where the system does not tell).
    """
    with urllib.request.urlopen(f"{url}/metrics", timeout=timeout_s) as response:
        families = text_string_to_metric_families(response.read().decode())
    samples = [sample for family in families for sample in family.samples]

    def total(name: str, **labels: str) -> float:
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    asked = [s for s in samples if s.name == "classify_requests_total" and s.labels["route"] == "/v1/classify"]
    stage = "classify_stage_seconds"
    return {
        "version": next((s.labels["version"] for s in samples if s.name == "classify_serving"), None),
        "requests": {int(s.labels["status"]): int(s.value) for s in asked},
        "stages": {
            name: {"seconds": total(f"{stage}_sum", stage=name), "count": int(total(f"{stage}_count", stage=name))}
            for name in STAGES
        },
        "windows": int(total("classify_batch_windows_sum")),
        "batches": int(total("classify_batch_windows_count")),
        "text_tokens": int(total("classify_tokens_total", kind="text")),
        "padding_tokens": int(total("classify_tokens_total", kind="padding")),
        "failed_batches": int(total("classify_failed_batches_total")),
        "waiting_tokens": int(total("classify_waiting_tokens")),
        "memory_mb": total("process_resident_memory_bytes") / 1e6 or None,
    }
