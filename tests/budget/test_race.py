"""`take_turns`: medians, leasts, ratios and their intervals, of times that a clock of our own tells."""

from collections.abc import Callable
from math import comb, inf
from statistics import median

import pytest

from bitwright.budget import race
from bitwright.budget.race import Latency, median_interval, take_turns


def raced(monkeypatch: pytest.MonkeyPatch, *models: Callable[[int], float]) -> list[Latency]:
    """Models whose n-th call takes so many seconds. They rest for no time, but say that they did."""
    now, calls, rests = 0.0, [0] * len(models), 0

    def run(i: int) -> None:
        nonlocal now
        now += models[i](calls[i])
        calls[i] += 1

    def sleep(seconds: float) -> None:
        nonlocal rests
        rests += seconds == race.REST

    monkeypatch.setattr(race, "perf_counter", lambda: now)
    monkeypatch.setattr(race, "sleep", sleep)
    found = take_turns([lambda i=i: run(i) for i in range(len(models))], rounds=12)  # type: ignore[misc]
    assert rests == 12 * len(models)
    return found


def cycle(*seconds: float) -> Callable[[int], float]:
    return lambda call: seconds[call % len(seconds)]


def test_a_time_is_in_ms_and_the_least_is_of_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the four calls of a round the first counts for nothing; each of the three others is every fourth."""
    (found,) = raced(monkeypatch, cycle(0.5, 1.0, 2.0, 0.25, 4.0, 1.5, 3.0))
    assert (found.least_ms, found.ratio, found.ratio_interval) == (250.0, 1.0, (1.0, 1.0))
    assert found.median_ms in (1000.0, 1500.0, 2000.0)


def test_a_call_that_was_interrupted_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the three that count in every round."""
    calm, disturbed = raced(monkeypatch, cycle(1.0), lambda call: 1.0 if call % 4 else 64.0)
    assert disturbed == calm == Latency(1000.0, 1000.0, 1.0, (1.0, 1.0))


def test_a_ratio_is_that_of_rounds_and_not_of_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both become slower and slower; in every round the second takes 3 times as long."""
    first, second = raced(monkeypatch, lambda call: 1.0 + call // 4, lambda call: 3.0 + 3 * (call // 4))
    assert first.ratio == 1.0
    assert second.ratio == pytest.approx(3.0, abs=0.5)
    assert second.median_ms > 3 * second.least_ms


def test_a_fast_model_is_called_as_often_as_fills_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0

    def fast(call: int) -> float:
        nonlocal counted
        counted = call + 1
        return race.ROUND_SECONDS / 20.5

    (found,) = raced(monkeypatch, fast)
    assert counted == 3 + 12 * (1 + 20)
    assert found.median_ms == pytest.approx(1000 * race.ROUND_SECONDS / 20.5)


@pytest.mark.parametrize("count", range(1, 41))
def test_an_interval_holds_the_median_as_often_as_it_says(count: int) -> None:
    """Below the true median are B(n, 1/2) values; the interval misses it where they are fewer than k, or all but fewer."""
    low, high = median_interval([float(i) for i in range(count)][::-1])
    k = count - int(high) if high < inf else 0
    chances = [comb(count, i) / 2**count for i in range(count + 1)]
    if not k:
        assert (low, high) == (0.0, inf)
        assert 2 * chances[0] > 1 - race.CONFIDENCE
        return
    assert low == k - 1
    assert 2 * sum(chances[:k]) <= 1 - race.CONFIDENCE < 2 * sum(chances[: k + 1])
    assert low <= median(range(count)) <= high
