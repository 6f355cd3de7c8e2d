"""ResNet-18 with a body of few bits against our own int8, in one run: `python -m bench.bits`.

Integer graphs with random weights. Stem and head are int8 in all of them; in a body of few bits the residual path keeps 8
bits and a quantizer stands in front of every convolution. Each engine must first give the reference's logits to the bit;
then they take turns for several rounds of single images. Printed are the least time of each and its ratio to int8's.
"""

import argparse
import os
import time

import numpy as np
import numpy.typing as npt

from bench.networks import resnet18
from bitwright import _native
from bitwright.engine.native import make_plan
from bitwright.engine.reference import Reference
from bitwright.graph import Graph
from tests.kernels.random_graph import RandomGraph

INT8 = "int8"
BODIES = {"w1a1": ("binary", "binary"), "w1a2": ("binary", "uint2"), "wta1": ("ternary", "binary")}
"""Weights, and what they are multiplied with."""


def resnet18_bits(weights: str, codes: str, side: int = 224) -> Graph:
    g = RandomGraph((3, side, side))
    x = g.max_pool2d(g.conv2d("input", 64, 7, stride=(2, 2), zp=0), 3, 2, (1, 1, 1, 1))
    for width, first in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for stride in (first, 1):
            read = _few_bits(g, x, codes)
            shortcut = x
            if g.values[x].shape[0] != width:
                shortcut = g.conv2d(
                    read, width, 1, stride=(stride, stride), padding=(0, 0, 0, 0), weights=weights, zp=0
                )
            y = g.conv2d(read, width, 3, stride=(stride, stride), padding=(1, 1, 1, 1), weights=weights, zp=0)
            x = g.conv2d(_few_bits(g, y, codes), width, 3, residual=shortcut, weights=weights, zp=0)
    g.linear(g.flatten(g.global_avg_pool2d(x)), 1000, to_float=True)
    return g.build()


def _few_bits(g: RandomGraph, x: str, codes: str) -> str:
    if codes != "uint2":
        return g.quantize(x, codes, per_channel=True)
    y = g.table(x, scheme=codes, zp=0)
    g.nodes[-1].tensors["table"][:] = np.arange(256) // 64
    return y


def ready(graph: Graph, images: npt.NDArray[np.uint8], threads: int) -> _native.Plan:
    plan = make_plan(graph, threads)
    if plan.run(images).tobytes() != Reference(graph).run(images).tobytes():
        raise SystemExit("native and reference differ")
    return plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isas", nargs="+", default=[_native.detected_isa()])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    graphs = {INT8: resnet18(), **{name: resnet18_bits(*body) for name, body in BODIES.items()}}
    images = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    print("| instruction set | threads | body | least ms | of int8 |\n| --- | --- | --- | --- | --- |")
    for isa in args.isas:
        os.environ["BITWRIGHT_ISA"] = isa
        for threads in args.threads:
            plans = {name: ready(graph, images, threads) for name, graph in graphs.items()}
            least = dict.fromkeys(plans, float("inf"))
            for _ in range(args.rounds):
                for name, plan in plans.items():
                    for _ in range(args.repeats):
                        start = time.perf_counter()
                        plan.run(images)
                        least[name] = min(least[name], time.perf_counter() - start)
            for name, seconds in least.items():
                print(f"| {isa} | {threads} | {name} | {seconds * 1e3:.2f} | {seconds / least[INT8]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
