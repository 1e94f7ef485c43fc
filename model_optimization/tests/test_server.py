"""The server's routes: answers are the model's own, every fault has its status, and no fault harms the next request."""

import asyncio
import json
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from model_optimization.deployment import routes
from model_optimization.deployment.batching import Batcher
from model_optimization.deployment.fastapi_server import PREFIX, ServerConfig
from model_optimization.deployment.routes import create_app
from model_optimization.deployment.schema import MAX_BODY_BYTES, MAX_CHARACTERS, MAX_TEXTS, to_answers
from model_optimization.runtime import ONNX, Variant, VariantSettings
from shared.cleaning import clean
from shared.config import environment_flags, parse_config
from shared.errors import UserError

GOOD = {"texts": ["a good film"]}
ADMIN = {"Authorization": "Bearer secret"}


class Open:
    """A running application, a client of it, and what is inside."""

    def __init__(self, app: Any, client: httpx2.AsyncClient) -> None:
        self.client, self.service = client, app.app.state.service

    async def classify(self, asked: Any = GOOD, **headers: str) -> httpx2.Response:
        return await self.client.post("/v1/classify", json=asked, headers=headers)

    def use(self, engine: Any) -> None:
        """Let this engine answer in the place of the model's."""
        self.service.store.serving.variant.engine = engine


@asynccontextmanager
async def opened(models: Path, **settings: Any) -> AsyncIterator[Open]:
    app = create_app(ServerConfig(models=str(models), threads=1, **{"version": "1", **settings}))
    async with app.app.router.lifespan_context(app.app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
            yield Open(app, client)


def run(models: Path, scenario: Callable[[Open], Awaitable[Any]], **settings: Any) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20), opened(models, **settings) as server:
            return await scenario(server)

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def expected(variant: Variant, texts: list[str], temperature: float = 1.0) -> list[tuple[str, float]]:
    logits = np.concatenate([variant.logits([clean(text)]) for text in texts]) / temperature
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return [(("negative", "positive")[row.argmax()], float(row.max())) for row in probabilities]


def test_answers_are_the_models_own_in_order_with_its_temperature(two_models, onnx_variant):
    texts = ["a good film", "awful &amp; dull", "the plot was not very bad " * 30, "love", "it\n\nis <br/> great"] * 4

    async def scenario(server):
        return [await server.classify({"texts": texts, "version": None}), await server.classify({"texts": texts[:1]})]

    for version, temperature in (("1", 1.0), ("2", 3.0)):
        many, one = run(two_models, scenario, version=version, token_budget=64)
        assert many.status_code == one.status_code == 200 and many.json()["version"] == version
        for answer, (label, probability) in zip(
            many.json()["answers"], expected(onnx_variant, texts, temperature), strict=True
        ):
            assert answer == {"label": label, "probability": pytest.approx(probability, abs=1e-5)}
        assert one.json()["answers"][0]["label"] == many.json()["answers"][0]["label"]


def test_a_text_that_shows_nothing_has_no_answer_and_costs_no_other_its_own(two_models):
    texts = ["", "  \n", "\x00\u200b", "a good film", "<br>"]
    answers = run(two_models, lambda server: server.classify({"texts": texts})).json()["answers"]
    assert [answer["label"] is None for answer in answers] == [True, True, True, False, True]
    assert [answer["probability"] is None for answer in answers] == [True, True, True, False, True]


def test_probabilities_of_huge_logits_are_numbers():
    settings = VariantSettings("onnx", ("bad", "good"), 8, temperature=0.5)
    answers = to_answers(settings, ["a", "b"], np.array([[1e4, -1e4], [0.0, 0.0]], dtype=np.float32))
    assert [(answer.label, answer.probability) for answer in answers] == [("bad", 1.0), ("bad", 0.5)]


JSON = {"Content-Type": "application/json"}
SECRET = "whatever-was-sent"
REFUSED: dict[str, tuple[bytes, int]] = {
    "no texts": (b'{"texts": []}', 422),
    "texts left out": (b"{}", 422),
    "one text instead of a list": (b'{"texts": "whatever-was-sent"}', 422),
    "a number for a text": (b'{"texts": [7]}', 422),
    "nothing for a text": (b'{"texts": [null]}', 422),
    "a list": (b"[]", 422),
    "nothing at all": (b"", 422),
    "an unknown setting": (b'{"texts": ["a"], "whatever-was-sent": 1}', 422),
    "too many texts": (json.dumps({"texts": ["a"] * (MAX_TEXTS + 1)}).encode(), 422),
    "a text too long": (json.dumps({"texts": [SECRET + "a" * MAX_CHARACTERS]}).encode(), 422),
    "a text of a megabyte": (json.dumps({"texts": ["a" * 1_000_000]}).encode(), 413),
    "many bytes of white space": (b" " * (MAX_BODY_BYTES + 1), 413),
    "a version that is not there": (b'{"texts": ["a"], "version": "7"}', 404),
    "a version that is a path": (b'{"texts": ["a"], "version": "../1"}', 404),
    "a version that is empty": (b'{"texts": ["a"], "version": ""}', 422),
    "no JSON": (b'{"texts": ["whatever-was-sent', 422),
    "no UTF-8": (b'{"texts": ["\xff\xfe whatever-was-sent"]}', 400),
    "half a surrogate pair": (b'{"texts": ["whatever-was-sent \\ud83d"]}', 422),
    "deep nesting": (b"[" * 100_000, 400),
    "deep nesting inside": (b'{"texts": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400),
    "a number without end": (b'{"texts": ' + b"9" * 100_000 + b"}", 400),
    "not a number": (b'{"texts": [NaN]}', 422),
}


@pytest.mark.parametrize("body, status", REFUSED.values(), ids=REFUSED)
def test_a_bad_request_has_its_status_says_nothing_of_the_text_and_harms_nobody(body, status, two_models, capfd):
    async def scenario(server):
        bad = await server.client.post("/v1/classify", content=body, headers=JSON)
        return bad, await server.classify()

    bad, good = run(two_models, scenario)
    assert bad.status_code == status and good.status_code == 200
    assert SECRET not in capfd.readouterr().err and len(bad.content) < 2000
    assert SECRET not in bad.text or body == REFUSED["an unknown setting"][0], "a key is named, a text is not"
    assert bad.json()["detail"]


def test_what_is_not_json_by_its_header_is_refused(two_models):
    async def scenario(server):
        bodies = [{"content": b'{"texts": ["a"]}'}, {"data": {"texts": "a"}}, {"files": {"texts": b"a"}}]
        return [(await server.client.post("/v1/classify", **body)).status_code for body in bodies]

    assert run(two_models, scenario) == [422, 422, 422]


def test_as_much_as_may_be_sent_is_answered(two_models):
    asked = {"texts": ["a" * 3000] * MAX_TEXTS, "version": "1"}
    assert len(json.dumps(asked)) < MAX_BODY_BYTES
    answer = run(two_models, lambda server: server.classify(asked), queue_tokens=10_000_000)
    assert answer.status_code == 200 and len(answer.json()["answers"]) == MAX_TEXTS
    longest = run(two_models, lambda server: server.classify({"texts": ["\u4e2d" * MAX_CHARACTERS]}))
    assert longest.status_code == 200


def test_other_methods_and_paths(two_models):
    async def scenario(server):
        return [(await server.client.request(*asked)).status_code for asked in asked_for]

    asked_for = [("GET", "/v1/classify"), ("DELETE", "/healthz"), ("GET", "/v2/classify"), ("GET", "/openapi.json")]
    assert run(two_models, scenario) == [405, 405, 404, 200]


def test_too_much_waiting_is_429_with_a_time_to_come_again(two_models, make_engine):
    engine = make_engine()

    async def scenario(server):
        server.use(engine)
        engine.gate.clear()
        first = asyncio.create_task(server.classify())
        await until(lambda: engine.batches)
        waiting = [asyncio.create_task(server.classify({"texts": ["a good film"] * 4})) for _ in range(2)]
        await until(lambda: server.service.batcher.waiting_tokens == 40)
        refused = await server.classify()
        not_ready, alive = await server.client.get("/readyz"), await server.client.get("/healthz")
        too_much = await server.classify({"texts": ["a good film"] * 10})
        engine.gate.set()
        answered = [response.status_code for response in await asyncio.gather(first, *waiting)]
        return refused, not_ready, alive, too_much, answered, await server.classify()

    refused, not_ready, alive, too_much, answered, later = run(two_models, scenario, queue_tokens=40, collect_ms=0)
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
    assert not_ready.status_code == 503 and alive.status_code == 200
    assert too_much.status_code == 413 and "50 tokens in one request" in too_much.json()["detail"]
    assert answered == [200, 200, 200] and later.status_code == 200


def test_a_failing_engine_is_500_for_its_batch_only(two_models, make_engine):
    engine = make_engine()

    async def scenario(server):
        server.use(engine)
        engine.fails_at = server.service.store.serving.variant.reader.windows(["awful"])[0][0][1]
        texts = ["awful", "a good film", "great"]
        return await asyncio.gather(*(server.classify({"texts": [text]}) for text in texts))

    answers = run(two_models, scenario, token_budget=1)
    assert [answer.status_code for answer in answers] == [500, 200, 200]


def test_no_answer_in_time_is_503_and_the_next_one_is_answered(two_models, make_engine):
    engine = make_engine()

    async def scenario(server):
        server.use(engine)
        engine.gate.clear()
        late = await server.classify()
        engine.gate.set()
        return late, await server.classify()

    late, next_one = run(two_models, scenario, answer_within_s=0.1)
    assert late.status_code == 503 and late.headers["Retry-After"] and "0.1 s" in late.json()["detail"]
    assert next_one.status_code == 200


def test_an_engine_that_does_not_come_back_is_told_to_who_watches(two_models, make_engine, monkeypatch):
    engine = make_engine()
    monkeypatch.setattr(routes, "STUCK_S", 0.05)

    async def scenario(server):
        server.use(engine)
        engine.gate.clear()
        waiting = asyncio.create_task(server.classify())
        await until(lambda: server.service.batcher.busy_s() > 0.06)
        stuck = await server.client.get("/healthz")
        engine.gate.set()
        await waiting
        await until(lambda: server.service.batcher.busy_s() == 0)
        return stuck.status_code, (await server.client.get("/healthz")).status_code

    assert run(two_models, scenario) == (503, 200)


def test_the_event_loop_answers_others_while_the_engine_computes(two_models, make_engine):
    async def scenario(server):
        server.use(make_engine(seconds=2))
        waiting = asyncio.create_task(server.classify())
        await until(lambda: server.service.batcher.busy_s() > 0)
        started = time.perf_counter()
        assert (await server.client.get("/healthz")).status_code == 200
        seconds = time.perf_counter() - started
        assert not waiting.done()
        await waiting
        return seconds

    assert run(two_models, scenario) < 1


def test_long_texts_are_read_beside_the_event_loop(two_models):
    threads = {}

    async def scenario(server):
        reader = server.service.store.serving.variant.reader
        real = reader.windows

        def noted(texts):
            threads[len(texts)] = threading.current_thread() is threading.main_thread()
            return real(texts)

        reader.windows = noted
        for n in (1, 2):
            assert (await server.classify({"texts": ["a good film " * 300] * n})).status_code == 200

    run(two_models, scenario)
    assert threads == {1: True, 2: False}


@pytest.mark.parametrize(
    "sent", [None, "Bearer wrong", "Bearer ", "Basic secret", "secret", "Bearer s\u00e9cret", "Bearer secre"]
)
def test_without_the_key_nothing_is_classified(sent, two_models):
    async def scenario(server):
        headers = {} if sent is None else {"Authorization": sent.encode("latin-1")}
        refused = await server.client.post("/v1/classify", json=GOOD, headers=headers)
        right = await server.client.post("/v1/classify", json=GOOD, headers=ADMIN)
        return refused, right, [(await server.client.get(path)).status_code for path in ("/healthz", "/readyz")]

    refused, right, health = run(two_models, scenario, api_key="secret")
    assert refused.status_code == 401 and refused.headers["WWW-Authenticate"] == "Bearer"
    assert right.status_code == 200 and health == [200, 200]


def test_the_admins_routes_are_closed_without_a_key_and_open_with_the_right_one(two_models):
    async def scenario(server):
        asked = [("GET", "/v1/models", None), ("POST", "/v1/models/swap", {"version": "2"})]
        asked.append(("POST", "/v1/models/rollback", None))
        statuses = []
        for headers in ({}, {"Authorization": "Bearer wrong"}, ADMIN):
            for method, path, body in asked:
                statuses.append((await server.client.request(method, path, json=body, headers=headers)).status_code)
        return statuses, (await server.classify()).json()["version"]

    assert run(two_models, scenario) == ([403] * 9, "1")
    assert run(two_models, scenario, admin_key="secret") == ([401] * 6 + [200] * 3, "1")


def test_a_users_key_is_no_admins_key(two_models):
    async def scenario(server):
        return (await server.client.get("/v1/models", headers=ADMIN)).status_code

    assert run(two_models, scenario, api_key="secret", admin_key="other") == 401
    assert run(two_models, scenario, api_key="secret") == 403


def test_models_are_swapped_and_rolled_back_while_what_is_under_way_finishes_with_its_own(two_models, make_engine):
    engine = make_engine()

    async def scenario(server):
        async def post(path, body=None):
            return await server.client.post(f"/v1/models/{path}", json=body, headers=ADMIN)

        server.use(engine)
        engine.gate.clear()
        under_way = asyncio.create_task(server.classify())
        await until(lambda: engine.batches)
        queued = asyncio.create_task(server.classify())
        swapped = await post("swap", {"version": "2"})
        old = under_way.done() or queued.done()
        after = asyncio.create_task(server.classify())
        await asyncio.sleep(0.05)
        engine.gate.set()
        answers = [(await task).json()["version"] for task in (under_way, queued, after)]
        by_name = [(await server.classify({**GOOD, "version": version})).json()["version"] for version in ("1", "2")]
        back = await post("rollback")
        again = await post("rollback")
        gone = await server.classify({**GOOD, "version": "2"})
        return swapped.json(), old, answers, by_name, back.json(), again.status_code, gone.status_code

    swapped, old, answers, by_name, back, again, gone = run(two_models, scenario, admin_key="secret", collect_ms=0)
    assert swapped == {"serving": "2", "previous": "1", "versions": ["1", "2"]} and not old
    assert answers == ["1", "1", "2"] and by_name == ["1", "2"]
    assert back == {"serving": "1", "previous": None, "versions": ["1", "2"]}
    assert (again, gone) == (409, 404)


def test_a_broken_model_is_409_an_unknown_one_404_and_the_old_one_answers(two_models):
    (two_models / "2" / ONNX).write_bytes(b"no network")

    async def scenario(server):
        async def swap(version):
            asked = {"version": version}
            return await server.client.post("/v1/models/swap", json=asked, headers=ADMIN)

        found = [(await swap(version)).status_code for version in ("2", "7", "../1", "")]
        return found, (await server.classify()).json()["version"], server.service.metrics.text().decode()

    found, version, metrics = run(two_models, scenario, admin_key="secret")
    assert found == [409, 404, 404, 422] and version == "1"
    assert 'classify_model_swaps_total{result="refused"} 1.0' in metrics
    assert 'classify_serving{version="1"} 1.0' in metrics


def test_a_request_keeps_its_plain_id_and_gets_one_otherwise(two_models):
    async def scenario(server):
        given = [await server.classify(**{"X-Request-Id": name}) for name in ("abc-1.2_X", "a b", "x" * 65, 'a"}')]
        return [response.headers["X-Request-Id"] for response in [*given, await server.classify()]]

    kept, *made = run(two_models, scenario)
    assert (
        kept == "abc-1.2_X" and len(set(made)) == 4 and all(re.fullmatch(r"[0-9a-f]{32}-[0-9]+", name) for name in made)
    )


def test_log_lines_are_json_and_hold_no_text(two_models, make_engine, capfd):
    async def scenario(server):
        await server.classify({"texts": ["the secret plot", "love"]}, **{"X-Request-Id": "mine"})
        await server.client.post("/v1/classify?the=secret", content=b'{"texts": ["the secret pl', headers=JSON)
        server.service.store.get = lambda version: {}["the secret plot"]  # a fault of ours that quotes a text
        return await server.classify({"texts": ["the secret plot"]})

    failed = run(two_models, scenario)
    assert failed.status_code == 500 and "secret" not in failed.text
    time.sleep(0.1)
    written = capfd.readouterr().err
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["message"] for line in lines] == ["ready", "request", "request", "request", "stopped"]
    first = lines[1]
    assert (first["id"], first["route"], first["status"], first["texts"]) == ("mine", "/v1/classify", 200, 2)
    assert first["tokens"] > 4 and first["version"] == "1" and first["ms"] > 0 and first["level"] == "info"
    assert lines[3]["level"] == "error" and lines[3]["fault"].startswith("KeyError at ")
    assert "secret" not in written


def test_counts_and_times_are_told(two_models):
    async def scenario(server):
        await server.classify({"texts": ["a good film", "bad"]})
        await server.client.post("/v1/classify", content=b"{", headers=JSON)
        return (await server.client.get("/metrics")).text

    told = run(two_models, scenario, token_budget=1)
    for line in (
        'classify_requests_total{route="/v1/classify",status="200"} 1.0',
        'classify_requests_total{route="/v1/classify",status="422"} 1.0',
        'classify_stage_seconds_count{stage="read"} 1.0',
        'classify_stage_seconds_count{stage="queued"} 2.0',
        'classify_stage_seconds_count{stage="computed"} 2.0',
        "classify_batch_windows_sum 2.0",
        'classify_tokens_total{kind="text"} 8.0',
        'classify_tokens_total{kind="padding"} 0.0',
        "classify_waiting_tokens 0.0",
        'classify_serving{version="1"} 1.0',
    ):
        assert line in told.splitlines()


def test_a_metric_has_few_routes_whatever_is_asked_for(two_models):
    async def scenario(server):
        for n in range(50):
            await server.client.get(f"/nothing/{n}")
        return server.service.metrics.text().decode()

    assert run(two_models, scenario).count("classify_requests_total{") == 1


def test_a_setting_is_a_flag_or_an_environment_variable_and_the_flag_wins():
    flags = environment_flags(
        ServerConfig, PREFIX, {"SERVE_PORT": "9001", "SERVE_API_KEY": "k", "OTHER": "1", "SERVE_NOTHING": "2"}
    )
    assert flags == ["--port=9001", "--api_key=k"]
    config = parse_config(ServerConfig, [*flags, "--port", "9002"])
    assert (config.port, config.api_key) == (9002, "k") and "k'" not in repr(config)


@pytest.mark.parametrize(
    "flag, value",
    [("port", "70000"), ("token_budget", "0"), ("queue_tokens", "0"), ("workers", "0"), ("threads", "0")]
    + [("collect_ms", "-1"), ("answer_within_s", "0"), ("body_within_s", "0"), ("api_key", ""), ("admin_key", "")],
)
def test_a_bad_setting_is_one_clear_line(flag, value):
    with pytest.raises(UserError, match=f"--{flag}") as caught:
        parse_config(ServerConfig, [f"--{flag}={value}"])
    assert "\n" not in str(caught.value)


def test_by_default_it_listens_on_this_machine_only():
    assert ServerConfig().host == "127.0.0.1"


def test_the_log_is_left_as_it_was(two_models):
    ours = logging.getLogger("laptop_llm")
    before = list(ours.handlers), ours.level, ours.propagate
    run(two_models, lambda server: server.classify())
    assert (list(ours.handlers), ours.level, ours.propagate) == before


def test_a_batcher_is_closed_with_its_server(two_models):
    threads = set(threading.enumerate())

    async def scenario(server):
        assert isinstance(server.service.batcher, Batcher)
        await server.classify()

    run(two_models, scenario)
    give_up = time.monotonic() + 10
    while any(thread.name == "engine" for thread in set(threading.enumerate()) - threads):
        assert time.monotonic() < give_up
        time.sleep(0.01)
