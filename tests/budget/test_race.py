"""`race` and `run_in_turns`: whose turn it is, what a disturbance moves, and what an interval of a median holds."""

import math
import time
from itertools import pairwise

import numpy as np
import pytest

from bitwright.budget import race as module
from bitwright.budget.race import median_interval, run_in_turns, undisturbed_turns

LATENCY = module._latency


class Clock:
    """Time that passes only when a runner runs or rests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(module, "perf_counter", lambda: self.now)
        monkeypatch.setattr(module, "sleep", self.pass_)

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def test_all_have_a_turn_in_each_round_and_each_begins_as_often(monkeypatch: pytest.MonkeyPatch):
    clock, ran = Clock(monkeypatch), []

    def runner(name: str):
        def run() -> None:
            ran.append(name)
            clock.pass_(0.002)

        return run

    run_in_turns([runner(name) for name in "abc"], rounds=6)
    turns = [ran[0], *(after for before, after in pairwise(ran) if before != after)]
    assert "".join(turns[3:]) == "abcbcacababcbcacab"
    assert {name: ran.count(name) for name in "abc"} == dict.fromkeys("abc", 3 + 6 * (1 + 5))


def test_one_call_that_is_interrupted_moves_nothing(monkeypatch: pytest.MonkeyPatch):
    clock, calls = Clock(monkeypatch), [0]

    def quick() -> None:
        calls[0] += 1
        clock.pass_(0.5 if calls[0] % 10 == 0 else 0.001)

    first, second = run_in_turns([lambda: clock.pass_(0.002), quick])
    assert first.median_ms == pytest.approx(2)
    assert first.ratio == 1
    assert [second.median_ms, second.least_ms] == pytest.approx([1, 1])
    assert second.ratio == pytest.approx(0.5)
    assert list(second.ratio_interval) == pytest.approx([0.5, 0.5])


def test_what_disturbs_a_round_disturbs_all_and_no_ratio(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(monkeypatch)

    def slowed(seconds: float):
        return lambda: clock.pass_(seconds * (1 + int(clock.now) % 3))

    first, second = run_in_turns([slowed(0.001), slowed(0.003)])
    assert second.ratio == pytest.approx(3, rel=0.1)
    assert first.least_ms == pytest.approx(1)


def test_what_was_disturbed_is_timed_again(monkeypatch: pytest.MonkeyPatch):
    """The second runner's calls take long, but for a few, until the clock says that the disturbance is over."""
    clock, calls = Clock(monkeypatch), [0]

    def disturbed_until(end: float):
        def run() -> None:
            calls[0] += 1
            clock.pass_(0.02 if clock.now < end and calls[0] % 3 else 0.001)

        return run

    for end, is_disturbed, again in ((0.0, False, False), (3.5, False, True), (math.inf, True, True)):
        clock.now, calls[0] = 0.0, 0
        made: list[object] = []

        def counted(*given, made: list[object] = made) -> module.Latency:
            made.append(given)
            return LATENCY(*given)

        monkeypatch.setattr(module, "_latency", counted)
        _, second = undisturbed_turns([lambda: clock.pass_(0.001), disturbed_until(end)])
        assert second.is_disturbed == is_disturbed
        assert (len(made) > 2) == again


def test_a_round_of_a_model_that_waits_for_its_turn_ends(monkeypatch: pytest.MonkeyPatch):
    """As on a busy machine: a call takes 10 us but for the moments in which others run, and then 20 ms."""
    clock, calls = Clock(monkeypatch), [0]

    def run() -> None:
        calls[0] += 1
        clock.pass_(1e-5 if calls[0] <= 3 else 0.02)

    run_in_turns([run], rounds=2)
    assert calls[0] == 3 + 2 * (1 + 3)


def test_a_real_race_finds_the_faster_one():
    first, second = run_in_turns([lambda: time.sleep(0.002), lambda: time.sleep(0.006)], rounds=6)
    assert 1.5 < second.ratio_interval[0] <= second.ratio <= second.ratio_interval[1]
    assert first.median_ms < second.median_ms


def test_an_interval_holds_the_median_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        lo, hi = median_interval(rng.exponential(1, 30).tolist())
        held += lo <= math.log(2) <= hi
    assert 940 <= held <= 990  # 95 % at least; the next narrower one would hold it 90 % of the time


def test_of_few_values_nothing_is_said():
    assert median_interval([1, 2, 3, 4, 5]) == (0, math.inf)
    assert median_interval([6, 1, 2, 5, 3, 4]) == (1, 6)
