"""`race`: which of several models is the fastest here. They take turns, so that what disturbs one disturbs all."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep

import numpy as np

from bitwright.artifact import Artifact
from bitwright.engine import Engine
from bitwright.records import noise_remark

ROUNDS = 30
ROUND_SECONDS = 0.01
"""About how long each model runs in a round."""

FEWEST_CALLS = 3

MOST_SECONDS = 0.05
"""After which no further call of a round begins: on a busy machine each may take a thousand times as long as alone."""

REST = 0.01
"""Seconds before each turn."""

CONFIDENCE = 0.95
TRIES = 2


@dataclass(frozen=True)
class Latency:
    """The time of one image, in ms: the median of the rounds' medians, and the least of all calls; `ratio` is the median of the
    ratios to the first model's.

    `ratio_interval` holds the true median of the ratios with 95 % confidence (`median_interval`).
    """

    median_ms: float
    least_ms: float
    ratio: float
    ratio_interval: tuple[float, float] = (0.0, math.inf)

    @property
    def is_disturbed(self) -> bool:
        """Whether something else ran on the machine meanwhile, so that neither the median nor the ratio says much."""
        return self.remark("") is not None

    def remark(self, who: str) -> str | None:
        """The sentence to say of it where it was disturbed; else None."""
        return noise_remark(who, self.median_ms, self.least_ms)


def race(artifacts: Sequence[Artifact], threads: int | None = None) -> list[Latency]:
    """Time each on one random image, in turns, once more where something disturbed that (`undisturbed_turns`).

    EngineError where the native engine was not built.
    """
    return undisturbed_turns([engine_call(artifact, threads) for artifact in artifacts])


def engine_call(artifact: Artifact, threads: int | None = None) -> Callable[[], object]:
    """The native engine on one random image, as something to time. EngineError where it was not built."""
    engine = Engine(artifact, backend="native", threads=threads)
    image = np.random.default_rng(0).integers(0, 256, (1, *artifact.preprocess.shape), np.uint8)
    return lambda: engine(image)


def run_in_turns(runs: Sequence[Callable[[], object]], rounds: int = ROUNDS, rest: float = REST) -> list[Latency]:
    """Time each in every round, for about as long as each other; ratios are to the first, round by round.

    A round gives the median of its calls, which a call that was interrupted does not move. Who begins changes from round to
    round, and each has a `rest` of so many seconds before it, and a call that does not count: threads of the one before go on
    spinning for work.
    """
    counts = [max(FEWEST_CALLS, int(ROUND_SECONDS / min(_seconds(run, FEWEST_CALLS)))) for run in runs]
    taken: list[list[list[float]]] = [[] for _ in runs]
    for turn in range(rounds):
        for i in (*range(turn % len(runs), len(runs)), *range(turn % len(runs))):
            sleep(rest)
            runs[i]()
            taken[i].append(_seconds(runs[i], counts[i]))
    return [_latency(times, taken[0]) for times in taken]


def undisturbed_turns(runs: Sequence[Callable[[], object]], tries: int = TRIES) -> list[Latency]:
    """As `run_in_turns`, up to so many times until none is disturbed; of these the one whose worst was disturbed least."""
    best = run_in_turns(runs)
    for _ in range(tries - 1):
        if not any(latency.is_disturbed for latency in best):
            break
        best = min(best, run_in_turns(runs), key=lambda found: max(each.median_ms / each.least_ms for each in found))
    return best


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The interval between two of the values, in order, that holds the true median with a confidence of 95 % at least.

    The number of values below the true median is B(n, 1/2), whatever they are distributed like: the k-th value from below
    and the k-th from above enclose it but for 2 P(B < k). With fewer than six values nothing can be said.
    """
    n, tail, k = len(values), 0.0, 0
    while k < n // 2 and tail + math.comb(n, k) / 2**n <= (1 - CONFIDENCE) / 2:
        tail += math.comb(n, k) / 2**n
        k += 1
    ordered = sorted(values)
    return (ordered[k - 1], ordered[n - k]) if k else (0.0, math.inf)


def _latency(times: Sequence[Sequence[float]], first: Sequence[Sequence[float]]) -> Latency:
    medians = [median(calls) for calls in times]
    ratios = [time / median(calls) for time, calls in zip(medians, first, strict=True)]
    return Latency(1e3 * median(medians), 1e3 * min(map(min, times)), median(ratios), median_interval(ratios))


def _seconds(run: Callable[[], object], calls: int) -> list[float]:
    taken, end = list[float](), perf_counter() + MOST_SECONDS
    while len(taken) < calls and (len(taken) < FEWEST_CALLS or perf_counter() < end):
        begin = perf_counter()
        run()
        taken.append(perf_counter() - begin)
    return taken
