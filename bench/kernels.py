"""Kernels one by one, a layer each, on one thread: `BITWRIGHT_ISA=avx512vnni python -m bench.kernels`.

Prints the least time of many runs, multiply-adds a second, and the percent of the peak that the same thread reaches with
registers alone (bit-gemm: with xor, popcount and add); of pointwise layers the bytes a second that they read and write. What a
kernel computes is checked against the reference first. The last line names kernels of the instruction set that no layer chose.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bitwright import _native
from bitwright.engine.native import make_plan
from bitwright.engine.reference import Reference
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


def moved_by(op: str, **attrs: Any) -> Callable[[RandomGraph, str, str], str]:
    return lambda graph, x, y: graph.moved(op, x, **attrs)


def every(step: int, axis: int) -> Callable[[RandomGraph, str, str], str]:
    def sliced(graph: RandomGraph, x: str, y: str) -> str:
        return graph.moved("slice", x, axis=axis, start=0, stop=graph.values[x].shape[axis], step=step)

    return sliced


def shuffled(graph: RandomGraph, x: str, y: str) -> str:
    channels, height, width = graph.values[x].shape
    x = graph.moved("reshape", x, shape=(2, channels // 2, height, width))
    return graph.moved("reshape", graph.moved("permute", x, dims=(1, 0, 2, 3)), shape=(channels, height, width))


def without_common_loops(graph: RandomGraph, x: str, y: str) -> str:
    """[C, H, W] as [H, C, W] with C a multiple of 15, which H and W, 7 or a multiple of it, share no factor with."""
    channels, side, _ = graph.values[x].shape
    kept = graph.moved("slice", x, axis=0, start=0, stop=channels // 15 * 15, step=1)
    return graph.moved("reshape", kept, shape=(side, channels // 15 * 15, side))


MOVES: dict[str, Callable[[RandomGraph, str, str], str]] = {
    "pad channels": moved_by("pad", padding=((0, 16), (0, 0), (0, 0))),
    "pad planes": moved_by("pad", padding=((0, 0), (1, 1), (1, 1))),
    "every second channel": every(2, axis=0),
    "every third channel": every(3, axis=0),
    "every second pixel": every(2, axis=2),
    "channels shuffled": shuffled,
    "rows and columns exchanged": moved_by("permute", dims=(0, 2, 1)),
    "reshape, no common loops": without_common_loops,
    "concat": lambda graph, x, y: graph.moved("concat", x, x, axis=0),
}
POINTWISE: dict[str, Callable[[RandomGraph, str, str], str]] = {
    "add": lambda graph, x, y: graph.add(x, y),
    "mul": lambda graph, x, y: graph.mul(x, y),
    "mul by a factor a channel": lambda graph, x, y: graph.mul(x, graph.global_avg_pool2d(y)),
    "batch_norm": lambda graph, x, y: graph.batch_norm(graph.max_pool2d(x, 1, 1)),
    "group_norm": lambda graph, x, y: GROW["group_norm"](graph, x),
    "layer_norm": lambda graph, x, y: GROW["layer_norm"](graph, x),
    "max_pool2d 3x3": lambda graph, x, y: graph.max_pool2d(x, 3, 2, (1, 1, 1, 1)),
    "avg_pool2d 3x3": lambda graph, x, y: graph.avg_pool2d(x, 3, 1, (1, 1, 1, 1)),
    "global_avg_pool2d": lambda graph, x, y: graph.global_avg_pool2d(graph.add(x, y)),
    "table": lambda graph, x, y: graph.table(x),
    "table a channel": lambda graph, x, y: graph.table(x, per_channel=True),
    "table of the image": lambda graph, x, y: graph.table("input", per_channel=True),
    "quantize to bits": lambda graph, x, y: graph.quantize(x, "bit"),
    **{f"move: {name}": move for name, move in MOVES.items()},
}
MAPS = ((16, 56), (64, 56), (240, 14), (512, 7))
"""Channels and side."""


@dataclass(frozen=True)
class Measured:
    kernel: str
    isa: str
    macs: int
    bytes: int
    seconds: float
    """The least of all rounds."""


def time_layer(graph: RandomGraph, measured: str, rounds: int) -> Measured:
    """The steps that write `measured`, once all logits are shown to be right."""
    built, image = graph.build(), graph.images()
    plan = make_plan(built, 1)
    if plan.run(image).tobytes() != Reference(built).run(image).tobytes():
        raise SystemExit(f"{measured}: native and reference differ")
    runs = [plan.time_steps(image) for _ in range(rounds)]
    index = max(i for i, step in enumerate(runs[0]) if step[0] == measured)  # after the packing of its input
    name, op, kernel, isa, macs, _, _ = runs[0][index]
    steps = [i for i, step in enumerate(runs[0]) if step[:2] == (name, op)]  # a move may take two
    seconds = min(sum(run[i][6] for i in steps) for run in runs)
    return Measured(kernel, isa, macs, sum(runs[0][i][5] for i in steps), seconds)


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


def channels_first(graph: RandomGraph, x: str) -> str:
    """Which no byte is moved for: in memory the channels are last, whichever axis they are."""
    value = graph.values[x]
    others = [axis for axis in range(len(value.shape)) if axis != value.channel]
    return graph.moved("permute", x, dims=(value.channel, *others)) if value.channel else x


def measure_pointwise(name: str, channels: int, side: int, rounds: int) -> Measured:
    graph = RandomGraph((3, side, side))
    x, y = (graph.conv2d("input", channels, 1) for _ in range(2))
    measured = POINTWISE[name](graph, x, y)
    if name == "quantize to bits":
        after = graph.conv2d(measured, channels, 1, weights="binary")
    elif name == "table of the image":
        after = graph.conv2d(measured, channels, 1)
    else:
        after = channels_first(graph, measured)
    sums = [
        graph.global_avg_pool2d(graph.max_pool2d(v, 1, 1)) for v in (after, x, y)
    ]  # x has other readers: nothing is fused
    graph.linear(graph.flatten(graph.moved("concat", *sums, axis=0)), 10, to_float=True)
    return time_layer(graph, measured, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--only", default="", help="schemes that have this in their names")
    parser.add_argument("--pointwise", action="store_true", help="pointwise layers alone")
    args = parser.parse_args()
    peak = max(_native.measured_peak() for _ in range(10))
    bit_peak = max(_native.measured_bit_peak() for _ in range(10))
    clock = max(_native.measured_clock() for _ in range(10))
    of_cycles = f"{peak / clock:.0f} MAC/cycle at {clock / 1e9:.2f} GHz"
    print(f"{_native.chosen_isa()}: peak {peak / 1e9:.0f} GMAC/s of one thread, {of_cycles}")
    if bit_peak:
        print(f"1-bit multiply-adds by xor, popcount and add: peak {bit_peak / 1e9:.0f} GMAC/s")
    seen = set()
    for shape in () if args.pointwise else SHAPES:
        if args.only not in f"{shape.codes} {shape.weights}":
            continue
        found = measure(shape, args.rounds)
        seen.add((found.kernel, found.isa))
        size = f"{shape.channels} -> {shape.out} from {shape.side} x {shape.side}"
        top = bit_peak if found.kernel.startswith("bitgemm") and bit_peak else peak
        rate = found.macs / found.seconds
        speed = f"{rate / 1e9:6.0f} GMAC/s {rate / clock:6.1f} MAC/cycle {100 * rate / top:5.1f} %"
        types = "" if shape.weights == "int8" else f", {shape.weights} x {shape.codes}"
        print_row(shape.name + types, size, found, speed)
    for name in () if args.only else POINTWISE:
        for channels, side in MAPS:
            found = measure_pointwise(name, channels, side, args.rounds)
            seen.add((found.kernel, found.isa))
            print_row(name, f"{channels} of {side} x {side}", found, f"{found.bytes / found.seconds / 1e9:6.1f} GB/s")
    if not (args.only or args.pointwise):
        missed = [
            name for _, name, isa, _ in _native.kernels() if isa == _native.chosen_isa() and (name, isa) not in seen
        ]
        print("no layer chose:", "; ".join(missed) or "none is left")


def print_row(name: str, size: str, found: Measured, speed: str) -> None:
    print(f"{name:31s} {size:26s} {found.kernel:28s} {found.seconds * 1e6:8.1f} us {speed}", flush=True)


if __name__ == "__main__":
    main()
