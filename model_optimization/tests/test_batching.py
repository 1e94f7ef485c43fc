"""Batches keep to their budget, lose nothing, wait no longer than they may, and one that fails harms no other."""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from model_optimization.deployment.batching import Batch, Batcher, EngineFailed, QueueFull, TooMuchText


def window(first: int, length: int) -> list[int]:
    return [first] * length


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(10):
            return await scenario()

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def hold(engine: Any, batcher: Batcher) -> "asyncio.Future[np.ndarray]":
    """Keep the worker busy until the gate opens, so that what follows gathers."""
    engine.gate.clear()
    first = batcher.submit(engine, [window(99, 3)])
    await until(lambda: len(engine.batches) == 1)
    return first


def test_every_request_gets_its_own_rows_in_its_order(make_engine):
    engine = make_engine()
    draw = random.Random(0)
    requests = [[window(100 * n + i, draw.randint(1, 40)) for i in range(draw.randint(1, 5))] for n in range(1, 120)]

    async def scenario():
        batcher = Batcher(token_budget=64, collect_ms=1, workers=3)
        answers = await asyncio.gather(*(batcher.submit(engine, windows) for windows in requests))
        assert batcher.waiting_tokens == 0
        return answers

    for windows, rows in zip(requests, run(scenario), strict=True):
        assert rows.tolist() == [[w[0], len(w)] for w in windows]
    assert sum(map(len, engine.batches)) == sum(map(len, requests)), "each window once"
    assert max(map(len, engine.batches)) > 3, "together"


def test_a_batch_keeps_to_its_budget_with_its_padding_and_to_one_bucket(make_engine):
    engine = make_engine()
    draw = random.Random(1)

    async def scenario():
        batcher = Batcher(token_budget=100, collect_ms=0)
        held = await hold(engine, batcher)
        answers = [batcher.submit(engine, [window(i, draw.randint(1, 60))]) for i in range(1, 300)]
        engine.gate.set()
        await asyncio.gather(held, *answers)

    run(scenario)
    for batch in engine.batches:
        lengths = [len(each) for each in batch]
        assert max(lengths) * len(lengths) <= 100
        assert len({(length - 1).bit_length() for length in lengths}) == 1, "of like length"
        assert 2 * sum(lengths) > max(lengths) * len(lengths), "less than half is padding"


def test_a_window_longer_than_the_budget_is_answered_alone_and_a_budget_of_one_answers_all_alone(make_engine):
    engine = make_engine()

    async def scenario(budget: int):
        batcher = Batcher(token_budget=budget, collect_ms=0)
        held = await hold(engine, batcher)
        answers = [batcher.submit(engine, [window(i, length)]) for i, length in ((1, 30), (2, 31), (3, 2), (4, 2))]
        engine.gate.set()
        await asyncio.gather(held, *answers)

    run(lambda: scenario(20))
    assert engine.firsts == [[99], [1], [2], [3, 4]]
    engine.batches.clear()
    run(lambda: scenario(1))
    assert engine.firsts == [[99], [1], [2], [3], [4]]


def test_the_bucket_that_has_waited_longest_goes_first_and_each_in_order_of_arrival(make_engine):
    engine = make_engine()

    async def scenario():
        batcher = Batcher(token_budget=32, collect_ms=0)
        held = await hold(engine, batcher)
        answers = []
        for first, length in ((1, 16), (2, 4), (3, 16), (4, 4), (5, 16)):
            answers.append(batcher.submit(engine, [window(first, length)]))
            await asyncio.sleep(0.002)
        engine.gate.set()
        await asyncio.gather(held, *answers)

    run(scenario)
    assert engine.firsts == [[99], [1, 3], [2, 4], [5]]


def test_what_comes_within_the_deadline_is_taken_along_and_a_full_batch_does_not_wait(make_engine):
    engine = make_engine()

    async def scenario():
        batcher = Batcher(token_budget=16, collect_ms=300)
        started = time.perf_counter()
        first = batcher.submit(engine, [window(1, 4)])
        await asyncio.sleep(0.01)
        second = batcher.submit(engine, [window(2, 4)])
        await asyncio.gather(first, second)
        waited = time.perf_counter() - started
        started = time.perf_counter()
        await asyncio.gather(*(batcher.submit(engine, [window(i, 4)]) for i in range(3, 7)))
        return waited, time.perf_counter() - started

    waited, full = run(scenario)
    assert engine.firsts == [[1, 2], [3, 4, 5, 6]]
    assert 0.29 < waited < 1.2 and full < 0.29


def test_a_full_bucket_does_not_wait_behind_an_older_one_that_is_not(make_engine):
    engine = make_engine()

    async def scenario():
        batcher = Batcher(token_budget=16, collect_ms=400)
        old = batcher.submit(engine, [window(1, 2)])
        await asyncio.gather(*(batcher.submit(engine, [window(i, 8)]) for i in (2, 3)))
        assert not old.done()
        await old

    run(scenario)
    assert engine.firsts == [[2, 3], [1]]


def test_without_load_a_request_does_not_wait_for_the_deadline_of_another_batch(make_engine):
    engine = make_engine()

    async def scenario():
        batcher = Batcher(collect_ms=0)
        for i in range(5):
            await batcher.submit(engine, [window(i, 4)])

    run(scenario)
    assert engine.firsts == [[0], [1], [2], [3], [4]]


def test_the_event_loop_goes_on_while_the_engine_computes(make_engine):
    engine = make_engine(seconds=0.3)

    async def scenario():
        batcher = Batcher(collect_ms=0)
        answer = batcher.submit(engine, [window(1, 4)])
        turns = 0
        while not answer.done():
            await asyncio.sleep(0.005)
            turns += 1
        return turns

    assert run(scenario) > 10
    assert engine.threads == {"engine"}


def test_several_workers_compute_at_once(make_engine):
    engine = make_engine()

    async def scenario():
        batcher = Batcher(collect_ms=0, workers=2)
        engine.gate.clear()
        answers = [batcher.submit(engine, [window(i, 4)]) for i in (1, 2, 3)]
        await until(lambda: len(engine.batches) == 2)
        await asyncio.sleep(0.02)
        assert len(engine.batches) == 2 and batcher.busy_s() > 0.02
        engine.gate.set()
        await asyncio.gather(*answers)
        await until(lambda: batcher.busy_s() == 0)

    run(scenario)


def test_what_is_beyond_the_queue_is_refused_at_once_and_taken_again_when_there_is_room(make_engine):
    engine = make_engine()

    async def scenario():
        batcher = Batcher(collect_ms=0, queue_tokens=20)
        held = await hold(engine, batcher)
        waiting = [batcher.submit(engine, [window(1, 10)]), batcher.submit(engine, [window(2, 10)])]
        assert batcher.waiting_tokens == 20
        with pytest.raises(QueueFull) as caught:
            batcher.submit(engine, [window(3, 1)])
        assert caught.value.retry_after_s >= 1
        with pytest.raises(TooMuchText, match="21 tokens in one request: send at most 20"):
            batcher.submit(engine, [window(4, 11), window(5, 10)])
        engine.gate.set()
        await asyncio.gather(held, *waiting)
        assert batcher.waiting_tokens == 0
        assert (await batcher.submit(engine, [window(6, 20)])).tolist() == [[6, 20]]

    run(scenario)
    assert 3 not in sum(engine.firsts, [])


def test_the_time_to_come_again_follows_the_speed(make_engine):
    engine = make_engine(seconds=0.1)

    async def scenario():
        batcher = Batcher(token_budget=10, collect_ms=0, queue_tokens=1000)
        await batcher.submit(engine, [window(1, 10)])
        assert 10 < batcher.tokens_per_s <= 100, "10 tokens in at least 0.1 s"
        held = await hold_after(engine, batcher)
        batcher.submit(engine, [window(2, 10) for _ in range(100)]).add_done_callback(lambda f: f.exception())
        with pytest.raises(QueueFull) as caught:
            batcher.submit(engine, [window(3, 10)])
        engine.seconds = 0
        engine.gate.set()
        await held
        return caught.value.retry_after_s

    async def hold_after(engine, batcher):
        engine.gate.clear()
        answer = batcher.submit(engine, [window(99, 3)])
        await until(lambda: len(engine.batches) == 2)
        return answer

    assert 8 <= run(scenario) <= 100, "1000 tokens at 100 a second or less"


def test_the_speed_is_a_running_mean_that_one_slow_batch_hardly_moves(make_engine):
    async def scenario():
        batcher = Batcher(collect_ms=0)
        batcher.tokens_per_s = 1000.0
        await batcher.submit(make_engine(seconds=0.1), [window(1, 10)])
        return batcher.tokens_per_s

    assert 900 < run(scenario) <= 910, "a tenth of the new one, 100 or less"


def test_a_client_that_left_before_its_turn_is_dropped_and_makes_room(make_engine):
    engine = make_engine()

    async def scenario():
        batcher = Batcher(collect_ms=0, queue_tokens=30)
        held = await hold(engine, batcher)
        gone = batcher.submit(engine, [window(1, 10), window(2, 4)])
        stays = batcher.submit(engine, [window(3, 10)])
        gone.cancel()
        await asyncio.sleep(0)
        assert batcher.waiting_tokens == 10
        late = batcher.submit(engine, [window(4, 20)])
        engine.gate.set()
        await asyncio.gather(held, stays, late)
        assert batcher.waiting_tokens == 0

    run(scenario)
    assert sorted(sum(engine.firsts, [])) == [3, 4, 99], "neither window of the one who left"


def test_one_who_left_between_others_is_not_computed_and_where_all_left_nothing_is(make_engine):
    engine, batches = make_engine(), []

    async def scenario():
        batcher = Batcher(token_budget=100, collect_ms=0, on_batch=batches.append)
        held = await hold(engine, batcher)
        answers = [batcher.submit(engine, [window(i, 4)]) for i in (1, 2, 3)]
        gone = [batcher.submit(engine, [window(i, 40)]) for i in (4, 5)]
        for answer in (answers[1], *gone):
            answer.cancel()
        engine.gate.set()
        await asyncio.gather(held, answers[0], answers[2])
        await asyncio.sleep(0.05)

    run(scenario)
    assert engine.firsts == [[99], [1, 3]]
    assert [len(batch.items) for batch in batches] == [1, 2]


def test_a_client_that_leaves_while_its_batch_computes_harms_nobody(make_engine):
    engine = make_engine()

    async def scenario():
        batcher = Batcher(collect_ms=20)
        engine.gate.clear()
        gone, stays = batcher.submit(engine, [window(1, 4)]), batcher.submit(engine, [window(2, 4)])
        await until(lambda: len(engine.batches) == 1)
        gone.cancel()
        engine.gate.set()
        assert (await stays).tolist() == [[2, 4]]

    run(scenario)


def test_a_failing_engine_fails_its_batch_only(make_engine):
    engine = make_engine()
    engine.fails_at = 3
    failed = []

    async def scenario():
        batcher = Batcher(token_budget=8, collect_ms=0, on_batch=lambda batch: failed.append(not batch.computed))
        held = await hold(engine, batcher)
        answers = [batcher.submit(engine, [window(i, 4)]) for i in range(1, 7)]
        engine.gate.set()
        found = await asyncio.gather(held, *answers, return_exceptions=True)
        assert (await batcher.submit(engine, [window(7, 4)])).tolist() == [[7, 4]]
        return found

    _, *found = run(scenario)
    assert [isinstance(each, EngineFailed) for each in found] == [False, False, True, True, False, False]
    assert str(found[2]) == "RuntimeError: no memory left" and found[2] is not found[3]
    assert sum(failed) == 1


def test_the_other_windows_of_a_failed_request_are_not_computed(make_engine):
    engine = make_engine()
    engine.fails_at = 1

    async def scenario():
        batcher = Batcher(token_budget=8, collect_ms=0)
        with pytest.raises(EngineFailed):
            await batcher.submit(engine, [window(1, 8), *(window(2, 8) for _ in range(50))])
        assert batcher.waiting_tokens == 0
        await batcher.submit(engine, [window(3, 8)])

    run(scenario)
    assert sum(engine.firsts, []).count(2) <= 1


@pytest.mark.parametrize(
    "rows",
    [np.zeros((1, 2)), np.full((2, 2), np.nan), np.array([[0, 1], [np.inf, 0]]), None],
    ids=["a row is missing", "no numbers", "infinite", "nothing"],
)
def test_what_is_no_finite_row_for_each_window_is_a_failure(rows):
    async def scenario():
        batcher = Batcher(collect_ms=5)
        answers = [batcher.submit(lambda ids, mask: rows, [window(i, 4) for i in (1, 2)])]
        with pytest.raises(EngineFailed):
            await asyncio.gather(*answers)

    run(scenario)


def test_models_never_share_a_batch(make_engine):
    old, new = make_engine(), make_engine()

    async def scenario():
        batcher = Batcher(token_budget=1000, collect_ms=5)
        await asyncio.gather(*(batcher.submit((old, new)[i % 2], [window(i, 4)]) for i in range(10)))

    run(scenario)
    assert old.firsts == [[0, 2, 4, 6, 8]] and new.firsts == [[1, 3, 5, 7, 9]]


def test_the_times_of_the_stages_add_up(make_engine):
    engine = make_engine(seconds=0.05)
    batches: list[Batch] = []

    async def scenario():
        batcher = Batcher(token_budget=8, collect_ms=0, on_batch=batches.append)
        started = time.perf_counter()
        await asyncio.gather(*(batcher.submit(engine, [window(i, 3)]) for i in range(4)))
        return time.perf_counter() - started

    whole = run(scenario)
    assert [len(batch.items) for batch in batches] == [1, 2, 1]
    assert [batch.tokens for batch in batches] == [3, 6, 3] == [batch.padded for batch in batches]
    assert all(batch.computed >= 0.05 and batch.batched > 0 for batch in batches)
    last = batches[-1]
    assert 0.1 <= last.queued[0], "it waited for both others"
    assert 0.15 <= last.queued[0] + last.batched + last.computed <= whole


def test_padding_is_counted(make_engine):
    batches: list[Batch] = []

    async def scenario():
        batcher = Batcher(token_budget=64, collect_ms=10, on_batch=batches.append)
        await batcher.submit(make_engine(), [window(1, 5), window(1, 8)])

    run(scenario)
    assert (batches[0].tokens, batches[0].padded) == (13, 16)


def test_no_windows_are_answered_with_no_rows(make_engine):
    async def scenario():
        return await Batcher().submit(make_engine(), [])

    assert run(scenario).shape == (0, 0)


def test_closing_ends_the_workers_after_what_they_compute(make_engine):
    engine = make_engine(seconds=0.05)
    before = set(threading.enumerate())

    async def scenario():
        batcher = Batcher(collect_ms=0, workers=2)
        answer = batcher.submit(engine, [window(1, 4)])
        ours = set(threading.enumerate()) - before
        assert len(ours) == 2 and all(thread.daemon for thread in ours)
        batcher.close()
        await answer
        await until(lambda: not any(thread.is_alive() for thread in ours))

    run(scenario)
