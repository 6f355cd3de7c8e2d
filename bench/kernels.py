"""Kernels one by one, a layer each, on one thread: `BITWRIGHT_ISA=avx512vnni python -m bench.kernels`.

Prints the least time of many runs, multiply-adds a second, and the percent of the peak that the same thread reaches with
registers alone (bit-gemm: with xor, popcount and add). What a kernel computes is checked against the reference first.
"""

import argparse
from dataclasses import dataclass

from bitwright import _native
from bitwright.engine.native import make_plan
from bitwright.engine.reference import Reference
from tests.kernels.random_graph import RandomGraph


@dataclass(frozen=True)
class Shape:
    name: str
    channels: int
    side: int
    out: int
    kernel: int
    stride: int = 1
    groups: int = 1
    codes: str = "uint8"
    weights: str = "int8"


SHAPES = (
    Shape("3x3", 256, 14, 256, 3),
    Shape("3x3", 64, 56, 64, 3),
    Shape("3x3", 512, 7, 512, 3),
    Shape("3x3 stride 2", 128, 28, 256, 3, 2),
    Shape("1x1", 256, 14, 256, 1),
    Shape("1x1", 1024, 14, 256, 1),
    Shape("1x1", 64, 56, 256, 1),
    Shape("1x1 expanding", 24, 56, 144, 1),
    Shape("1x1 projecting", 144, 56, 24, 1),
    Shape("stem 7x7", 3, 224, 64, 7, 2),
    Shape("stem 3x3", 3, 224, 32, 3, 2),
    Shape("depthwise 3x3", 144, 56, 144, 3, 1, 144),
    Shape("depthwise 3x3 stride 2", 96, 112, 96, 3, 2, 96),
    Shape("depthwise 5x5", 240, 14, 240, 5, 1, 240),
    Shape("linear", 1280, 1, 1000, 1),
    Shape("3x3", 256, 14, 256, 3, codes="binary", weights="binary"),
    Shape("3x3", 256, 14, 256, 3, codes="bit", weights="binary"),
    Shape("3x3", 256, 14, 256, 3, codes="uint2", weights="binary"),
    Shape("3x3", 256, 14, 256, 3, codes="binary", weights="ternary"),
    Shape("3x3", 64, 56, 64, 3, codes="binary", weights="binary"),
    Shape("3x3", 128, 28, 128, 3, codes="binary", weights="binary"),
    Shape("3x3", 512, 7, 512, 3, codes="binary", weights="binary"),
    Shape("3x3 stride 2", 128, 28, 256, 3, 2, codes="binary", weights="binary"),
    Shape("1x1", 256, 14, 256, 1, codes="binary", weights="binary"),
    Shape("linear", 4096, 1, 1000, 1, codes="binary", weights="binary"),
)


def measure(shape: Shape, rounds: int) -> tuple[str, float, int]:
    """The kernel's name, its least time in seconds, and its multiply-adds."""
    graph = RandomGraph((3, shape.side, shape.side))
    x = "input" if shape.channels == 3 else graph.conv2d("input", shape.channels, 1, scheme=shape.codes)
    stride = (shape.stride, shape.stride)
    measured = graph.conv2d(x, shape.out, shape.kernel, stride=stride, groups=shape.groups, weights=shape.weights)
    apart = graph.max_pool2d(measured, 1, 1)  # or a depthwise convolution would do the global pool as well
    graph.linear(graph.flatten(graph.global_avg_pool2d(apart)), 10, to_float=True)
    built, image = graph.build(), graph.images()
    plan = make_plan(built, 1)
    if plan.run(image).tobytes() != Reference(built).run(image).tobytes():
        raise SystemExit(f"{shape}: native and reference differ")
    runs = [plan.time_steps(image) for _ in range(rounds)]
    index = next(i for i, step in enumerate(runs[0]) if step[0] == measured and step[4])
    return runs[0][index][2], min(run[index][6] for run in runs), runs[0][index][4]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--only", default="", help="schemes that have this in their names")
    args = parser.parse_args()
    peak = max(_native.measured_peak() for _ in range(10))
    bit_peak = max(_native.measured_bit_peak() for _ in range(10))
    clock = max(_native.measured_clock() for _ in range(10))
    of_cycles = f"{peak / clock:.0f} MAC/cycle at {clock / 1e9:.2f} GHz"
    print(f"{_native.chosen_isa()}: peak {peak / 1e9:.0f} GMAC/s of one thread, {of_cycles}")
    if bit_peak:
        print(f"1-bit multiply-adds by xor, popcount and add: peak {bit_peak / 1e9:.0f} GMAC/s")
    for shape in SHAPES:
        if args.only not in f"{shape.codes} {shape.weights}":
            continue
        kernel, seconds, macs = measure(shape, args.rounds)
        size = f"{shape.channels} -> {shape.out} from {shape.side} x {shape.side}"
        top = bit_peak if kernel.startswith("bitgemm") and bit_peak else peak
        rate = macs / seconds
        speed = (
            f"{seconds * 1e6:8.1f} us {rate / 1e9:6.0f} GMAC/s {rate / clock:6.1f} MAC/cycle {100 * rate / top:5.1f} %"
        )
        types = "" if shape.weights == "int8" else f", {shape.weights} x {shape.codes}"
        print(f"{shape.name + types:31s} {size:26s} {kernel:24s} {speed}", flush=True)


if __name__ == "__main__":
    main()
