"""Questions of many at once: a few are answered at a time, some wait, and what is beyond is refused.

What a generator does is done in threads; its events come out on the event loop. A question whose client has left, or
whose time is over, is given up: before its turn at once, within it at the generator's next look.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qa_system.generation.answer_generator import Answer, AnswerGenerator, Event


class TooManyQuestions(Exception):
    """As many questions wait as may."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many questions wait: try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class TooLate(Exception):
    """There was no answer in time."""

    def __init__(self, within_s: float) -> None:
        super().__init__(f"no answer within {within_s:g} s")
        self.retry_after_s = 5


class Asking:
    """Takes questions on the event loop."""

    def __init__(self, generator: AnswerGenerator, threads: int, queue: int, answer_within_s: float) -> None:
        """`threads` questions are answered at a time, `queue` more may wait."""
        self.generator, self.threads, self.queue, self.answer_within_s = generator, threads, queue, answer_within_s
        self.answer_s = 0.5
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="asking")
        self._under_way: set[Asked] = set()

    def ask(self, question: str, sources: Sequence[str] | None = None) -> "Asked":
        """Raises TooManyQuestions. Close what it gives, also after a fault: until then it takes a place."""
        if self.full():
            raise TooManyQuestions(max(1, min(60, round(self.answer_s * len(self._under_way) / self.threads))))
        asked = Asked(self, question, sources)
        self._under_way.add(asked)
        self._threads.submit(asked.work)
        return asked

    def full(self) -> bool:
        return len(self._under_way) >= self.threads + self.queue

    def waiting(self) -> int:
        """Questions that wait or are being answered."""
        return len(self._under_way)

    def busy_s(self) -> float:
        """Seconds that the question longest at a thread has been there."""
        now = time.monotonic()
        return max((now - asked.began for asked in list(self._under_way) if asked.began), default=0.0)

    def close(self) -> None:
        for asked in list(self._under_way):
            asked.stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def leave(self, asked: "Asked") -> None:
        self._under_way.discard(asked)


class Asked:
    """One question. Iterate over it for its events; raises TooLate, and whatever the generator raised."""

    def __init__(self, asking: Asking, question: str, sources: Sequence[str] | None) -> None:
        self.asking, self.question, self.sources = asking, question, sources
        self.stop = threading.Event()
        self.give_up = time.monotonic() + asking.answer_within_s
        self.began = 0.0
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        self._closed = self._worked = False

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        try:
            async with asyncio.timeout(max(self.give_up - time.monotonic(), 0)):
                event = await self._events.get()
        except TimeoutError:
            raise TooLate(self.asking.answer_within_s) from None
        if event is None:
            raise StopAsyncIteration
        if isinstance(event, BaseException):
            raise event
        return event

    async def answer(self) -> Answer:
        """The whole answer. Raises TooLate where there is none in time."""
        async for event in self:
            if event.answer is not None:
                return event.answer
        raise TooLate(self.asking.answer_within_s)

    def close(self) -> None:
        """Nobody listens any more. Its place is free once the generator has noticed."""
        self._closed = True
        self.stop.set()
        if not self.began or self._worked:
            self.asking.leave(self)

    def work(self) -> None:
        """What a thread does: put the generator's events where the loop finds them."""
        if self._stopped():
            return
        self.began = time.monotonic()
        try:
            for event in self.asking.generator.stream(self.question, self.sources, self._stopped):
                self._tell(self._events.put_nowait, event)
                if self._stopped():
                    break
            self._tell(self._events.put_nowait, None)
        except BaseException as error:  # whatever it is, it must fail this question and not the thread
            self._tell(self._events.put_nowait, error)
        self.asking.answer_s = 0.8 * self.asking.answer_s + 0.2 * (time.monotonic() - self.began)
        self._tell(self._end_work)

    def _end_work(self) -> None:
        self._worked = True
        if self._closed:
            self.asking.leave(self)

    def _stopped(self) -> bool:
        return self.stop.is_set() or time.monotonic() > self.give_up

    def _tell(self, function: Any, *values: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *values)
        except RuntimeError:  # the loop was closed meanwhile: nobody waits
            self.stop.set()
