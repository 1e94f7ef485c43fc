"""A real server on loopback under faults: nothing hangs, nobody else is harmed, and the process ends when told to."""

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_optimization.deployment.schema import MAX_BODY_BYTES
from model_optimization.deployment.server_metrics import live_numbers
from model_optimization.runtime import ONNX, Variant

GOOD = json.dumps({"texts": ["a good film"]}).encode()
ADMIN = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
# The engine takes so many seconds longer for texts of five tokens, as the good one's.
SLOW = """
import sys, time
from model_optimization import runtime
real, seconds = runtime._open_onnx, float(sys.argv.pop(1))
def opened(file, threads):
    engine = real(file, threads)
    return lambda ids, mask: (mask.shape[1] != 5 or time.sleep(seconds), engine(ids, mask))[1]
runtime._open_onnx = opened
from model_optimization.deployment.fastapi_server import main
main()
"""


class Server:
    def __init__(self, process: subprocess.Popen, port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log
        self.url = f"http://127.0.0.1:{port}"

    def classify(self, body: bytes = GOOD, timeout: float = 20) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("POST", "/v1/classify", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def send(self, head: str = "", body: bytes = GOOD, length: int | None = None) -> socket.socket:
        """A request by hand, its connection left open."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        head = head or f"Content-Length: {len(body) if length is None else length}\r\n"
        start = f"POST /v1/classify HTTP/1.1\r\nHost: server\r\nContent-Type: application/json\r\n{head}\r\n"
        connection.sendall(start.encode() + body)
        return connection

    def ends_within(self, seconds: float) -> int:
        return self.process.wait(seconds)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def start(two_models, tmp_path) -> Iterator[Callable[..., Server]]:
    """`start("--token_budget", "1", slow=0.2)`: a server of `two_models` that is ready; ended after the test."""
    started: list[Server] = []

    def begin(*flags: str, slow: float = 0.0, stderr: object = None) -> Server:
        port, log = free_port(), tmp_path / f"log{len(started)}"
        settings = ["--models", str(two_models), "--version", "1", "--threads", "1", "--port", str(port)]
        command = [sys.executable, "-c", SLOW, str(slow), *settings, "--admin_key", "secret", *flags]
        with open(log, "wb") as file:
            process = subprocess.Popen(command, stderr=stderr or file, stdout=subprocess.DEVNULL)
        server = Server(process, port, log)
        started.append(server)
        wait_until(lambda: is_ready(server))
        return server

    yield begin
    for server in started:
        server.process.kill()
        server.process.wait()
        if server.process.stderr:
            server.process.stderr.close()


def is_ready(server: Server) -> bool:
    assert server.process.poll() is None, server.log.read_text()
    try:
        with urllib.request.urlopen(f"{server.url}/readyz", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def in_background(work: Callable[[], object], times: int = 1) -> tuple[list[threading.Thread], list]:
    found: list = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    return threads, found


def test_a_client_that_leaves_before_its_turn_is_dropped_and_the_others_are_answered(start):
    server = start("--token_budget", "1", slow=0.5)
    threads, found = in_background(server.classify)
    wait_until(lambda: live_numbers(server.url)["waiting_tokens"] == 0)
    time.sleep(0.1)
    leavers = [server.send() for _ in range(5)]
    wait_until(lambda: live_numbers(server.url)["waiting_tokens"] == 25)
    more, answered = in_background(server.classify)
    wait_until(lambda: live_numbers(server.url)["waiting_tokens"] == 30)
    for connection in leavers:
        connection.close()
    wait_until(lambda: live_numbers(server.url)["waiting_tokens"] <= 5)
    for thread in [*threads, *more]:
        thread.join()
    assert [status for status, _ in found + answered] == [200, 200]
    numbers = live_numbers(server.url)
    assert numbers["requests"] == {200: 2, 499: 5}
    assert numbers["windows"] == 2, "nothing was computed for who left"


def test_clients_that_leave_amid_their_body_or_their_head_harm_nobody(start):
    server = start()
    for _ in range(20):
        server.send(body=GOOD[:10], length=len(GOOD)).close()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: loc")
    assert server.classify()[0] == 200
    wait_until(lambda: live_numbers(server.url)["requests"] == {499: 20, 200: 1})


def test_a_body_that_comes_too_slowly_is_408_in_time_while_others_are_answered(start):
    server = start("--body_within_s", "1")
    started = time.monotonic()
    slow = [server.send(body=b"{", length=200) for _ in range(20)]
    statuses = []
    while time.monotonic() < started + 0.8:
        for connection in slow:
            connection.sendall(b" ")
        statuses.append(server.classify()[0])
        time.sleep(0.05)
    assert set(statuses) == {200} and len(statuses) > 5
    for connection in slow:
        told = b""
        while part := connection.recv(4096):  # until the server closes
            told += part
        assert told.startswith(b"HTTP/1.1 408") and b"longer than 1 s" in told
        connection.close()
    assert 0.9 < time.monotonic() - started < 4


def test_a_body_without_end_is_413(start):
    server = start()
    part = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    connection = server.send("Transfer-Encoding: chunked\r\n", part * (MAX_BODY_BYTES // 0x10000 + 1))
    assert connection.recv(4096).startswith(b"HTTP/1.1 413")
    connection.close()
    assert server.classify()[0] == 200


def test_when_told_to_stop_it_answers_what_it_has_taken_and_takes_no_more(start):
    server = start("--token_budget", "1", slow=0.1)
    threads, found = in_background(server.classify, times=12)
    wait_until(lambda: live_numbers(server.url)["waiting_tokens"] >= 30)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    with pytest.raises(OSError):
        server.classify()
    for thread in threads:
        thread.join()
    assert [status for status, _ in found] == [200] * 12
    assert server.ends_within(5) == -signal.SIGTERM
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    assert lines[-1]["message"] == "stopped"
    assert sum(line.get("route") == "/v1/classify" and line["status"] == 200 for line in lines) == 12


def test_it_stops_although_clients_are_slow_or_say_nothing(start):
    server = start("--body_within_s", "1")
    slow = [server.send(body=b"{", length=200), socket.create_connection(("127.0.0.1", server.port))]
    time.sleep(0.1)
    server.process.send_signal(signal.SIGTERM)
    server.ends_within(5)
    for connection in slow:
        connection.close()


def test_it_stops_although_the_engine_does_not_come_back(start):
    server = start("--answer_within_s", "0.5", "--body_within_s", "0.5", slow=1000)
    threads, found = in_background(server.classify, times=3)
    threads[0].join()
    assert found[0][0] == 503, "nor does a client wait for ever"
    server.process.send_signal(signal.SIGTERM)
    server.ends_within(5)
    for thread in threads:
        thread.join()


def test_a_log_on_a_full_disk_holds_up_no_request(start):
    with open("/dev/full", "wb") as full:
        server = start(stderr=full)
    assert {server.classify()[0] for _ in range(30)} == {200}
    server.process.send_signal(signal.SIGTERM)
    assert server.ends_within(5) == -signal.SIGTERM


def test_a_log_that_nobody_reads_holds_up_no_request(start):
    server = start(stderr=subprocess.PIPE)
    lines = 400  # more than a pipe holds
    statuses = Counter(server.classify()[0] for _ in range(lines))
    assert statuses == {200: lines}
    server.process.send_signal(signal.SIGTERM)
    server.ends_within(5)


def test_fifty_clients_get_their_own_answers_while_models_are_swapped(start, two_models, onnx_variant):
    import aiohttp

    broken = two_models / "3"
    broken.mkdir()
    for file in (two_models / "2").iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / ONNX).write_bytes(b"no network")
    texts = [f"{'very ' * (n % 40)}{('good', 'bad', 'dull', 'great')[n % 4]} film" for n in range(200)]
    right = own_labels(onnx_variant, texts)
    server = start("--queue_tokens", "100000")
    statuses: Counter = Counter()
    versions: Counter = Counter()
    swaps: list[int] = []

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        for turn in range(20):
            place = (number * 7 + turn * 13) % len(texts)
            async with session.post(f"{server.url}/v1/classify", json={"texts": [texts[place]]}) as response:
                answer = await response.json()
            statuses[response.status] += 1
            versions[answer["version"]] += 1
            assert answer["answers"][0]["label"] == right[place]

    async def admin(session: aiohttp.ClientSession) -> None:
        for path, asked in (("swap", "2"), ("swap", "3"), ("rollback", None), ("swap", "7"), ("swap", "2")):
            body = json.dumps({"version": asked}) if asked else None
            async with session.post(f"{server.url}/v1/models/{path}", data=body, headers=ADMIN) as response:
                swaps.append(response.status)
            await asyncio.sleep(0.05)

    async def all_of_them() -> None:
        async with asyncio.timeout(60), aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as session:
            await asyncio.gather(admin(session), *(client(session, number) for number in range(50)))

    asyncio.run(all_of_them())
    assert statuses == {200: 1000} and swaps == [200, 409, 200, 404, 200]
    assert set(versions) == {"1", "2"}, versions
    numbers = live_numbers(server.url)
    assert numbers["requests"] == {200: 1000} and numbers["version"] == "2" and numbers["failed_batches"] == 0
    assert numbers["batches"] < numbers["windows"], "some were answered together"


def own_labels(variant: Variant, texts: list[str]) -> list[str]:
    return [variant.settings.label_names[row.argmax()] for row in variant.logits(texts)]


def test_numbers_of_a_running_server_as_plain_data(start):
    server = start()
    assert server.classify()[0] == 200
    numbers = json.loads(json.dumps(live_numbers(server.url)))
    assert numbers["version"] == "1" and numbers["requests"] == {"200": 1}
    assert numbers["windows"] == numbers["batches"] == 1 and numbers["text_tokens"] == 5
    assert numbers["stages"]["computed"]["count"] == 1 and numbers["stages"]["computed"]["seconds"] > 0
    if sys.platform == "linux":
        assert 20 < numbers["memory_mb"] < 2000
    with pytest.raises(OSError):
        live_numbers(f"http://127.0.0.1:{free_port()}")


def test_a_start_that_cannot_be_is_one_clear_line(tmp_path):
    command = [sys.executable, "-m", "model_optimization.deployment.fastapi_server", "--models", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "holds no model" in done.stderr
