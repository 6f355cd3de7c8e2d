"""One of the two of bench.pair: times artifacts as stdin says. It needs NumPy and some checkout's bitwright."""

import argparse
import hashlib
import json
import sys
from time import perf_counter
from typing import Any

import numpy as np

import bitwright as bw


def answer(engines: dict[tuple[str, int], Any], path: str, threads: int, batch: int, repeats: int) -> dict[str, Any]:
    """Seconds of each of the repeats, and a digest of the logits."""
    if (path, threads) not in engines:
        engines[path, threads] = bw.Engine(path, threads=threads)
    engine = engines[path, threads]
    shape = (batch, *engine.artifact.preprocess.shape)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    digest = hashlib.sha256(engine(images).tobytes()).hexdigest()
    seconds = []
    for _ in range(repeats):
        begin = perf_counter()
        engine(images)
        seconds.append(perf_counter() - begin)
    return {"seconds": seconds, "digest": digest}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    engines: dict[tuple[str, int], Any] = {}
    for line in sys.stdin:
        print(json.dumps(answer(engines, *json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
