"""The clock and its arithmetic."""

import random
import time

import numpy as np
import pytest

from shared.timing import Timer, percentile, time_in_pairs


def test_a_timer_can_be_read_while_it_runs_and_stands_still_after():
    with Timer() as timer:
        time.sleep(0.02)
        running = timer.seconds
        time.sleep(0.02)
    stopped = timer.seconds
    time.sleep(0.01)
    assert 0.02 <= running < stopped == timer.seconds
    assert stopped >= 0.04


def test_a_timer_stops_when_the_block_raises():
    timer = Timer()
    with pytest.raises(KeyError), timer:
        raise KeyError
    assert timer.seconds == timer.seconds


def test_a_timer_used_again_starts_anew():
    timer = Timer()
    with timer:
        time.sleep(0.05)
    with timer:
        pass
    assert timer.seconds < 0.05


def test_a_timer_that_never_ran_refuses_to_give_a_timestamp():
    """Regression: it gave the machine's uptime."""
    with pytest.raises(RuntimeError, match="never started"):
        Timer().rate(10)


def test_the_rate_is_count_over_seconds():
    with Timer() as timer:
        time.sleep(0.01)
    assert timer.rate(50) == pytest.approx(50 / timer.seconds)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
@pytest.mark.parametrize("percent", [0, 12.5, 50, 95, 99, 100])
def test_percentile_equals_numpy(count, percent):
    values = [random.Random(count).uniform(-5, 5) for _ in range(count)]
    assert percentile(values, percent) == pytest.approx(np.percentile(values, percent), rel=1e-12)


def test_percentile_leaves_its_argument_as_it_is_and_refuses_nothing_at_all():
    values = [3.0, 1.0, 2.0]
    assert percentile(values, 50) == 2.0
    assert values == [3.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="measure at least once"):
        percentile([], 50)


def test_pairs_warm_both_up_then_take_turns_and_change_who_goes_first():
    calls: list[str] = []
    time_in_pairs(lambda: calls.append("a"), lambda: calls.append("b"), repeats=3)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"


def test_pairs_tell_the_slow_one_from_the_fast_one():
    slow, fast = time_in_pairs(lambda: time.sleep(0.02), lambda: time.sleep(0.001), repeats=3)
    assert slow >= 0.02 > fast >= 0.001
