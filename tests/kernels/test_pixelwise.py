"""Pools, add, mul, batch_norm and tables: every instruction set against the reference, to the bit."""

import pytest

from tests.kernels.agreement import assert_agreement
from tests.kernels.random_graph import RandomGraph

CHANNELS = [1, 3, 4, 16, 17, 40, 64, 100, 144]


def start(channels: int, height: int = 9, width: int = 10, zp: int = 77) -> tuple[RandomGraph, str]:
    graph = RandomGraph((3, height, width), seed=channels)
    return graph, graph.conv2d("input", channels, 1, zp=zp)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(3, 2, 1, 1), (2, 2, 0, 1), (3, 1, 1, 2), (5, 3, 2, 1)]
)
def test_max_pool(channels: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    graph, x = start(channels)
    x = graph.max_pool2d(x, kernel, stride, (padding, 0, padding, padding), dilation)
    graph.dequantize(graph.table(x) if channels % 2 else x)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 1, 1), (7, 7, 3)])
def test_average_pool(channels: int, kernel: int, stride: int, padding: int) -> None:
    graph, x = start(channels)
    graph.dequantize(graph.avg_pool2d(x, kernel, stride, (padding, 0, 0, padding), zp=30))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("to_float", [False, True])
def test_global_average_pool(channels: int, to_float: bool) -> None:
    graph, x = start(channels, 13, 7)
    y = graph.global_avg_pool2d(x, to_float=to_float)
    if not to_float:
        graph.dequantize(graph.table(y))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("op", ["add", "mul"])
def test_two_operands(channels: int, op: str) -> None:
    graph, x = start(channels)
    y = graph.conv2d(x, channels, 1, zp=200)
    z = getattr(graph, op)(x, y, zp=9, lo=5, hi=250)
    graph.dequantize(graph.table(z) if channels % 2 else z)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("channels", CHANNELS)
def test_squeeze_and_excite(channels: int) -> None:
    graph, x = start(channels)
    s = graph.table(graph.conv2d(graph.global_avg_pool2d(x), 6, 1))
    s = graph.table(graph.conv2d(s, channels, 1))
    graph.dequantize(graph.conv2d(graph.mul(x, s), 12, 1))
    assert_agreement(graph.build(), graph.images(2), threads=(1, 2, 3))


@pytest.mark.parametrize("channels", CHANNELS)
def test_batch_norm_and_tables(channels: int) -> None:
    graph, x = start(channels)
    y = graph.batch_norm(x, zp=40, lo=40)
    z = graph.table(graph.batch_norm(y), per_channel=True)
    graph.dequantize(graph.add(graph.table(z), z))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("m", [1e30, -1e30])
def test_any_multiplier_clips(m: float) -> None:
    graph, x = start(20)
    y = graph.conv2d(x, 20, 1)
    for op in ("add", "mul"):
        y = getattr(graph, op)(x, y)
        for key in graph.nodes[-1].tensors:
            graph.nodes[-1].tensors[key][:] = m
    y = graph.batch_norm(y)
    graph.nodes[-1].tensors["m"][:] = m
    graph.dequantize(y)
    assert_agreement(graph.build(), graph.images(2))


def test_image_with_several_zero_points() -> None:
    graph = RandomGraph((3, 8, 8), image_zero_points=(0, 100, 255))
    graph.dequantize(graph.batch_norm("input"))
    assert_agreement(graph.build(), graph.images(2))


def test_float_outputs_of_two_operands() -> None:
    for op in ("add", "mul"):
        graph, x = start(20)
        getattr(graph, op)(x, graph.conv2d(x, 20, 1), to_float=True)
        assert_agreement(graph.build(), graph.images(2))


def test_values_that_only_move() -> None:
    graph, x = start(24, 12, 12)
    y = graph.moved("concat", x, graph.conv2d(x, 10, 3, zp=77), axis=0)
    y = graph.moved("slice", y, axis=0, start=3, stop=30, step=1)
    y = graph.moved(
        "slice", graph.moved("slice", y, axis=1, start=0, stop=12, step=2), axis=0, start=0, stop=27, step=3
    )
    y = graph.moved("pad", y, padding=((1, 2), (0, 1), (2, 0)))
    shuffled = graph.moved("reshape", y, shape=(3, 4, 7, 14))
    shuffled = graph.moved("permute", shuffled, dims=(1, 0, 2, 3))
    y = graph.moved("concat", graph.moved("reshape", shuffled, shape=(12, 7, 14)), y, y, axis=0)
    graph.linear(graph.flatten(graph.conv2d(y, 7, 3)), 10, to_float=True)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("step", [2, 3, 4, 100, 2**31])
def test_a_slice_whose_step_leaves_the_map(step: int) -> None:
    graph, x = start(24, 12, 12)
    y = graph.moved(
        "slice", graph.moved("slice", x, axis=1, start=1, stop=4, step=step), axis=0, start=2, stop=9, step=8
    )
    graph.linear(graph.flatten(graph.conv2d(y, 7, 1)), 10, to_float=True)
    assert_agreement(graph.build(), graph.images(2))


def test_dense_blocks_share_one_buffer() -> None:
    graph, x = start(16, 10, 10, zp=128)
    for _ in range(3):
        x = graph.moved("concat", x, graph.conv2d(graph.batch_norm(x, zp=3, lo=3), 12, 3), axis=0)
    graph.linear(graph.flatten(graph.global_avg_pool2d(x)), 10, to_float=True)
    assert_agreement(graph.build(), graph.images(3), threads=(1, 4))
