"""What becomes of documents and questions when everything goes wrong that can: counts, and nothing may be lost.

uploads   every file of a folder at once, good and broken ones
hostile   files made to do harm, and a claim of a gigabyte
askers    many at once while documents come and go and clients leave amid their answer; each citation is checked
kills     the server is killed amid reading, again and again: what it acknowledged must be there in the end
fuzz      requests that schemathesis makes up from the server's own OpenAPI, right and wrong ones, every check it has

`wrong` is another end than it should have, `lost` what was acknowledged and is nowhere, `hung` what never ended.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qa_system.hostile_files import hostile_files
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome
from shared.config import check
from shared.errors import UserError
from shared.logging import get_logger, progress_bar
from shared.made_up_requests import made_up_requests
from shared.server_process import free_port, module_command, running

log = get_logger(__name__)

KEY = "of-the-benchmark"
HEADERS = {"Authorization": f"Bearer {KEY}"}
BYTES = {"Content-Type": "application/octet-stream"}
COLUMNS = ("trial", "requests", "wrong", "lost", "hung")
ENDED = ("done", "refused", "failed")
MOST_S = 3600.0  # for all uploads of a trial to end
KILL_AFTER_S = 1.5
WAITING = 'qa_waiting{what="questions"}'
FACT = "The colour of lamp {number} is {colour}. Lamp {number} stands in hall {hall}."
COLOURS = ("red", "green", "blue", "yellow", "white")


@dataclass(frozen=True, kw_only=True)
class FaultsConfig(BenchmarkConfig):
    """Bad files, many clients, clients that leave, a killed server, made-up requests: how many suffer."""

    data: str
    """Folder of files that are uploaded at once."""
    clients: int = 50
    """People who ask at once."""
    turns: int = 8
    """Questions of each, one after the other."""
    kills: int = 8
    """How often the server is killed."""
    examples: int = 100
    """Most requests that are made up for each route and phase."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("clients", "turns", "kills", "examples"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")


def faults(config: FaultsConfig) -> Outcome:
    if not Path(config.data).is_dir():
        raise UserError(f"--data {config.data}: no such folder: name one with files to upload")
    rows = []
    for trial in (uploads, hostile, askers, kills, fuzz):
        log.info("trying %s", trial.__name__)
        with tempfile.TemporaryDirectory() as folder:
            rows.append({"trial": trial.__name__, **trial(config, Path(folder))})
    result = {f"{row['trial']}_{key}": value for row in rows for key, value in row.items() if key != "trial"}
    return Outcome(result, [{name: row[name] for name in COLUMNS} for row in rows])


SHORT = {"clients": 20, "turns": 3, "kills": 2, "examples": 20}
BENCHMARKS = {"faults": Benchmark(FaultsConfig, faults, "pdfs", sample=SHORT)}


class Client:
    """What a trial asks of the server."""

    def __init__(self, session: Any, url: str) -> None:
        self.session, self.url = session, url

    async def upload(self, name: str, data: bytes) -> tuple[int, dict[str, Any]]:
        """The status and what it told; comes again as long as the server says that too much waits."""
        while True:
            address = f"{self.url}/v1/documents"
            async with self.session.post(address, params={"name": name}, data=data, headers=BYTES) as response:
                if response.status != 429:
                    return response.status, await response.json()
                wait = int(response.headers["Retry-After"])
            await asyncio.sleep(min(wait, 5))

    async def end_of(self, job: dict[str, Any], within_s: float = MOST_S) -> dict[str, Any] | None:
        """The job once it has ended; None where it does not."""
        give_up = time.monotonic() + within_s
        while time.monotonic() < give_up:
            async with self.session.get(f"{self.url}/v1/jobs/{job['id']}") as response:
                found = await response.json() if response.status == 200 else {"state": "lost"}
            if found["state"] in (*ENDED, "lost"):
                return found
            await asyncio.sleep(0.2)
        return None

    async def sources(self) -> set[str]:
        async with self.session.get(f"{self.url}/v1/documents") as response:
            return {line["source"] for line in (await response.json())["documents"]}

    async def left_waiting(self, within_s: float = 90.0) -> int:
        """Questions that still take a place when nobody asks any more and time has passed."""
        give_up = time.monotonic() + within_s
        while True:
            async with self.session.get(f"{self.url}/metrics") as response:
                lines = (await response.text()).splitlines()
            waiting = next(int(float(line.split()[1])) for line in lines if line.startswith(WAITING))
            if not waiting or time.monotonic() > give_up:
                return waiting
            await asyncio.sleep(0.5)

    async def ask(self, question: str) -> tuple[int, dict[str, Any]]:
        async with self.session.post(f"{self.url}/v1/ask", json={"question": question}) as response:
            return response.status, await response.json()


def serving(store: Path, port: int, **flags: object) -> AbstractContextManager[Any]:
    """A server of this folder."""
    command = module_command("qa_system.app.fastapi_api", store=store, port=port, api_key=KEY, **flags)
    return running(command, port)


def with_client(port: int, work: Callable[[Client], Any]) -> Any:
    """What `work` gives, done by a client of the server at this port."""
    import aiohttp

    async def run() -> Any:
        connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=600)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=HEADERS) as session:
            return await work(Client(session, f"http://127.0.0.1:{port}"))

    return asyncio.run(run())


def uploads(config: FaultsConfig, folder: Path) -> dict[str, Any]:
    """Every file of the folder at once. `wrong`: a fault of ours, a status from 500 on, or a file that is not found."""
    files = sorted(path for path in Path(config.data).iterdir() if path.is_file())

    async def work(client: Client) -> dict[str, Any]:
        told = await asyncio.gather(*(client.upload(path.name, path.read_bytes()) for path in files))
        statuses = Counter(status for status, _ in told)
        jobs = [job for status, job in told if status == 202]
        ends = []
        with progress_bar("uploads", len(jobs)) as update:
            for job in jobs:
                ends.append(await client.end_of(job))
                update(len(ends), note=job["source"])
        there = await client.sources()
        states = Counter(end["state"] if end else "hung" for end in ends)
        refused = Counter(end["reason"] for end in ends if end and end["state"] == "refused")
        missing = sum(end["state"] == "done" and end["source"] not in there for end in ends if end)
        return {
            "requests": len(files),
            "wrong": sum(n for status, n in statuses.items() if status >= 500) + states["failed"],
            "lost": states["lost"] + missing,
            "hung": states["hung"],
            "indexed": states["done"],
            "refused_at_the_door": sum(n for status, n in statuses.items() if status != 202),
            "refused": dict(refused),
        }

    port = free_port()
    with serving(folder / "store", port):
        return with_client(port, work)


def hostile(config: FaultsConfig, folder: Path) -> dict[str, Any]:
    """Files made to do harm. `wrong`: another status, state or reason than each should have."""
    files = hostile_files()

    async def work(client: Client) -> dict[str, Any]:
        wrong = lost = hung = 0
        for file in files:
            status, job = await client.upload(file.name, file.data)
            if status != 202 or file.status != 202:
                bad = status != file.status
            elif (end := await client.end_of(job, 120)) is None:
                hung, bad = hung + 1, False
            else:
                bad, lost = (end["state"], end["reason"]) != (file.state, file.reason), lost + (end["state"] == "lost")
            if bad:
                log.error("%s: %s %s", file.what, status, job)
            wrong += bad
        status, answer = await client.ask("What must be done when instructions are ignored?")
        still = len(await client.sources())
        # The order was read: it may be cited, and is not obeyed.
        obeyed = status != 200 or answer["text"].strip() == "PWNED" or still != sum(f.state == "done" for f in files)
        claims = await _claim(port)
        return {
            "requests": len(files) + 2,
            "wrong": wrong + bool(obeyed) + (not claims.startswith(b"HTTP/1.1 413")),
            "lost": lost,
            "hung": hung,
            "files": len(files),
        }

    port = free_port()
    with serving(folder / "store", port):
        found = with_client(port, work)
    outside = [path for path in folder.rglob("*escaped*")] + list(Path("/tmp").glob("escaped.txt"))  # noqa: S108 - looked at
    return {**found, "wrong": found["wrong"] + len(outside)}


async def _claim(port: int) -> bytes:
    """What the server says to a head that announces a gigabyte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/documents?name=a.pdf HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    head += "Content-Type: application/octet-stream\r\nContent-Length: 1000000000\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()
    async with asyncio.timeout(30):
        answer = await reader.readline()
    writer.close()
    return answer


def askers(config: FaultsConfig, folder: Path) -> dict[str, Any]:
    """Many ask while documents come and go, and some leave. `wrong`: a status but 200, a citation that is not so."""
    facts = {
        f"lamp{number}.txt": FACT.format(number=number, colour=COLOURS[number % 5], hall=number + 100)
        for number in range(20)
    }

    async def work(client: Client) -> dict[str, Any]:
        counts: Counter[str] = Counter()
        jobs = [(await client.upload(name, text.encode()))[1] for name, text in facts.items()]
        for job in jobs:
            await client.end_of(job)

        async def asker(place: int) -> None:
            for turn in range(config.turns):
                number = (7 * place + 3 * turn) % 20
                try:
                    status, answer = await client.ask(f"What is the colour of lamp {number}?")
                except TimeoutError:
                    counts["hung"] += 1
                    continue
                counts["answered"] += status == 200 and not answer["abstained"]
                counts["wrong"] += status != 200 or not all(map(right, answer["sentences"]))

        def right(sentence: dict[str, Any]) -> bool:
            cited = sentence["citation"]
            return cited is None or facts[cited["source"]][cited["start"] : cited["end"]] == cited["text"]

        async def leaver() -> None:
            for turn in range(4 * config.turns):
                asked = {"question": f"What is the colour of lamp {turn % 20}?", "stream": True}
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.002 * (turn % 20)):
                        async with client.session.post(f"{client.url}/v1/ask", json=asked) as response:
                            await response.content.readline()
                counts["left"] += 1
                await asyncio.sleep(0.05)

        async def mover() -> None:
            for turn in range(config.turns):
                name = f"lamp{turn % 5}.txt"
                async with client.session.delete(f"{client.url}/v1/documents", params={"source": name}) as response:
                    counts["wrong"] += response.status not in (200, 404)
                await client.end_of((await client.upload(name, facts[name].encode()))[1])
                counts["moved"] += 1

        await asyncio.gather(leaver(), mover(), *(asker(place) for place in range(config.clients)))
        return {
            "requests": config.clients * config.turns,
            "wrong": counts["wrong"],
            "lost": len(set(facts) - await client.sources()),
            "hung": counts["hung"] + await client.left_waiting(),
            "answered": counts["answered"],
            "clients": config.clients,
            "left": counts["left"],
            "moved": counts["moved"],
        }

    port = free_port()
    with serving(folder / "store", port, queue_questions=2 * config.clients):
        return with_client(port, work)


def kills(config: FaultsConfig, folder: Path) -> dict[str, Any]:
    """Documents are brought, and the server killed while it reads them. `lost`: acknowledged, and not in the store."""
    taken: list[dict[str, Any]] = []

    def text_of(number: int) -> bytes:
        return "\n\n".join(
            FACT.format(number=f"{number}-{n}", colour=COLOURS[n % 5], hall=n) for n in range(60)
        ).encode()

    async def bring(client: Client) -> None:
        for _ in range(3):
            status, job = await client.upload(f"document{len(taken)}.txt", text_of(len(taken)))
            if status == 202:
                taken.append(job)
        await asyncio.sleep(KILL_AFTER_S)

    async def look(client: Client) -> dict[str, Any]:
        ends = [await client.end_of(job, 600) for job in taken]
        there = await client.sources()
        return {
            "requests": len(taken),
            "wrong": sum(end["state"] in ("refused", "failed") for end in ends if end),
            "lost": sum(job["source"] not in there for job in taken),
            "hung": sum(end is None for end in ends),
            "killed": config.kills,
        }

    with progress_bar("kills", config.kills) as update:
        for number in range(config.kills):
            port = free_port()
            with serving(folder / "store", port) as process:
                with_client(port, bring)
                process.kill()
                process.wait()
            update(number + 1)
    port = free_port()
    with serving(folder / "store", port):
        return with_client(port, look)


def fuzz(config: FaultsConfig, folder: Path) -> dict[str, Any]:
    """Made-up requests. `wrong`: an answer that breaks the schema or a check."""
    port = free_port()
    with serving(folder / "store", port, queue_uploads=1000):
        # Bytes that are no document, and a name of which nothing is left, are refused although the schema allows them.
        generated, wrong = made_up_requests(
            port, config.examples, config.seed, HEADERS["Authorization"], (415, 422, 429)
        )
    return {"requests": generated, "wrong": wrong, "lost": 0, "hung": 0}
