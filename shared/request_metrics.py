"""What every server counts of its requests, in the form that Prometheus reads. Needs prometheus-client.

NAME_requests_total{route,status}    499: the client left before its answer
NAME_request_seconds{route}
process_resident_memory_bytes        and others of the process, where the system tells them
"""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class RequestMetrics:
    """The numbers of one server, in a registry of their own; `own` are the arguments of further ones."""

    def __init__(self, namespace: str) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.own: dict[str, Any] = {"namespace": namespace, "registry": registry}
        self.requests = Counter("requests", "Answered requests", ["route", "status"], **self.own)
        self.seconds = Histogram("request_seconds", "From head to answer", ["route"], buckets=SECONDS, **self.own)

    def on_request(self, route: str, status: int, seconds: float) -> None:
        self.requests.labels(route, status).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
