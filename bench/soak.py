"""Whether an engine stays as it is in long use: `python -m bench.soak [ARTIFACT] [--minutes 60] [--callers 8]`.

First --repeats runs of one image on each of 1..16 threads: all must give the reference's bytes. Then --callers threads call one
engine of one thread, each with an image of its own, for --minutes; every answer must be the reference's. Then: how much the
process has grown since a tenth of the time, in resident memory and in Python's blocks, and p50 and p99 of a call.
Without ARTIFACT: ResNet-20 of the examples. What a run allocates in C++, `scripts/fuzz memory` counts.
"""

import argparse
import sys
import threading
import time
from pathlib import Path

import numpy as np

import bitwright as bw
from bench.arguments import existing

RESNET20 = Path(__file__).parents[1] / "examples/cifar10/resnet20-w4a4.bw.safetensors"
BINS = 1.01 ** np.arange(2000) * 1e-6
"""Ends of the bins of times, in seconds: 1 us to 7 minutes, a hundredth apart, so that no list of them grows."""


class Caller(threading.Thread):
    """Calls an engine again and again with one image, and compares the answers."""

    def __init__(self, engine: bw.Engine, image: np.ndarray, expected: bytes, until: float) -> None:
        super().__init__()
        self._engine, self._image, self._expected, self._until = engine, image, expected, until
        self.times = np.zeros(len(BINS) + 1, np.int64)
        self.wrong = 0

    def run(self) -> None:
        while time.monotonic() < self._until:
            begin = time.perf_counter()
            found = self._engine(self._image)
            self.times[np.searchsorted(BINS, time.perf_counter() - begin)] += 1
            self.wrong += found.tobytes() != self._expected


def resident_mib() -> float:
    """What the process has in memory now; the greatest that it had is no help here."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def percentile(times: np.ndarray, share: float) -> float:
    """Milliseconds of a call."""
    place = int(np.searchsorted(np.cumsum(times), share / 100 * times.sum()))
    return 1e3 * float(BINS[min(place, len(BINS) - 1)])


def repeated(artifact: bw.Artifact, count: int, image: np.ndarray, expected: bytes) -> int:
    """How many of so many runs on each of 1..16 threads give other bytes."""
    wrong = 0
    for threads in range(1, 17):
        engine = bw.Engine(artifact, threads=threads)
        wrong += sum(engine(image).tobytes() != expected for _ in range(count))
    return wrong


def soak(artifact: bw.Artifact, minutes: float, callers: int, images: np.ndarray, expected: list[bytes]) -> int:
    """How many answers were wrong; prints the rest."""
    engine, begin = bw.Engine(artifact, threads=1), time.monotonic()
    running = [
        Caller(engine, images[i : i + 1], expected[i], begin + 60 * minutes) for i in range(callers)
    ]  # each with an image of its own
    for caller in running:
        caller.start()
    time.sleep(6 * minutes)
    resident, blocks, calls = resident_mib(), sys.getallocatedblocks(), sum(c.times.sum() for c in running)
    for part in range(1, 10):
        time.sleep(max(0.0, begin + 6 * minutes * (part + 1) - 0.05 - time.monotonic()))
        grown = resident_mib() - resident
        print(f"{6 * (part + 1) * minutes / 60:.1f} min: {grown:+.2f} MiB", flush=True)
    blocks = sys.getallocatedblocks() - blocks
    for caller in running:
        caller.join()
    times, wrong = sum((c.times for c in running), np.zeros(len(BINS) + 1, np.int64)), sum(c.wrong for c in running)
    p50, p99 = (percentile(times, share) for share in (50, 99))
    print(
        f"{callers} callers, {minutes:g} min: {times.sum():,} calls, {wrong} wrong; since the first tenth of the time, ",
        end="",
    )
    print(f"{times.sum() - calls:,} calls: {grown:+.2f} MiB, {blocks:+,} blocks of Python's; ", end="")
    print(f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, p99 / p50 = {p99 / p50:.2f}")
    return int(wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=existing, nargs="?", default=RESNET20)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=10_000, help="on each number of threads; 0: none")
    given = parser.parse_args()
    artifact = bw.load(given.artifact)
    shape = (max(1, given.callers), *artifact.preprocess.shape)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    expected = [logits.tobytes() for logits in bw.Engine(artifact, backend="reference")(images)]
    wrong = 0
    if given.repeats:
        wrong = repeated(artifact, given.repeats, images[:1], expected[0])
        print(
            f"{16 * given.repeats:,} runs on 1 to 16 threads: {wrong} with other bytes than the reference", flush=True
        )
    if given.minutes:
        wrong += soak(artifact, given.minutes, given.callers, images, expected)
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
