"""On a local Ray two replicas answer, both of them, the same as the model alone, with the same refusals."""

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter

import pytest

from model_optimization.deployment.ray_server import RayConfig, main
from shared import http_server
from shared.config import parse_config
from shared.errors import UserError


@pytest.mark.parametrize("flag", ["replicas", "threads", "token_budget", "queue_requests", "collect_ms", "port"])
def test_a_bad_setting_is_one_clear_line(flag):
    with pytest.raises(UserError, match=f"--{flag}") as caught:
        parse_config(RayConfig, [f"--{flag}=-1"])
    assert "\n" not in str(caught.value)


def test_without_ray_the_remedy_is_told(monkeypatch, two_models):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="make setup EXTRAS=scale"):
        main(["--models", str(two_models)])


def test_an_address_that_others_reach_is_warned_of(monkeypatch, two_models):
    said = []
    monkeypatch.setattr(http_server.log, "warning", lambda text, *values: said.append(text % values))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="no Ray Serve"):
        main(["--models", str(two_models), "--host", "0.0.0.0"])
    assert any("without a key" in line and "proxy" in line for line in said)


@pytest.mark.slow
def test_two_replicas_answer_as_the_model_alone(two_models, onnx_variant, tmp_path):
    pytest.importorskip("ray")
    import aiohttp

    url = "http://127.0.0.1:8137"
    texts = [f"{'very ' * (n % 20)}{('good', 'bad', 'dull')[n % 3]} film" for n in range(60)]
    rows = onnx_variant.logits(texts)
    right = [onnx_variant.settings.label_names[row.argmax()] for row in rows]
    program = ["-m", "model_optimization.deployment.ray_server", "--models", str(two_models), "--version", "1"]
    command = [sys.executable, *program, "--replicas", "2", "--port", "8137"]
    replicas: Counter = Counter()

    async def ask(session: aiohttp.ClientSession, place: int) -> None:
        asked = {"texts": texts[place : place + 2]}
        async with session.post(f"{url}/v1/classify", json=asked) as response:
            answer = await response.json()
            assert response.status == 200 and answer["version"] == "1"
            assert [each["label"] for each in answer["answers"]] == right[place : place + 2]
            replicas[response.headers["X-Replica"]] += 1

    async def refused(session: aiohttp.ClientSession) -> list[int]:
        bodies = [b'{"texts": []}', b'{"texts": ["a"], "version": "2"}', b" " * 300_000, b'{"texts": ["\xff"]}']
        statuses = []
        for body in bodies:
            headers = {"Content-Type": "application/json"}
            async with session.post(f"{url}/v1/classify", data=body, headers=headers) as response:
                statuses.append(response.status)
        return statuses

    async def all_of_it() -> list[int]:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            for _ in range(5):
                await asyncio.gather(*(ask(session, place) for place in range(len(texts) - 1)))
            return await refused(session)

    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        wait_until_ready(url, process, tmp_path / "log")
        assert asyncio.run(all_of_it()) == [422, 404, 413, 400]
        assert len(replicas) == 2 and min(replicas.values()) > 20, replicas
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()


def wait_until_ready(url: str, process: subprocess.Popen, log) -> None:
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:
                assert json.loads(response.read())["version"] == "1"
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(log.read_text())
