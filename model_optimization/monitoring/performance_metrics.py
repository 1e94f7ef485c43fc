"""How a running server does under load: latency percentiles, throughput, errors, its memory, and where its time goes.

python -m model_optimization.monitoring.performance_metrics --url http://127.0.0.1:8000 --rate 200
python -m model_optimization.monitoring.performance_metrics --search true      the highest load with p99 below 100 ms

The loop is open: requests come at random times (a Poisson process) whether or not earlier ones are answered, as they do
from many people who know nothing of each other. A latency is counted from the moment at which a request was meant to be
sent: a generator that waits for a slow server would otherwise leave out just the requests that suffer (the coordinated
omission of G. Tene, "How NOT to measure latency"). It runs in a process of its own, on a core of its own where there
are two, and sends to this machine only.
"""

import asyncio
import gc
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlparse

import numpy as np

from model_optimization.config import PROJECT
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.logging import format_cell, get_logger, print_result, print_table, progress_bar, setup_logging
from shared.timing import percentile

if TYPE_CHECKING:
    import aiohttp

log = get_logger(__name__)

GIVE_UP_S = 5.0  # after which a client counts a request as an error
NO_ANSWER = 0  # the status of such a request, or of one whose connection broke
CLOSE = 1.06  # the search ends where the lowest load that fails is at most so many times the highest that passes
LONGEST_LOAD = 20_000  # requests of one measurement


@dataclass(frozen=True, kw_only=True)
class LoadConfig:
    """Send requests of one text each to a server on this machine, at random times."""

    url: str = "http://127.0.0.1:8000"
    """The server's address."""
    rate: float = 50.0
    """Requests a second, on average; where the search begins."""
    seconds: float = 8.0
    """Seconds of each measurement, after one second of warming up."""
    search: bool = False
    """Look for the highest rate that is answered without an error and within the limit."""
    limit_ms: float = 100.0
    """What 99 of 100 requests must be answered within."""
    dataset: str = "rotten_tomatoes"
    """Texts to send: the test part of a packaged set, a file, or a hub set."""
    core: int | None = None
    """Core to run on; by default the last one, where there are two."""
    seed: int = 0
    """Seed of the times and of the order of the texts."""

    def __post_init__(self) -> None:
        loopback = urlparse(self.url).hostname in ("127.0.0.1", "localhost", "::1")
        check(loopback, "url", self.url, "give an address of this machine: load is for servers of your own")
        check(0 < self.rate <= 10_000, "rate", self.rate, "give requests a second, up to 10000")
        check(0 < self.seconds <= 600, "seconds", self.seconds, "give at most 600")
        check(self.limit_ms > 0, "limit_ms", self.limit_ms, "give milliseconds above 0")


class Sample(NamedTuple):
    """One request: its HTTP status or NO_ANSWER, and seconds from its intended time."""

    status: int
    latency: float
    late: float
    """How long after its time it was sent: the generator's own fault."""


def arrivals(rate: float, seconds: float, seed: int) -> np.ndarray:
    """Times of a Poisson process, in seconds from its begin: gaps of an exponential distribution."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, min(LONGEST_LOAD, int(2 * rate * seconds) + 20))
    times = np.cumsum(gaps)
    return times[times < seconds]


@asynccontextmanager
async def open_session() -> AsyncIterator["aiohttp.ClientSession"]:
    """Any number of connections, which are kept less long than servers keep them, so that none is hung up."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)  # servers keep them for 5 s
    timeout, headers = aiohttp.ClientTimeout(total=GIVE_UP_S), {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        yield session


async def ask(session: "aiohttp.ClientSession", url: str, body: bytes, intended: float) -> Sample:
    """Send one request now that was meant for the time `intended`, and wait for its answer."""
    import aiohttp

    late = perf_counter() - intended
    try:
        async with session.post(f"{url}/v1/classify", data=body) as response:
            await response.read()
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        status = NO_ANSWER
    return Sample(status, perf_counter() - intended, late)


async def offer(url: str, bodies: Sequence[bytes], rate: float, seconds: float, seed: int = 0) -> list[Sample]:
    """Send the bodies in turn at the times of a Poisson process, and wait for all answers."""
    async with open_session() as session:
        begin = perf_counter()
        async with asyncio.TaskGroup() as tasks:
            asked = []
            for place, time in enumerate(arrivals(rate, seconds, seed)):
                if (early := begin + time - perf_counter()) > 0:
                    await asyncio.sleep(early)
                asked.append(tasks.create_task(ask(session, url, bodies[place % len(bodies)], begin + time)))
    return [task.result() for task in asked]


def summarise(samples: Sequence[Sample], seconds: float) -> dict[str, Any]:
    """Percentiles of what was answered, what was offered and answered a second, and what went wrong."""
    answered = [1000 * sample.latency for sample in samples if sample.status == 200]
    statuses = Counter(str(sample.status) for sample in samples)
    return {
        "offered_rps": len(samples) / seconds,
        "answered_rps": statuses["200"] / seconds,
        "p50_ms": percentile(answered, 50) if answered else None,
        "p95_ms": percentile(answered, 95) if answered else None,
        "p99_ms": percentile(answered, 99) if answered else None,
        "errors": len(samples) - statuses["200"],
        "by_status": dict(statuses),
        "late_p99_ms": percentile([1000 * sample.late for sample in samples] or [0.0], 99),
    }


def measure(config: LoadConfig, bodies: Sequence[bytes], rate: float) -> dict[str, Any]:
    """A row for this rate: what `summarise` gives, and of a server of ours what its own numbers tell.

    Raises UserError where the time was too short for a single request.
    """
    asyncio.run(offer(config.url, bodies, rate, 1.0, config.seed + 1))
    before = server_numbers(config.url)
    gc.collect()
    gc.disable()  # a pause of the generator would count as one of the server
    try:
        samples = asyncio.run(offer(config.url, bodies, rate, config.seconds, config.seed))
    finally:
        gc.enable()
    if not samples:
        raise UserError(f"--seconds {config.seconds:g}: not one request fell into them at {rate:g}/s: give more")
    return {"rate": rate, **summarise(samples, config.seconds), **spent(before, server_numbers(config.url))}


def server_numbers(url: str) -> dict[str, Any] | None:
    """What a server of ours tells of itself; None for any other."""
    from model_optimization.deployment.server_metrics import live_numbers

    try:
        return live_numbers(url)
    except OSError:
        return None


def spent(before: dict[str, Any] | None, after: dict[str, Any] | None) -> dict[str, Any]:
    """Mean milliseconds of each stage between two readings, windows a batch, and the memory now."""
    if before is None or after is None:
        return {}
    spent = {}
    for stage, now in after["stages"].items():
        was = before["stages"][stage]
        spent[f"{stage}_ms"] = 1000 * (now["seconds"] - was["seconds"]) / max(1, now["count"] - was["count"])
    windows = (after["windows"] - before["windows"]) / max(1, after["batches"] - before["batches"])
    return {**spent, "windows_a_batch": windows, "memory_mb": after["memory_mb"]}


def find_highest(
    try_rate: Callable[[float], dict[str, Any]], first: float, limit_ms: float
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The row of the highest rate that passes, None where not even the first does, and the rows of all tries.

    Doubles the rate until one fails, then tries between. A rate fails only when it does so twice, since on a shared
    machine one spell of other work is enough for a failure.
    """
    rows: list[dict[str, Any]] = []

    def passes(rate: float) -> bool:
        for _ in range(2):
            rows.append(try_rate(rate))
            if not rows[-1]["errors"] and rows[-1]["p99_ms"] <= limit_ms:
                return True
        return False

    best, low, high = None, 0.0, float("inf")
    rate = first
    while high > CLOSE * low and rate >= first / 16:
        if passes(rate):
            best, low = rows[-1], rate
        else:
            high = rate
        rate = 2 * low if high == float("inf") else high / 2 if not low else (low * high) ** 0.5
    return best, rows


def load_bodies(dataset: str, seed: int = 0) -> list[bytes]:
    """Requests of one text each, from held-out texts in a random order."""
    from model_optimization.texts import load_texts

    texts = [example.text for example in load_texts(dataset).test]
    return [json.dumps({"texts": [texts[i]]}).encode() for i in np.random.default_rng(seed).permutation(len(texts))]


def pin(core: int | None) -> str:
    """Run this process on one core only, where the system can; says what was done.

    Raises UserError for a core that this process may not use.
    """
    if not hasattr(os, "sched_setaffinity"):
        return "no core of its own: this system cannot pin"
    cores = sorted(os.sched_getaffinity(0))
    if core is not None and core not in cores:
        raise UserError(f"--core {core}: choose among {', '.join(map(str, cores))}")
    if core is None and len(cores) < 2:
        return "no core of its own: there is one only"
    chosen = cores[-1] if core is None else core
    os.sched_setaffinity(0, {chosen})
    return f"on core {chosen}"


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(LoadConfig, argv, prog=f"python -m {PROJECT}.monitoring.performance_metrics")
    setup_logging()
    log.info("generator %s", pin(config.core))
    bodies = load_bodies(config.dataset, config.seed)
    if any(sample.status != 200 for sample in asyncio.run(offer(config.url, bodies, 20, 0.5))):
        raise UserError(f"--url {config.url}: does not answer: start the server first")
    with progress_bar("loads", None) as update:
        rows: list[dict[str, Any]] = []

        def try_rate(rate: float) -> dict[str, Any]:
            rows.append(measure(config, bodies, rate))
            update(done=len(rows), note=f"{rate:.0f}/s: p99 {format_cell(rows[-1]['p99_ms'])} ms")
            return rows[-1]

        best = find_highest(try_rate, config.rate, config.limit_ms)[0] if config.search else try_rate(config.rate)
    shown = ("offered_rps", "answered_rps", "p50_ms", "p95_ms", "p99_ms", "errors", "late_p99_ms")
    print_table(config.url, [{name: row[name] for name in shown} for row in rows])
    if best is None:
        raise UserError(f"--url {config.url}: too slow for {config.limit_ms:g} ms even at {rows[-1]['rate']:.1f}/s")
    print_result({**best, "limit_ms": config.limit_ms, "seed": config.seed, "rows": rows})


if __name__ == "__main__":
    run_program(main)
