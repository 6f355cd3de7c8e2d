"""Random graphs, native against the reference: `python -m bench.random_graphs [--count 10000] [--kept random_graphs.json]`.

Each has several ops of every kind that there is, in random order, on planes of a random size, and two random images. Its
logits are to be those of the reference to the byte, on every instruction set that the machine has and with 1, 2, 3 and 16
threads. Seeds that are done are counted in the file `--kept`, so that an interrupted run goes on where it stood; a seed that
differs is printed and kept, and the exit code is 1.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from bench.seeds import over_seeds
from bitwright.graph import INPUT
from tests.conformance.ops.cases import GROW
from tests.kernels.agreement import assert_agreement, available
from tests.kernels.random_graph import RandomGraph

THREADS = (1, 2, 3, 16)


def random_graph(seed: int, ops: list[str], side: int) -> RandomGraph:
    """A graph of a convolution and these ops, in random order; planes of 3 to `side` - 1 rows and columns."""
    rng = np.random.default_rng(seed)
    g = RandomGraph((int(rng.integers(1, 5)), int(rng.integers(3, side)), int(rng.integers(3, side))), seed)
    x = g.conv2d(INPUT, int(rng.choice([3, 16, 40])), 3)
    for op in rng.permutation(ops):
        x = GROW[op](g, x)
        assert (len(g.values[x].shape), g.values[x].channel) == (3, 0), f"{op} has to give planes"
    g.dequantize(x)
    return g


def drawn(seed: int) -> list[str]:
    """Some of the ops, some of them several times."""
    rng = np.random.default_rng([seed, 1])
    names = list(GROW)
    return [str(name) for name in rng.choice(names, int(rng.integers(2, len(names))))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--kept", type=Path, default=Path("random_graphs.json"))
    args = parser.parse_args()

    def one(seed: int) -> str:
        g = random_graph(seed, drawn(seed), side=24)
        assert_agreement(g.build(), g.images(2), threads=THREADS)
        return "same"

    kept = over_seeds(args.count, args.kept, one)
    print(f"{kept['done']} graphs on {', '.join(available())}, {THREADS} threads: {len(kept['differ'])} differ")
    sys.exit(bool(kept["differ"]))


if __name__ == "__main__":
    main()
