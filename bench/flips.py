"""Bits of packed weights that flip while an engine runs: `python -m bench.flips ARTIFACT [--count 1000] [--calls 1000]`.

Each flip is drawn at random, and must be an error within --calls calls of one image. Then what checking costs: engines with and
without `check_weights` run one image in turns, and the time of an image is the median; the check must not change the logits.
"""

import argparse
import ctypes
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

import bitwright as bw
from bitwright.errors import EngineError


def flip(memory: list[tuple[str, int, int]], rng: np.random.Generator) -> tuple[int, int]:
    """Flips a bit anywhere in packed memory; address and mask."""
    sizes = np.array([size for _, _, size in memory], float)
    _, address, size = memory[int(rng.choice(len(memory), p=sizes / sizes.sum()))]
    place, mask = address + int(rng.integers(size)), 1 << int(rng.integers(8))
    ctypes.c_uint8.from_address(place).value ^= mask
    return place, mask


def found(artifact: bw.Artifact, calls: int, count: int) -> tuple[int, int]:
    """How many of so many flips are found; and how many of them change the logits of a picture of noise."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, *artifact.preprocess.shape), np.uint8)
    expected = bw.Engine(artifact, threads=1)(image)
    seen = changed = 0
    for _ in range(count):
        checked: Any = bw.Engine(artifact, threads=1, check_weights=calls)
        flip(checked._backend._plan.packed_memory, rng)
        try:
            for i in range(calls):
                logits = checked(image)
                changed += i == 0 and not np.array_equal(logits, expected)
        except EngineError:
            seen += 1
    return seen, changed


def cost(artifact: bw.Artifact, calls: int, seconds: float) -> tuple[float, float]:
    """Median microseconds of an image without and with the check."""
    image = np.zeros((1, *artifact.preprocess.shape), np.uint8)
    engines = [bw.Engine(artifact, threads=1), bw.Engine(artifact, threads=1, check_weights=calls)]
    assert np.array_equal(engines[0](image), engines[1](image))
    times: list[list[float]] = [[], []]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for engine, of in zip(engines, times, strict=True):
            begin = time.perf_counter()
            for _ in range(20):
                engine(image)
            of.append((time.perf_counter() - begin) / 20)
    return statistics.median(times[0]) * 1e6, statistics.median(times[1]) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    artifact = bw.load(given.artifact)
    if given.count:
        seen, changed = found(artifact, given.calls, given.count)
        print(
            f"{seen} of {given.count} flips found within {given.calls} calls; {changed} changed the logits of a picture"
        )
    without, with_check = cost(artifact, given.calls, given.seconds)
    more = 100 * (with_check / without - 1)
    print(f"{without:.1f} us an image without, {with_check:.1f} with check_weights={given.calls}: {more:+.2f} %")


if __name__ == "__main__":
    main()
