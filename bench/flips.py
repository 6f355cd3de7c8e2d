"""Bits of packed weights that flip in use: `python -m bench.flips ARTIFACT [--count 1000] [--calls 1000]`.

Each flip is drawn at random, in a process of its own, and must be an error within --calls calls of one image. A few bits of
what is packed say where others lie: they may end the process before their turn comes, which is counted apart. Then what it
costs: engines with and without `check_weights` run one image in turns, for --seconds, and the time of an image is the median;
the check must not change the logits.
"""

import argparse
import ctypes
import os
import statistics
import time
from collections import Counter
from typing import Any

import numpy as np

import bitwright as bw
from bench.arguments import existing
from bitwright.errors import EngineError


def flip(memory: list[tuple[str, int, int]], rng: np.random.Generator) -> tuple[int, int]:
    """Flips a bit anywhere in packed memory; address and mask."""
    sizes = np.array([size for _, _, size in memory], float)
    _, address, size = memory[int(rng.choice(len(memory), p=sizes / sizes.sum()))]
    place, mask = address + int(rng.integers(size)), 1 << int(rng.integers(8))
    ctypes.c_uint8.from_address(place).value ^= mask
    return place, mask


def outcome(engine: Any, calls: int, image: np.ndarray, rng: np.random.Generator) -> str:
    """What becomes of a flip, in a child of this process: found, missed, or crashed."""
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        return ("found", "missed")[os.WEXITSTATUS(status)] if os.WIFEXITED(status) else "crashed"
    flip(engine._backend._plan.packed_memory, rng)
    code = 1
    try:
        for _ in range(calls):
            engine(image)
    except EngineError:
        code = 0
    os._exit(code)


def outcomes(artifact: bw.Artifact, calls: int, count: int) -> Counter[str]:
    """Of so many flips."""
    image = np.random.default_rng(0).integers(0, 256, (1, *artifact.preprocess.shape), np.uint8)
    engine = bw.Engine(artifact, threads=1, check_weights=calls)
    return Counter(outcome(engine, calls, image, np.random.default_rng(seed)) for seed in range(count))


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
    parser.add_argument("artifact", type=existing)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    artifact = bw.load(given.artifact)
    if given.count:
        print(
            f"{given.count} flips, within {given.calls} calls: {dict(outcomes(artifact, given.calls, given.count))}",
            flush=True,
        )
    without, with_check = cost(artifact, given.calls, given.seconds)
    more = 100 * (with_check / without - 1)
    print(f"{without:.1f} us an image without, {with_check:.1f} with check_weights={given.calls}: {more:+.2f} %")


if __name__ == "__main__":
    main()
