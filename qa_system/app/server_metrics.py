"""What the server counts beside its requests, in the form that Prometheus reads.

qa_requests_total{route,status}, qa_request_seconds{route}    499: the client left before its answer
qa_answers_total{outcome}     answered, abstained, failed, late
qa_answer_seconds             from question to answer, waiting included
qa_uploads_total{outcome}     taken, refused
qa_waiting{what}              questions, uploads
qa_passages                   in the store
process_resident_memory_bytes and others of the process, where the system tells them
"""

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

from shared.request_metrics import RequestMetrics

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class ServerMetrics(RequestMetrics):
    """The numbers of one server."""

    def __init__(self, questions: Callable[[], int], uploads: Callable[[], int], passages: Callable[[], int]) -> None:
        super().__init__("qa")
        self.answers = Counter("answers", "Questions and what became of them", ["outcome"], **self.own)
        self.answer_seconds = Histogram("answer_seconds", "From question to answer", buckets=_SECONDS, **self.own)
        self.uploads = Counter("uploads", "Files and what became of them at the door", ["outcome"], **self.own)
        waiting = Gauge("waiting", "Not done yet", ["what"], **self.own)
        waiting.labels("questions").set_function(questions)
        waiting.labels("uploads").set_function(uploads)
        Gauge("passages", "Passages in the store", **self.own).set_function(passages)
