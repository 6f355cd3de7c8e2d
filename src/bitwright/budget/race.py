"""`race`: which of several integer models is the fastest here. They take turns, so that what disturbs one disturbs all."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np

from bitwright.artifact import Artifact
from bitwright.engine import Engine

ROUNDS = 30
ROUND_SECONDS = 0.01
"""About how long each model runs in a round."""


@dataclass(frozen=True)
class Latency:
    """Of one image, in ms: the median and the least over all rounds; and the median of its ratios to the first model's."""

    median_ms: float
    least_ms: float
    ratio: float


def race(artifacts: Sequence[Artifact], threads: int | None = None) -> list[Latency]:
    """Time each on one random image, in turns. EngineError where the native engine was not built."""
    engines = [Engine(artifact, backend="native", threads=threads) for artifact in artifacts]
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (1, *artifact.preprocess.shape), np.uint8) for artifact in artifacts]
    calls = [max(1, int(ROUND_SECONDS / _seconds(engine, x, 3))) for engine, x in zip(engines, images, strict=True)]
    taken: list[list[float]] = [[] for _ in engines]
    for _ in range(ROUNDS):
        for times, engine, x, n in zip(taken, engines, images, calls, strict=True):
            times.append(_seconds(engine, x, n))
    return [
        Latency(1e3 * median(times), 1e3 * min(times), median(t / t0 for t, t0 in zip(times, taken[0], strict=True)))
        for times in taken
    ]


def _seconds(engine: Engine, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], calls: int) -> float:
    begin = perf_counter()
    for _ in range(calls):
        engine(image)
    return (perf_counter() - begin) / calls
