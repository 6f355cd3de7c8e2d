"""Pools: every instruction set against the reference, to the bit."""

import numpy as np
import pytest

from bitwright.engine.native import Native
from tests.kernels.agreement import assert_agreement, available, forced
from tests.kernels.random_graph import RandomGraph

CHANNELS = [1, 3, 8, 16, 17, 24, 33, 64, 65, 100, 144]
POOLS = ["max", "average", "global"]


def pool(
    graph: RandomGraph, kind: str, x: str, kernel: int = 3, stride: int = 2, padding: tuple[int, ...] = (1,) * 4
) -> str:
    if kind == "max":
        return graph.max_pool2d(x, kernel, stride, padding)
    if kind == "average":
        return graph.avg_pool2d(x, kernel, stride, padding, zp=9)
    return graph.global_avg_pool2d(x, zp=9)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("table", [False, True])
def test_channels(channels: int, kind: str, table: bool) -> None:
    graph = RandomGraph((3, 11, 9), seed=channels)
    y = pool(graph, kind, graph.conv2d("input", channels, 1, zp=100))
    graph.dequantize(graph.table(y) if table else y)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("channels", [1, 10, 33, 64, 100, 1000])
@pytest.mark.parametrize("kind", ["average", "global"])
def test_averages_that_are_the_logits(channels: int, kind: str) -> None:
    """float32, as SqueezeNet has them behind its last convolution."""
    graph = RandomGraph((3, 7, 6), seed=channels)
    x = graph.conv2d("input", channels, 1, zp=100)
    if kind == "global":
        graph.global_avg_pool2d(x, to_float=True)
    else:
        graph.avg_pool2d(x, 3, 2, to_float=True)
    built, images = graph.build(), graph.images(2)
    assert_agreement(built, images)
    for isa in available():
        with forced(isa):
            pooled = Native(built, 1).layers(images[:1])[-1]
        assert (pooled.kernel == "pool") == (isa == "scalar")


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(2, 2, (0, 0, 0, 0)), (3, 1, (1, 1, 1, 1)), (5, 3, (2, 0, 1, 2)), (7, 7, (0, 3, 3, 0))],
)
def test_windows(kind: str, kernel: int, stride: int, padding: tuple[int, ...]) -> None:
    graph = RandomGraph((3, 15, 14), seed=kernel)
    graph.dequantize(pool(graph, kind, graph.conv2d("input", 40, 1), kernel, stride, padding))
    assert_agreement(graph.build(), graph.images(2))


def test_dilated_maximum() -> None:
    graph = RandomGraph((3, 15, 14))
    graph.dequantize(graph.max_pool2d(graph.conv2d("input", 40, 1), 3, 1, (2, 1, 2, 1), dilation=2))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 28, 57])
def test_planes(size: int) -> None:
    graph = RandomGraph((3, size, size), seed=size)
    graph.dequantize(graph.global_avg_pool2d(graph.conv2d("input", 72, 1)))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("zp", [0, 128, 255])
@pytest.mark.parametrize("pixel", [0, 255])
def test_extreme_codes(kind: str, zp: int, pixel: int) -> None:
    graph = RandomGraph((40, 30, 30), image_zero_points=(128,) * 40)
    table = np.zeros((40, 256), np.uint8)
    table[:, 128:] = 255
    x = graph.table("input", per_channel=True, zp=zp)
    graph.nodes[-1].tensors["table"][:] = table
    graph.dequantize(pool(graph, kind, x))
    assert_agreement(graph.build(), np.full((1, 30, 30, 40), pixel, np.uint8))


@pytest.mark.parametrize("kind", ["average", "global"])
@pytest.mark.parametrize("m", [0.5, -0.25, 1e30, -1e30, 1e-30])
def test_any_multiplier(kind: str, m: float) -> None:
    graph = RandomGraph((3, 12, 12))
    y = pool(graph, kind, graph.conv2d("input", 40, 1))
    graph.nodes[-1].tensors["m"][:] = m
    graph.dequantize(y)
    assert_agreement(graph.build(), graph.images())


@pytest.mark.parametrize("kind", ["average", "global"])
def test_float_outputs(kind: str) -> None:
    graph = RandomGraph((3, 12, 12))
    x = graph.conv2d("input", 40, 1)
    if kind == "average":
        graph.avg_pool2d(x, 3, 2, to_float=True)
    else:
        graph.global_avg_pool2d(x, to_float=True)
    assert_agreement(graph.build(), graph.images())


@pytest.mark.parametrize("kind", POOLS)
def test_views(kind: str) -> None:
    graph = RandomGraph((3, 9, 8))
    x = graph.conv2d("input", 60, 3)
    parts = [graph.moved("slice", x, axis=0, start=start, stop=start + 23, step=1) for start in (0, 37)]
    y = graph.moved("concat", *(pool(graph, kind, part) for part in parts), axis=0)
    graph.dequantize(graph.conv2d(y, 10, 1))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("kind", POOLS)
def test_many_threads(kind: str) -> None:
    graph = RandomGraph((3, 23, 6))
    graph.dequantize(pool(graph, kind, graph.conv2d("input", 200, 1)))
    assert_agreement(graph.build(), graph.images(), threads=tuple(range(1, 17)))
