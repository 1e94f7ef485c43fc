"""Windows of many requests answered together: batches by a budget of tokens, windows of like length side by side.

A window waits in the bucket of its length: up to 1, 2, 4, 8, ... tokens, so that less than half of a batch is padding.
Whenever a worker is free, the bucket whose first window has waited longest gives a batch: in order of arrival, as many
as the budget holds with their padding. While all workers compute, windows gather by themselves; when one is free, a
batch that is not full waits a moment for company, and not longer.

Everything but the engine runs on the event loop, so nothing here needs a lock; the engine runs in threads of its own,
so that nothing waits for it but who asked. A budget of 1 token answers every window alone.
"""

import asyncio
import math
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from model_optimization.runtime import Engine, pad

Window = list[int]


class QueueFull(Exception):
    """More is waiting than can be answered soon."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too much is waiting: try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class TooMuchText(Exception):
    """One request holds more than may ever wait."""


class EngineFailed(Exception):
    """The engine raised, or gave something else than a finite row of logits for each window."""


@dataclass(eq=False)
class Job:
    """A request's windows, and the rows of logits that are there already."""

    engine: Engine
    windows: list[Window]
    answer: "asyncio.Future[np.ndarray]"
    arrived: float
    rows: list[np.ndarray | None] = field(default_factory=list)
    missing: int = 0
    waiting: int = 0
    """Tokens of its windows that no batch has taken yet."""


@dataclass
class Batch:
    """What is computed together, and how long each part took, in seconds."""

    items: list[tuple[Job, int]]
    """Job and place of its window."""
    tokens: int
    padded: int
    """Tokens with the padding."""
    queued: list[float]
    """From a window's arrival until a batch took it."""
    taken: float
    batched: float = 0.0
    """From being taken until the engine starts: the way to the worker, and the padding."""
    computed: float = 0.0


Bucket = deque[tuple[Job, int]]


class Batcher:
    """Takes windows with the engine to answer them, and gives their logits.

    >>> async def use(batcher: Batcher, engine: Engine) -> np.ndarray:
    ...     return await batcher.submit(engine, [[101, 2307, 102]])
    """

    def __init__(
        self,
        token_budget: int = 256,
        collect_ms: float = 2.0,
        queue_tokens: int = 16384,
        workers: int = 1,
        on_batch: Callable[[Batch], None] = lambda batch: None,
    ) -> None:
        """`queue_tokens` bounds what waits; `on_batch` is called on the event loop after each batch. Needs a running
        loop."""
        self.token_budget, self.collect_s, self.queue_tokens = token_budget, collect_ms / 1000, queue_tokens
        self.on_batch = on_batch
        self.waiting_tokens = 0
        self.tokens_per_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._buckets: dict[tuple[Engine, int], Bucket] = {}
        self._running: dict[int, Batch] = {}
        self._idle = workers
        self._timer: asyncio.TimerHandle | None = None
        self._handed: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        for _ in range(workers):
            # Daemons: an engine that never returns does not keep the process from ending.
            threading.Thread(target=self._work, name="engine", daemon=True).start()

    def submit(self, engine: Engine, windows: list[Window]) -> "asyncio.Future[np.ndarray]":
        """A future of the windows' logits (W, C); when it is cancelled, what no batch has taken yet is dropped.

        Raises QueueFull where too much waits, TooMuchText for more than may ever wait. The future raises EngineFailed.
        """
        tokens = sum(map(len, windows))
        if tokens > self.queue_tokens:
            raise TooMuchText(f"{tokens} tokens in one request: send at most {self.queue_tokens}")
        if self.waiting_tokens + tokens > self.queue_tokens:
            raise QueueFull(max(1, math.ceil(self.waiting_tokens / max(self.tokens_per_s, 1.0))))
        job = Job(engine, windows, self._loop.create_future(), perf_counter())
        if not windows:
            job.answer.set_result(np.zeros((0, 0), dtype=np.float32))
            return job.answer
        job.rows, job.missing, job.waiting = [None] * len(windows), len(windows), tokens
        self.waiting_tokens += tokens
        job.answer.add_done_callback(lambda _: self._forget(job))
        for place, window in enumerate(windows):
            width = (len(window) - 1).bit_length()
            self._buckets.setdefault((engine, width), deque()).append((job, place))
        self._dispatch()
        return job.answer

    def busy_s(self) -> float:
        """Seconds that the longest batch under way has taken so far."""
        return max((perf_counter() - batch.taken for batch in self._running.values()), default=0.0)

    def close(self) -> None:
        """End the workers, each after what it computes."""
        for _ in range(self._idle + len(self._running)):
            self._handed.put(None)

    def _forget(self, job: Job) -> None:
        """A job is answered, has failed or was cancelled: its windows that still wait count no longer."""
        self.waiting_tokens -= job.waiting
        job.waiting = 0

    def _dispatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle and (key := self._ripe()) is not None:
            batch = self._take(key)
            self._idle -= 1
            self._running[id(batch)] = batch
            self._handed.put(batch)

    def _ripe(self) -> tuple[Engine, int] | None:
        """The bucket to take from now: of those that fill a batch or have waited their time, the one waiting longest.

        Where there is none yet, it sets the clock for the first that will be.
        """
        oldest: dict[tuple[Engine, int], float] = {}
        for key, bucket in list(self._buckets.items()):
            while bucket and bucket[0][0].answer.done():  # its client left, or another window of it failed
                bucket.popleft()
            if bucket:
                oldest[key] = bucket[0][0].arrived
            else:
                del self._buckets[key]
        if not oldest:
            return None
        full = {key for key in oldest if len(self._buckets[key]) << key[1] >= self.token_budget}
        latest = perf_counter() - self.collect_s
        ripe = [key for key, arrived in oldest.items() if key in full or arrived <= latest]
        if ripe:
            return min(ripe, key=oldest.__getitem__)
        self._timer = self._loop.call_later(min(oldest.values()) - latest, self._dispatch)
        return None

    def _take(self, key: tuple[Engine, int]) -> Batch:
        bucket, items, width, tokens, now = self._buckets[key], [], 0, 0, perf_counter()
        queued = []
        while bucket:
            job, place = bucket[0]
            length = len(job.windows[place])
            if not job.answer.done():
                if items and max(width, length) * (len(items) + 1) > self.token_budget:
                    break
                items.append((job, place))
                queued.append(now - job.arrived)
                width, tokens = max(width, length), tokens + length
                job.waiting -= length
                self.waiting_tokens -= length
            bucket.popleft()
        return Batch(items, tokens, width * len(items), queued, now)

    def _work(self) -> None:
        """What a worker's thread does until it is handed nothing."""
        while (batch := self._handed.get()) is not None:
            try:
                found: np.ndarray | EngineFailed = _compute(batch)
            except BaseException as error:  # whatever it is, it must fail this batch and not the worker
                found = EngineFailed(f"{type(error).__name__}: {error}")
            try:
                self._loop.call_soon_threadsafe(self._finish, batch, found)
            except RuntimeError:
                return  # the loop was closed meanwhile: nobody waits

    def _finish(self, batch: Batch, found: np.ndarray | EngineFailed) -> None:
        del self._running[id(batch)]
        self._idle += 1
        for row, (job, place) in enumerate(batch.items):
            if job.answer.done():
                continue
            if isinstance(found, EngineFailed):
                job.answer.set_exception(EngineFailed(*found.args))
                continue
            job.rows[place] = found[row]
            job.missing -= 1
            if not job.missing:
                job.answer.set_result(np.stack(job.rows))
        if batch.computed:
            rate = batch.tokens / batch.computed
            self.tokens_per_s = 0.9 * self.tokens_per_s + 0.1 * rate if self.tokens_per_s else rate
        self._dispatch()
        self.on_batch(batch)


def _compute(batch: Batch) -> np.ndarray:
    ids, mask = pad([job.windows[place] for job, place in batch.items])
    started = perf_counter()
    batch.batched = started - batch.taken
    rows = batch.items[0][0].engine(ids, mask)  # all of a batch have the same
    batch.computed = perf_counter() - started
    if len(rows) != len(batch.items) or not np.isfinite(rows).all():
        raise EngineFailed("not a finite row of logits for each window")
    return rows
