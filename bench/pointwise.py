"""Layers that do not multiply by weights, depthwise ones and grouped ones, one at a time, on one thread.

A file that runs in an older checkout as well, as a process that `bench.pointwise_pair` asks: it needs no more than that one's
`RandomGraph`, engine and reference.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bitwright.engine.native import make_plan
from bitwright.engine.reference import Reference
from tests.kernels.random_graph import RandomGraph

Pointwise = Callable[[RandomGraph, str, str], str]
"""Adds a layer to a graph, of two values of one shape; it may read one of them alone."""


def moved_by(op: str, **attrs: Any) -> Pointwise:
    return lambda graph, x, y: graph.moved(op, x, **attrs)


def every(step: int, axis: int) -> Pointwise:
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


MOVES: dict[str, Pointwise] = {
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
POINTWISE: dict[str, Pointwise] = {
    "add": lambda graph, x, y: graph.add(x, y),
    "mul": lambda graph, x, y: graph.mul(x, y),
    "mul by a factor a channel": lambda graph, x, y: graph.mul(x, graph.global_avg_pool2d(y)),
    "batch_norm": lambda graph, x, y: graph.batch_norm(graph.max_pool2d(x, 1, 1)),
    "max_pool2d 3x3": lambda graph, x, y: graph.max_pool2d(x, 3, 2, (1, 1, 1, 1)),
    "avg_pool2d 3x3": lambda graph, x, y: graph.avg_pool2d(x, 3, 1, (1, 1, 1, 1)),
    "global_avg_pool2d": lambda graph, x, y: graph.global_avg_pool2d(graph.add(x, y)),
    "table": lambda graph, x, y: graph.table(x),
    "table a channel": lambda graph, x, y: graph.table(x, per_channel=True),
    "table of the image": lambda graph, x, y: graph.table("input", per_channel=True),
    "quantize to bits": lambda graph, x, y: graph.quantize(x, "bit"),
    **{f"move: {name}": move for name, move in MOVES.items()},
}


def depthwise(kernel: int) -> Pointwise:
    return lambda graph, x, y: graph.conv2d(x, graph.values[x].shape[0], kernel, groups=graph.values[x].shape[0])


def linear(**attrs: Any) -> Pointwise:
    """To 1000 outputs, from the mean of each channel."""
    return lambda graph, x, y: graph.linear(graph.flatten(graph.global_avg_pool2d(x)), 1000, **attrs)


GROUPED = {
    "linear, int4": linear(weights="int4"),
    "linear, 4 scales": linear(scales=4),
    "linear, int4, 4 scales": linear(weights="int4", scales=4),
}
LAYERS = {**POINTWISE, "depthwise 3x3": depthwise(3), "depthwise 5x5": depthwise(5), **GROUPED}
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


def planes(graph: RandomGraph, x: str) -> str:
    """The same codes as planes. No byte is moved for it: in memory the channels are last, whichever axis they are."""
    value = graph.values[x]
    if len(value.shape) == 1:
        return graph.moved("reshape", x, shape=(*value.shape, 1, 1))
    if len(value.shape) == 2:
        return graph.planes(x, 1)
    channel: int = getattr(value, "channel", 0)  # an older checkout has planes alone
    others = [axis for axis in range(len(value.shape)) if axis != channel]
    return graph.moved("permute", x, dims=(channel, *others)) if channel else x


def measure_pointwise(name: str, build: Pointwise, channels: int, side: int, rounds: int) -> Measured:
    graph = RandomGraph((3, side, side))
    x, y = (graph.conv2d("input", channels, 1) for _ in range(2))
    measured = build(graph, x, y)
    if name == "quantize to bits":
        after = graph.conv2d(measured, channels, 1, weights="binary")
    elif name == "table of the image":
        after = graph.conv2d(measured, channels, 1)
    else:
        after = planes(graph, measured)
    sums = [
        graph.global_avg_pool2d(graph.max_pool2d(v, 1, 1)) for v in (after, x, y)
    ]  # x has other readers: nothing is fused
    graph.linear(graph.flatten(graph.moved("concat", *sums, axis=0)), 10, to_float=True)
    return time_layer(graph, measured, rounds)


def main() -> None:
    """Answers each line of [name, channels, side, rounds] by one of what was measured."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for line in sys.stdin:
        name, channels, side, rounds = json.loads(line)
        print(json.dumps(asdict(measure_pointwise(name, LAYERS[name], channels, side, rounds))), flush=True)


if __name__ == "__main__":
    main()
