"""Ctrl-C as a polite request: long work looks at it where it is safe to stop, saves, and leaves."""

import signal
from types import FrameType, TracebackType
from typing import Self

from shared.logging import get_logger

log = get_logger(__name__)


class StopRequest:
    """Within the block, the first Ctrl-C or SIGTERM sets `requested`; a second one ends the program at once.

    >>> with StopRequest() as stop:
    ...     stop.requested
    False
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        log.info("stopping as soon as everything can be saved; press Ctrl-C again to stop at once")
