"""A server under load, second by second: what the demo page shows.

python -m model_optimization.monitoring.live_load --rate 50        a line of JSON a second; end it with Ctrl-D

It starts a server of ours, or takes one that runs (`--url`), sends it requests at random times, and tells what happened
in the last WINDOW_S seconds. A number on standard input is the new rate. It ends, and its server with it, when the
input ends, and when nothing came for `alone_s` seconds: who closes the page leaves nothing behind.
"""

import asyncio
import itertools
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import urlparse

import numpy as np

from model_optimization.config import PROJECT
from model_optimization.deployment.server_process import module_command, running
from model_optimization.monitoring import performance_metrics as load
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.logging import print_result, setup_logging
from shared.server_process import free_port, share_cores

WINDOW_S = 5
LOWEST, HIGHEST = 1.0, 2000.0  # requests a second


@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    """Load a server on this machine and tell every second how it does."""

    url: str | None = None
    """A server that runs; by default one of ours is started, with the classifier that ships."""
    models: str | None = None
    """Folder of models for the server that is started."""
    batched: bool = True
    """Whether the server that is started answers texts together, or each alone."""
    rate: float = 50.0
    """Requests a second, on average, to begin with."""
    seconds: float = 300.0
    """Seconds after which it ends by itself."""
    alone_s: float = 15.0
    """Seconds without a word on standard input after which it ends."""
    dataset: str = "rotten_tomatoes"
    """Texts to send: the test part of a packaged set, a file, or a hub set."""
    seed: int = 0
    """Seed of the times and of the order of the texts."""

    def __post_init__(self) -> None:
        if self.url is not None:
            load.LoadConfig(url=self.url)  # refuses other machines
            check(urlparse(self.url).path in ("", "/"), "url", self.url, "give it as http://127.0.0.1:8000")
        check(LOWEST <= self.rate <= HIGHEST, "rate", self.rate, f"give {LOWEST:g} to {HIGHEST:g} requests a second")
        for name in ("seconds", "alone_s"):
            check(getattr(self, name) > 0, name, getattr(self, name), "give seconds above 0")


class Wish:
    """The rate that is wished for, as standard input tells it; ends this process when nobody is there any more."""

    def __init__(self, rate: float, alone_s: float) -> None:
        self.rate, self.alone_s, self.heard = rate, alone_s, time.monotonic()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def _listen(self) -> None:
        # Not sys.stdin, whose lock would be in the way when the process ends.
        with os.fdopen(os.dup(0), "rb", buffering=0) as words:
            for word in words:
                self.heard = time.monotonic()
                try:
                    self.rate = min(max(float(word), LOWEST), HIGHEST)
                except ValueError:
                    pass  # a sign of life
        self.heard = float("-inf")

    def _watch(self) -> None:
        while time.monotonic() < self.heard + self.alone_s:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def server(config: LiveConfig) -> Iterator[str]:
    """The address of the server to load. Raises UserError where ours does not start or none is there."""
    if config.url is not None:
        yield config.url.rstrip("/")
        return
    cores, _ = share_cores()
    port = free_port()
    flags: dict[str, Any] = {"port": port, "threads": max(1, len(cores))}
    flags |= {"models": config.models} if config.models else {}
    flags |= {} if config.batched else {"token_budget": 1, "collect_ms": 0}
    with running(module_command("fastapi_server", **flags), port, cores):
        yield f"http://127.0.0.1:{port}"


async def watch(url: str, bodies: Sequence[bytes], wish: Wish, seconds: float, seed: int) -> AsyncIterator[dict]:
    """Load it, and yield a row a second: what `summarise` and `spent` give of the last WINDOW_S seconds."""
    answered: deque[tuple[float, load.Sample]] = deque()
    begin = perf_counter()
    async with sending(url, bodies, wish, seed, answered):
        readings = deque([await asyncio.to_thread(load.server_numbers, url)], WINDOW_S + 1)
        for second in itertools.count(1):
            if (wait := begin + second - perf_counter()) > 0:
                await asyncio.sleep(wait)
            readings.append(await asyncio.to_thread(load.server_numbers, url))
            now = perf_counter()
            window = min(WINDOW_S, now - begin)
            while answered and answered[0][0] < now - window:
                answered.popleft()
            row = {"second": round(now - begin, 2), "rate": wish.rate}
            row |= load.summarise([sample for _, sample in answered], window)
            row |= {"errors_rps": row["errors"] / window, **load.spent(readings[0], readings[-1])}
            if readings[-1] is not None:
                row["waiting_tokens"] = readings[-1]["waiting_tokens"]
            yield row
            if now - begin >= seconds:
                return


@asynccontextmanager
async def sending(
    url: str, bodies: Sequence[bytes], wish: Wish, seed: int, answered: deque[tuple[float, load.Sample]]
) -> AsyncIterator[None]:
    """Within the block requests go out at the rate wished for, and what became of them is put in `answered`."""
    random, under_way = np.random.default_rng(seed), set()

    def note(task: asyncio.Task[load.Sample]) -> None:
        under_way.discard(task)
        if not task.cancelled():
            answered.append((perf_counter(), task.result()))

    async def send(session: Any) -> None:
        intended = perf_counter()
        for body in itertools.cycle(bodies):
            intended += random.exponential(1 / wish.rate)
            if (early := intended - perf_counter()) > 0:
                await asyncio.sleep(early)
            task = asyncio.create_task(load.ask(session, url, body, intended))
            under_way.add(task)
            task.add_done_callback(note)

    async with load.open_session() as session:
        sender = asyncio.create_task(send(session))
        try:
            yield
        finally:
            for task in (sender, *under_way):
                task.cancel()


async def run(config: LiveConfig, url: str, bodies: Sequence[bytes], wish: Wish) -> None:
    """Print what is measured, a row at a time. Raises UserError where the server does not classify texts."""
    if any(sample.status != 200 for sample in await load.offer(url, bodies, 20, 0.5)):
        raise UserError(f"--url {url}: does not classify texts as our server does: look at the address")
    async for row in watch(url, bodies, wish, config.seconds, config.seed):
        print_result(row)


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(LiveConfig, argv, prog=f"python -m {PROJECT}.monitoring.live_load")
    setup_logging()
    # As an error would, so that the server is ended first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    wish = Wish(config.rate, config.alone_s)
    bodies = load.load_bodies(config.dataset, config.seed)
    with server(config) as url:
        load.pin(None)
        asyncio.run(run(config, url, bodies, wish))


if __name__ == "__main__":
    run_program(main)
