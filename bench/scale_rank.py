"""One rank of `bench.scale calibrate` or `train`: ResNet-20 on CIFAR-10; rank 0 prints what took how long, as JSON."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np

import bitwright as bw
from bench.arguments import existing
from bitwright import zoo
from bitwright.ranks import Ranks
from bitwright.scale import torchrun
from bitwright.training import Options

BATCH = 64


class Timed:
    """Ranks that note how long they exchange, without waiting for each other, and how many bytes each rank gives."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks, self.rank, self.size = ranks, ranks.rank, ranks.size
        self.seconds, self.bytes = 0.0, {"sum": 0, "gather": 0, "first": 0}

    def _timed(self, call: Any, mine: Any, kind: str, size: int) -> Any:
        self._ranks.sum(np.zeros(1, np.int64))  # all are here
        begin = perf_counter()
        found = call(mine)
        self.seconds += perf_counter() - begin
        self.bytes[kind] += size
        return found

    def sum(self, numbers: Any) -> Any:
        return self._timed(self._ranks.sum, numbers, "sum", numbers.nbytes)

    def largest(self, numbers: Any) -> Any:
        return self._timed(self._ranks.largest, numbers, "sum", numbers.nbytes)

    def gather(self, mine: bytes) -> Any:
        return self._timed(self._ranks.gather, mine, "gather", len(mine))

    def first(self, mine: bytes) -> Any:
        return self._timed(self._ranks.first, mine, "first", len(mine))

    def parallel(self, module: Any) -> Any:
        return self._ranks.parallel(module)


class Heard:
    """A `Progress` that notes when images were calibrated on last, and when how many were trained on."""

    def __init__(self) -> None:
        self.calibrated, self.points = 0.0, list[tuple[float, int]]()

    def at(self, what: str, done: float, total: float, details: Any = None) -> None:
        if what == "calibrating":
            self.calibrated = perf_counter()
        if what == "training":
            self.points.append((perf_counter(), details.images))

    def say(self, text: str) -> None:
        print(text, file=sys.stderr)


def calibrate(ranks: Ranks, source: Any) -> dict[str, Any]:
    """Seconds for the images, for the exchange, and behind it until all have the model."""
    timed, heard = Timed(ranks), Heard()
    prepared = bw.prepare(zoo.cifar_resnet20().eval(), preprocess=PREPROCESS, recipe="w8a8")
    begin = perf_counter()
    bw.calibrate(prepared, source, ranks=timed, progress=heard)
    behind = perf_counter() - heard.calibrated
    return {"images": heard.calibrated - begin, "exchange": timed.seconds, "bytes": timed.bytes, "behind": behind}


def train(ranks: Ranks, source: Any) -> dict[str, Any]:
    """Images a second, and the bytes of the gradients."""
    heard, model = Heard(), zoo.cifar_resnet20().eval()
    options = Options(epochs=101 * BATCH / len(source), batch=BATCH, recalibrate_bn=1, amp=False)
    bw.train(model, source, preprocess=PREPROCESS, options=options, progress=heard, ranks=ranks)
    (first, before), (last, after) = heard.points[0], heard.points[1]
    gradients = sum(4 * parameter.numel() for parameter in model.parameters())
    return {"rate": (after - before) / (last - first), "bytes": gradients, "batch": BATCH}


@contextmanager
def started() -> Iterator[Ranks]:
    with torchrun.ranks() as ranks:
        ranks.gather(b"")
        yield ranks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("data", type=existing, help="cifar10-train.npz")
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    with started() as ranks:
        found = WHAT[given.what](ranks, bw.open_source(f"{given.data}[:{given.count}]"))
        if ranks.rank == 0:
            print(json.dumps(found))


WHAT = {"calibrate": calibrate, "train": train}
PREPROCESS = bw.Preprocess(size=32, mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))

if __name__ == "__main__":
    main()
