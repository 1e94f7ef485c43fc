"""What becomes of requests when everything goes wrong that can: counts, and none of them may be lost without a reason.

fuzz      requests that schemathesis makes up from the server's own OpenAPI, right and wrong ones, every check it has
clients   many clients at once while models are swapped, a broken one among them, and others leave amid their request
kills     workers killed one after the other under load: a request in the killed one's hands is lost, and no other
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_optimization.config import PROJECT, SUBJECT
from model_optimization.deployment.server_process import module_command, running
from model_optimization.monitoring.performance_metrics import GIVE_UP_S, NO_ANSWER, offer
from shared.benchmark import BenchmarkConfig, Outcome
from shared.config import check
from shared.errors import UserError
from shared.logging import get_logger, progress_bar
from shared.made_up_requests import made_up_requests
from shared.server_process import free_port

log = get_logger(__name__)

KEY = "of-the-benchmark"
ADMIN = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
BETWEEN_KILLS_S = 3.0
COLUMNS = ("trial", "requests", "wrong", "lost", "hung")


@dataclass(frozen=True, kw_only=True)
class FaultsConfig(BenchmarkConfig):
    """Requests made up, clients that leave, models swapped, workers killed: how many requests suffer."""

    run: str = SUBJECT
    """Folder of the trained classifier that is served."""
    dataset: str = "rotten_tomatoes"
    """Texts that are sent: the test part of a packaged set, a file, or a hub set."""
    examples: int = 200
    """Most requests that are made up for each route and phase."""
    clients: int = 50
    """Clients at once."""
    turns: int = 40
    """Requests of each, one after the other."""
    kills: int = 10
    """Workers to kill."""
    rate: float = 40.0
    """Requests a second while workers are killed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("examples", "clients", "turns", "kills"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")
        check(0 < self.rate <= 1000, "rate", self.rate, "give requests a second, up to 1000")


def faults(config: FaultsConfig) -> Outcome:
    from model_optimization.deployment.default_model import default_models
    from model_optimization.monitoring.performance_metrics import load_bodies

    bodies = load_bodies(config.dataset, config.seed)
    whole = default_models(config.run)
    with tempfile.TemporaryDirectory() as folder:
        models = three_models(whole / "1", Path(folder))
        rows = []
        # To schemathesis every version is as good as any other, so that it gets no broken one.
        for trial, served in ((fuzz, whole), (clients, models), (kills, models)):
            log.info("trying %s", trial.__name__)
            rows.append({"trial": trial.__name__, **trial(config, served, bodies)})
    result = {f"{row['trial']}_{key}": value for row in rows for key, value in row.items() if key != "trial"}
    return Outcome(result, [{name: row[name] for name in COLUMNS} for row in rows])


def three_models(variant: Path, folder: Path) -> Path:
    """A folder of models: the same one as 1 and as 2, and a broken one as 3."""
    from model_optimization.runtime import ONNX

    for version in ("1", "2", "3"):
        shutil.copytree(variant, folder / version)
    (folder / "3" / ONNX).write_bytes(b"no network")
    return folder


def fuzz(config: FaultsConfig, models: Path, bodies: list[bytes]) -> dict[str, Any]:
    """Made-up requests: `wrong` is an answer that breaks the schema or a check. Raises UserError where it cannot."""
    port = free_port()
    flags = {"models": models, "version": 1, "port": port, "threads": 1, "admin_key": KEY}
    with running(module_command("fastapi_server", **flags), port, []):
        generated, wrong = made_up_requests(port, config.examples, config.seed, ADMIN["Authorization"])
    return {"requests": generated, "wrong": wrong, "lost": 0, "hung": 0}


def clients(config: FaultsConfig, models: Path, bodies: list[bytes]) -> dict[str, Any]:
    """Clients at once, each told apart by its texts: `wrong` is another answer than the model's own."""
    from model_optimization.runtime import Variant
    from shared.cleaning import clean

    variant = Variant(models / "1", 1)
    bodies = bodies[: 8 * config.clients]
    logits = variant.logits([clean(json.loads(body)["texts"][0]) for body in bodies])
    # The half of which it is surest: in int8 what stands beside a text moves its logits a little.
    sure = np.ptp(logits, axis=1).argsort()[len(bodies) // 2 :]
    bodies, right = [bodies[i] for i in sure], [variant.settings.label_names[logits[i].argmax()] for i in sure]
    port = free_port()
    flags = {"models": models, "version": 1, "port": port, "threads": 1, "admin_key": KEY, "queue_tokens": 1_000_000}
    with running(module_command("fastapi_server", **flags), port, []):
        return asyncio.run(_clients(config, f"http://127.0.0.1:{port}", bodies, right))


async def _clients(config: FaultsConfig, url: str, bodies: list[bytes], right: list[str]) -> dict[str, Any]:
    import aiohttp

    statuses: Counter[int] = Counter()
    swaps: Counter[int] = Counter()
    wrong = lost = hung = left = 0

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal wrong, lost, hung
        for turn in range(config.turns):
            place = (number * 7 + turn * 13) % len(bodies)
            try:
                async with session.post(f"{url}/v1/classify", data=bodies[place]) as response:
                    told = await response.json()
                statuses[response.status] += 1
                wrong += bool(response.status == 200 and told["answers"][0]["label"] != right[place])
            except TimeoutError:
                hung += 1
            except aiohttp.ClientError:
                lost += 1

    async def leaver(session: aiohttp.ClientSession) -> None:
        nonlocal left
        for place in range(config.turns):
            try:
                async with asyncio.timeout(0.001 * (place % 10)):
                    await session.post(f"{url}/v1/classify", data=bodies[place % len(bodies)])
            except TimeoutError:
                left += 1
            await asyncio.sleep(0.01)

    async def admin(session: aiohttp.ClientSession) -> None:
        for path, version in (("swap", "2"), ("swap", "3"), ("rollback", None), ("swap", "7"), ("swap", "2")):
            body = json.dumps({"version": version}) if version else None
            async with session.post(f"{url}/v1/models/{path}", data=body, headers=ADMIN) as response:
                swaps[response.status] += 1
            await asyncio.sleep(0.05)

    timeout, headers = aiohttp.ClientTimeout(total=60), {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        callers = [client(session, number) for number in range(config.clients)]
        await asyncio.gather(admin(session), leaver(session), *callers)
    return {
        "requests": config.clients * config.turns,
        "wrong": wrong + sum(n for status, n in statuses.items() if status != 200),
        "lost": lost,
        "hung": hung,
        "clients": config.clients,
        "left": left,
        "swaps": swaps[200],
        "swaps_refused": swaps[409] + swaps[404],
    }


def kills(config: FaultsConfig, models: Path, bodies: list[bytes]) -> dict[str, Any]:
    """Two workers of uvicorn, of which one is killed again and again: `lost` are requests whose connection broke.

    Raises UserError where there is no /proc to find the workers in.
    """
    if not Path("/proc/self/task").is_dir():
        raise UserError("the kill test finds the workers in /proc, which this system does not have: run it on Linux")
    port = free_port()
    app = f"{PROJECT}.deployment.fastapi_server:app"
    command = [sys.executable, "-m", "shared.server_process", "uvicorn", app]
    command += ["--port", str(port), "--workers", "2", "--no-access-log"]
    settings = {"SERVE_MODELS": str(models), "SERVE_VERSION": "1", "SERVE_THREADS": "1"}
    seconds, url = (config.kills + 1) * BETWEEN_KILLS_S, f"http://127.0.0.1:{port}"
    with running(command, port, [], settings) as supervisor:

        async def load_and_kill() -> tuple[list[Any], int]:
            load = asyncio.create_task(offer(url, bodies, config.rate, seconds, config.seed))
            killed = await asyncio.to_thread(_kill_one_after_the_other, supervisor.pid, config.kills)
            return await load, killed

        samples, killed = asyncio.run(load_and_kill())
        replaced = len(_workers(supervisor.pid)) == 2
    unanswered = [sample for sample in samples if sample.status == NO_ANSWER]
    hung = sum(bool(sample.latency - sample.late > 0.95 * GIVE_UP_S) for sample in unanswered)
    return {
        "requests": len(samples),
        "wrong": sum(bool(sample.status not in (200, NO_ANSWER)) for sample in samples),
        "lost": len(unanswered) - hung,
        "hung": hung,
        "killed": killed,
        "replaced": replaced,
    }


def _kill_one_after_the_other(supervisor: int, times: int) -> int:
    """Kill a worker so many times, each time once there are two that have had a moment. Gives how many it killed."""
    known: set[int] = set()
    with progress_bar("kills", times) as update:
        for number in range(times):
            time.sleep(BETWEEN_KILLS_S)
            workers = _workers(supervisor)
            # One that has just begun has no requests to lose: kill an old one where there is any.
            victim = next((pid for pid in workers if pid in known), workers[0] if workers else None)
            known |= set(workers)
            if victim is None:
                return number
            os.kill(victim, signal.SIGKILL)
            update(done=number + 1)
    return times


def _workers(supervisor: int) -> list[int]:
    workers = []
    for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        with suppress(OSError):  # it has just ended
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                workers.append(int(pid))
    return workers
