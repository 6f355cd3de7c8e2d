"""Pointwise, depthwise and grouped kernels of two checkouts by turns: is any slower than before?

    python -m bench.pointwise_pair OLD NEW [--isas avx2 avx512vnni] [--only pool] [--rounds 40] [--turns 5]

OLD and NEW are checkouts with their .venv. Both run `bench/pointwise.py`, each on its own sources and tests, a layer at a time
on one thread, and who begins changes from turn to turn. The least times of all turns are compared; a ratio is
NEW's to OLD's, the mean geometric. The exit status is 1 where the mean of a layer over all maps is above 1.02.
"""

import argparse
import json
import os
import subprocess
import sys
from math import exp, inf, log
from pathlib import Path
from typing import Any

from bench.arguments import existing
from bench.pointwise import LAYERS, MAPS

LIMIT = 1.02
Layer = tuple[str, int, int]
"""Name, channels, side."""
WORKER = Path(__file__).with_name("pointwise.py")


class Checkout:
    """A process that measures the layers of a checkout."""

    def __init__(self, folder: Path, isa: str) -> None:
        python, sources = folder / ".venv" / "bin" / "python", str(folder.resolve())
        environment = {**os.environ, "BITWRIGHT_ISA": isa, "PYTHONPATH": sources, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [python, "-P", WORKER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def measure(self, name: str, channels: int, side: int, rounds: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([name, channels, side, rounds]), file=self.process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compared(args: argparse.Namespace, isa: str) -> dict[Layer, tuple[str, float, float]]:
    """Of each layer the kernel of NEW and the least seconds of both. Processes last one turn: where memory lies is chance."""
    layers = [(name, *size) for name in LAYERS if args.only in name for size in MAPS]
    least = {layer: [inf, inf] for layer in layers}
    kernels: dict[Layer, str] = {}
    for turn in range(args.turns):
        both = Checkout(args.old, isa), Checkout(args.new, isa)
        for layer in layers:
            for i in (0, 1) if turn % 2 else (1, 0):
                found = both[i].measure(*layer, args.rounds)
                least[layer][i] = min(least[layer][i], found["seconds"])
                kernels[layer] = found["kernel"] if i else kernels.get(layer, "")
        for checkout in both:
            checkout.close()
    return {layer: (kernels[layer], old, new) for layer, (old, new) in least.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=existing)
    parser.add_argument("new", type=existing)
    parser.add_argument("--isas", nargs="+", default=["avx2", "avx512vnni"])
    parser.add_argument("--only", default="", help="layers that have this in their names")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    print(
        "| isa | layer | kernel | old us | new us | ratios | mean ratio |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    slower = 0
    for isa in args.isas:
        rows: dict[str, list[tuple[str, float, float]]] = {}
        for (name, *_), times in compared(args, isa).items():
            rows.setdefault(name, []).append(times)
        for name, found in rows.items():
            kernels = "; ".join(dict.fromkeys(kernel for kernel, *_ in found))
            before = ", ".join(f"{1e6 * old:.1f}" for _, old, _ in found)
            after = ", ".join(f"{1e6 * new:.1f}" for *_, new in found)
            ratios = [new / old for _, old, new in found]
            mean = exp(sum(map(log, ratios)) / len(ratios))
            shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"| {isa} | {name} | {kernels} | {before} | {after} | {shown} | {mean:.2f} |", flush=True)
            slower += mean > LIMIT
    print(
        f"\nmaps: {', '.join(f'{c} of {s} x {s}' for c, s in MAPS)}; layers whose mean ratio is above {LIMIT}: {slower}"
    )
    sys.exit(bool(slower))


if __name__ == "__main__":
    main()
