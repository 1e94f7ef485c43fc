"""The generator's loop is open, a stalled server shows in its latencies, and the search finds the highest load."""

import asyncio
import csv
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from model_optimization import serving_benchmark
from model_optimization.deployment.server_process import running
from model_optimization.monitoring import performance_metrics
from model_optimization.monitoring.performance_metrics import (
    LoadConfig,
    Sample,
    arrivals,
    find_highest,
    load_bodies,
    main,
    measure,
    offer,
    pin,
    summarise,
)
from model_optimization.serving_benchmark import ServeConfig, choose, serve
from shared.config import parse_config
from shared.errors import UserError
from shared.server_process import free_port, share_cores


@contextmanager
def fake_server(handler) -> Iterator[str]:
    """A server whose POST /v1/classify answers as `handler(number of the request)` says, on one event loop."""
    from aiohttp import web

    port, ready, loop, count = free_port(), threading.Event(), asyncio.new_event_loop(), iter(range(10**9))

    async def classify(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=handler(next(count)), text="{}")

    async def begin() -> None:
        app = web.Application()
        app.router.add_post("/v1/classify", classify)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        ready.set()

    def live() -> None:
        loop.run_until_complete(begin())
        loop.run_forever()

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_arrivals_are_a_poisson_process():
    times = arrivals(200, 20, seed=0)
    gaps = np.diff(times)
    assert len(times) == pytest.approx(4000, abs=4 * 4000**0.5)
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.05) and gaps.std() == pytest.approx(1 / 200, rel=0.05)
    assert np.mean(gaps > 2 / 200) == pytest.approx(np.exp(-2), abs=0.02), (
        "no memory: e^-2 of the gaps are twice as long"
    )
    assert 0 < times[0] and times[-1] < 20
    assert arrivals(200, 20, seed=0).tolist() == times.tolist() != arrivals(200, 20, seed=1).tolist()


def test_requests_come_whether_or_not_earlier_ones_are_answered():
    """A closed loop would leave out the requests that were due while the server stood still."""

    def stall(number: int) -> int:
        if number == 20:
            time.sleep(0.8)
        return 200

    with fake_server(stall) as url:
        samples = asyncio.run(offer(url, [b"{}"], 100, 2.0))
    latencies = np.array([sample.latency for sample in samples])
    assert len(samples) == len(arrivals(100, 2.0, 0))
    delayed = int((latencies > 0.1).sum())
    assert 45 <= delayed <= 100, "about 70 were due in the first 0.7 s of the stall"
    assert 0.75 < latencies.max() < 1.5
    assert np.median([sample.late for sample in samples]) < 0.05


def test_every_fault_is_an_error_by_its_status():
    with fake_server(lambda number: (200, 429, 500)[number % 3]) as url:
        samples = asyncio.run(offer(url, [b"{}"], 100, 0.6))
    found = summarise(samples, 0.6)
    assert found["by_status"].keys() == {"200", "429", "500"}
    assert found["errors"] == found["by_status"]["429"] + found["by_status"]["500"]
    nobody = asyncio.run(offer(f"http://127.0.0.1:{free_port()}", [b"{}"], 50, 0.2))
    assert {sample.status for sample in nobody} == {0}


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(performance_metrics, "GIVE_UP_S", 0.2)
    released = threading.Event()
    with fake_server(lambda number: released.wait(5) and 200) as url:
        started = time.perf_counter()
        samples = asyncio.run(offer(url, [b"{}"], 50, 0.2))
        assert time.perf_counter() - started < 3
        released.set()
    assert {sample.status for sample in samples} == {0}


def test_the_summary_of_known_samples():
    samples = [Sample(200, ms / 1000, 0.001) for ms in range(1, 101)] + [Sample(429, 5.0, 0.002)]
    found = summarise(samples, 2.0)
    assert found["offered_rps"] == 50.5 and found["answered_rps"] == 50 and found["errors"] == 1
    assert found["p50_ms"] == pytest.approx(50.5) and found["p99_ms"] == pytest.approx(99.01)
    assert found["late_p99_ms"] == pytest.approx(1, abs=0.01)
    assert found["by_status"] == {"200": 100, "429": 1}
    nothing = summarise([Sample(0, 5.0, 0.0)], 1.0)
    assert nothing["p99_ms"] is None and nothing["errors"] == 1


def row(passes: bool, kind: str = "slow") -> dict:
    if passes:
        return {"p99_ms": 50.0, "errors": 0}
    return {"slow": {"p99_ms": 150.0, "errors": 0}, "errors": {"p99_ms": 50.0, "errors": 1}}.get(
        kind, {"p99_ms": None, "errors": 9}
    )


@pytest.mark.parametrize("capacity", [3, 20, 33, 100, 777, 5000])
@pytest.mark.parametrize("kind", ["slow", "errors", "nothing"])
def test_the_search_ends_close_below_the_capacity(capacity, kind):
    tried = []

    def try_rate(rate: float) -> dict:
        tried.append(rate)
        return {"rate": rate, **row(rate <= capacity, kind)}

    best, rows = find_highest(try_rate, 32, 100.0)
    assert capacity / 1.06 <= best["rate"] <= capacity
    assert [each["rate"] for each in rows] == tried and len(tried) < 30


def test_one_failure_may_be_chance_and_two_are_none():
    seen: dict[float, int] = {}

    def unlucky(rate: float) -> dict:
        seen[rate] = seen.get(rate, 0) + 1
        return {"rate": rate, **row(rate <= 100 and seen[rate] > 1)}

    best, _ = find_highest(unlucky, 32, 100.0)
    assert 100 / 1.06 <= best["rate"] <= 100 and set(seen.values()) == {2}


def test_a_server_that_is_too_slow_for_any_load_is_told():
    best, rows = find_highest(lambda rate: {"rate": rate, **row(False)}, 32, 100.0)
    assert best is None and rows[-1]["rate"] == 2.0


def test_a_time_too_short_for_one_request_is_told():
    """The search once compared the latency of nothing with its limit."""
    config = LoadConfig(url=f"http://127.0.0.1:{free_port()}", rate=0.001, seconds=0.5)
    with pytest.raises(UserError, match="--seconds 0.5: not one request fell into them at 0.001/s"):
        measure(config, [b"{}"], config.rate)


@pytest.mark.parametrize(
    "url", ["http://192.168.0.7:8000", "http://example.org", "http://0.0.0.0:80", "127.0.0.1:8000"]
)
def test_load_goes_to_this_machine_only(url):
    with pytest.raises(UserError, match="--url .* for servers of your own"):
        parse_config(LoadConfig, ["--url", url])


@pytest.mark.parametrize("flag, value", [("rate", "0"), ("rate", "1e9"), ("seconds", "0"), ("seconds", "1e9")])
def test_a_bad_setting_is_one_clear_line(flag, value):
    with pytest.raises(UserError, match=f"--{flag}"):
        parse_config(LoadConfig, [f"--{flag}", value])


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot pin")
def test_the_generator_has_a_core_of_its_own_beside_the_servers():
    cores = os.sched_getaffinity(0)
    server, generator = share_cores()
    assert generator in cores and set(server) <= cores and (generator not in server or len(cores) == 1)
    try:
        assert pin(generator) == f"on core {generator}" and os.sched_getaffinity(0) == {generator}
        assert pin(None) == "no core of its own: there is one only"
        with pytest.raises(UserError, match="--core 999"):
            pin(999)
    finally:
        os.sched_setaffinity(0, cores)


@pytest.fixture
def reviews(make_reviews, tmp_path):
    """A file of labelled texts."""
    file = tmp_path / "reviews.csv"
    with open(file, "w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["text", "label"])
        writer.writerows([example.text, example.label] for example in make_reviews(120))
    return file


def ours(models, port: int, *more: str) -> list[str]:
    return serving_benchmark._ours(models, port, 1, 256, 2.0) + ["--version=1", *more]


def test_a_run_against_a_server_of_ours_tells_where_its_time_goes(two_models, reviews, capsys):
    port = free_port()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with running(ours(two_models, port), port, []):
        try:
            main(["--url", f"http://127.0.0.1:{port}", "--rate", "40", "--seconds", "1", "--dataset", str(reviews)])
        finally:
            if cores:
                os.sched_setaffinity(0, cores)
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert told["errors"] == 0 and told["by_status"].keys() == {"200"}
    assert 0 < told["p50_ms"] <= told["p95_ms"] <= told["p99_ms"]
    assert told["computed_ms"] > 0 and told["windows_a_batch"] >= 1 and told["memory_mb"] > 20
    assert len(told["rows"]) == 1


def test_numbers_are_of_the_measurement_alone(two_models, reviews):
    port = free_port()
    with running(ours(two_models, port), port, []):
        config = LoadConfig(url=f"http://127.0.0.1:{port}", seconds=0.5)
        bodies = load_bodies(str(reviews))
        measure(config, bodies, 30)
        before = performance_metrics.server_numbers(config.url)
        found = measure(config, bodies, 30)
        after = performance_metrics.server_numbers(config.url)
    warm_up = len(arrivals(30, 1.0, config.seed + 1))
    asked = after["requests"][200] - before["requests"][200]
    assert asked - warm_up == found["by_status"]["200"] == len(arrivals(30, 0.5, config.seed))


def test_no_server_is_one_clear_line(reviews):
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    try:
        with pytest.raises(UserError, match="does not answer: start the server first"):
            main(["--url", f"http://127.0.0.1:{free_port()}", "--dataset", str(reviews)])
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


def test_servers_are_chosen_by_name_and_a_missing_peer_is_left_out(monkeypatch):
    commands = dict.fromkeys(("naive", "unbatched", "litserve", "batched"), [])
    assert choose("naive,batched", commands) == ["naive", "batched"]
    monkeypatch.setattr(serving_benchmark.importlib.util, "find_spec", lambda name: None)
    assert choose("all", commands) == ["naive", "unbatched", "batched"]
    with pytest.raises(UserError, match="--servers quick: no such server"):
        choose("quick", commands)


def test_a_server_that_does_not_start_is_one_clear_line_and_leaves_no_process(tmp_path):
    port = free_port()
    with pytest.raises(UserError, match="does not start .*holds no model") as caught:
        with running(ours(tmp_path, port), port, []):
            pytest.fail("it cannot have started")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_benchmark_measures_all_servers_and_ours_answers_most(make_run, reviews, empty_cache):
    pytest.importorskip("litserve")
    config = ServeConfig(run=str(make_run()), dataset=str(reviews), load_seconds=0.5, limit_ms=400.0)
    found = serve(config)
    for name in ("naive", "unbatched", "litserve", "batched"):
        assert found.result[f"{name}_rps"] > 10
    assert found.result["errors"] == 0 and found.result["p50_ms"] <= found.result["p99_ms"] <= 400
    assert {row["server"] for row in found.rows} == {"naive", "unbatched", "litserve", "batched"}
    json.dumps(found.result)
