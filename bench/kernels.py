"""Kernels one by one, a layer each, on one thread: `BITWRIGHT_ISA=avx512vnni python -m bench.kernels`.

Prints the least time of many runs, multiply-adds a second, and the percent of the peak that the same thread reaches with
registers alone (bit-gemm: with xor, popcount and add); of pointwise layers the bytes a second that they read and write, and of
attention the multiply-adds. What a kernel computes is checked against the reference first. It fails if no layer chose some
kernel of the instruction set.
"""

import argparse
from dataclasses import dataclass

from bench.pointwise import MAPS, POINTWISE, Measured, Pointwise, measure_pointwise, time_layer
from bitwright import _native
from bitwright.ops.attention import STEPS
from tests.conformance.ops.attention import EXP
from tests.conformance.ops.case import FULL, U8, f32
from tests.conformance.ops.cases import GROW
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
    scales: int = 1

    @property
    def title(self) -> str:
        return self.name if self.weights == "int8" else f"{self.name}, {self.weights} x {self.codes}"


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
    Shape("linear", 1280, 1, 1000, 1, weights="int4"),
    Shape("linear, 4 scales", 1280, 1, 1000, 1, scales=4),
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


def of_op(op: str) -> Pointwise:
    return lambda graph, x, y: GROW[op](graph, x)


def attention(graph: RandomGraph, x: str, y: str) -> str:
    """Between all pixels of two maps, in heads of 60 or 64 channels, or all where there are fewer."""
    queries, keys = graph.tokens(x), graph.tokens(y)
    channels = graph.values[queries].channels
    heads = max(1, channels // 60)
    tensors = {"exp": EXP, "m_s": f32(STEPS / 60**2 / (channels / heads) ** 0.5), "m": f32(1.5)}
    return graph.node("attention", (queries, keys, keys), {"heads": heads, **FULL}, tensors, U8)


ALL_POINTWISE = {**POINTWISE, **{op: of_op(op) for op in ("group_norm", "layer_norm")}, "attention": attention}
MAPS_OF = {"attention": MAPS[2:]}
"""The work of attention grows with the square of the pixels."""


def measure(shape: Shape, rounds: int) -> Measured:
    graph = RandomGraph((3, shape.side, shape.side))
    x = "input" if shape.channels == 3 else graph.conv2d("input", shape.channels, 1, scheme=shape.codes)
    if shape.weights == "int4" or shape.scales > 1:
        measured = graph.linear(graph.flatten(x), shape.out, scales=shape.scales, weights=shape.weights)
        graph.linear(measured, 10, to_float=True)
        return time_layer(graph, measured, rounds)
    stride = (shape.stride, shape.stride)
    measured = graph.conv2d(x, shape.out, shape.kernel, stride=stride, groups=shape.groups, weights=shape.weights)
    apart = graph.max_pool2d(measured, 1, 1)  # or a depthwise convolution would do the global pool as well
    graph.linear(graph.flatten(graph.global_avg_pool2d(apart)), 10, to_float=True)
    return time_layer(graph, measured, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument(
        "--only", default="", help="layers that have this in their schemes or names: int4, binary, move, pointwise ..."
    )
    args = parser.parse_args()
    peak = max(_native.measured_peak() for _ in range(10))
    bit_peak = max(_native.measured_bit_peak() for _ in range(10))
    clock = max(_native.measured_clock() for _ in range(10))
    of_cycles = f"{peak / clock:.0f} MAC/cycle at {clock / 1e9:.2f} GHz"
    print(f"{_native.chosen_isa()}: peak {peak / 1e9:.0f} GMAC/s of one thread, {of_cycles}")
    if bit_peak:
        print(f"1-bit multiply-adds by xor, popcount and add: peak {bit_peak / 1e9:.0f} GMAC/s")
    seen = set()
    for shape in SHAPES:
        if args.only not in f"{shape.name} {shape.codes} {shape.weights}":
            continue
        found = measure(shape, args.rounds)
        seen.add((found.kernel, found.isa))
        size = f"{shape.channels} -> {shape.out} from {shape.side} x {shape.side}"
        top = bit_peak if found.kernel.startswith("bitgemm") and bit_peak else peak
        rate = found.macs / found.seconds
        speed = f"{rate / 1e9:6.0f} GMAC/s {rate / clock:6.1f} MAC/cycle {100 * rate / top:5.1f} %"
        print_row(shape.title, size, found, speed)
    for name, build in ALL_POINTWISE.items():
        for channels, side in MAPS_OF.get(name, MAPS) if args.only in f"pointwise {name}" else ():
            found = measure_pointwise(name, build, channels, side, args.rounds)
            seen.add((found.kernel, found.isa))
            work, unit = (found.macs, "GMAC/s") if found.macs else (found.bytes, "GB/s")
            print_row(name, f"{channels} of {side} x {side}", found, f"{work / found.seconds / 1e9:6.1f} {unit}")
    if not args.only:
        missed = [
            name for _, name, isa, _ in _native.kernels() if isa == _native.chosen_isa() and (name, isa) not in seen
        ]
        if missed:
            raise SystemExit(f"no layer chose: {'; '.join(missed)}")
        print("every kernel was chosen by some layer")


def print_row(name: str, size: str, found: Measured, speed: str) -> None:
    print(f"{name:32s} {size:26s} {found.kernel:30s} {found.seconds * 1e6:8.1f} us {speed}", flush=True)


if __name__ == "__main__":
    main()
