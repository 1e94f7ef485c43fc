"""A timer that does the arithmetic, so that no print divides by a timestamp."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass
class Timer:
    """Wall-clock seconds of a `with` block; readable while the block still runs.

    >>> with Timer() as timer:
    ...     pass
    >>> timer.seconds >= 0
    True
    """

    _start: float | None = field(default=None, init=False)
    _stop: float | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self._start, self._stop = time.perf_counter(), None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = time.perf_counter()

    @property
    def seconds(self) -> float:
        """So far, or of the whole block once it has ended. Raises RuntimeError where none began."""
        if self._start is None:
            raise RuntimeError("the timer was never started: use it as `with Timer() as timer:`")
        return (self._stop if self._stop is not None else time.perf_counter()) - self._start

    def rate(self, count: float) -> float:
        """`count` things per second so far."""
        return count / max(self.seconds, 1e-9)


def percentile(values: Sequence[float], percent: float) -> float:
    """The `percent`-th percentile (0 to 100) with linear interpolation, as numpy's default.

    Raises ValueError on an empty sequence.
    """
    if not values:
        raise ValueError("percentile of no values: measure at least once")
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def time_in_pairs(ours: Callable[[], object], baseline: Callable[[], object], repeats: int = 5) -> tuple[float, float]:
    """Median seconds of two functions measured in turn, after one warm-up call of each.

    Taking turns, and changing who goes first, spreads the noise of a shared machine over both.
    """
    ours()
    baseline()
    seconds: dict[Callable[[], object], list[float]] = {ours: [], baseline: []}
    for repeat in range(repeats):
        for function in (ours, baseline) if repeat % 2 == 0 else (baseline, ours):
            with Timer() as timer:
                function()
            seconds[function].append(timer.seconds)
    return statistics.median(seconds[ours]), statistics.median(seconds[baseline])
