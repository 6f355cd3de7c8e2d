"""add, mul and batch_norm: every instruction set against the reference, to the bit."""

from typing import Any

import numpy as np
import pytest

from tests.kernels.agreement import assert_agreement
from tests.kernels.random_graph import RandomGraph

CHANNELS = [1, 3, 5, 15, 16, 17, 24, 33, 48, 64, 65, 100, 144]
OPS = ["add", "mul", "scale", "batch_norm"]


def apply(graph: RandomGraph, op: str, x: str, other: str, **attrs: Any) -> str:
    if op == "add":
        return graph.add(x, other, **attrs)
    if op == "mul":
        return graph.mul(x, other, **attrs)
    if op == "scale":
        type_ = graph.values[other].type
        assert type_ is not None
        return graph.mul(x, graph.global_avg_pool2d(other, zp=type_.zero_point), **attrs)
    return graph.batch_norm(x, **attrs)


def operands(graph: RandomGraph, channels: int, zp: int, other_zp: int) -> tuple[str, str]:
    return graph.conv2d("input", channels, 1, zp=zp), graph.conv2d("input", channels, 3, zp=other_zp)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("table", [False, True])
def test_channels(channels: int, op: str, table: bool) -> None:
    graph = RandomGraph((3, 9, 7), seed=channels)
    y = apply(graph, op, *operands(graph, channels, 120, 7))
    graph.dequantize(graph.table(y) if table else y)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("zp", [0, 128, 255])
@pytest.mark.parametrize("other_zp", [0, 128, 255])
@pytest.mark.parametrize("bounds", [(0, 255), (40, 200), (90, 90)])
def test_zero_points_and_bounds(op: str, zp: int, other_zp: int, bounds: tuple[int, int]) -> None:
    graph = RandomGraph((3, 8, 5), seed=zp)
    y = apply(graph, op, *operands(graph, 40, zp, other_zp), zp=bounds[0], lo=bounds[0], hi=bounds[1])
    graph.dequantize(y)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("m", [1e30, -1e30, 1e-30])
def test_any_multiplier_clips(op: str, m: float) -> None:
    graph = RandomGraph((3, 5, 5))
    y = apply(graph, op, *operands(graph, 70, 128, 128), lo=3, hi=250)
    graph.nodes[-1].tensors["m_a" if op == "add" else "m"][:] = m
    graph.dequantize(y)
    assert_agreement(graph.build(), graph.images())


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("m", [0.5, 0.25, 0.125, -0.5])
def test_halves_round_to_even(op: str, m: float) -> None:
    graph = RandomGraph((3, 20, 20))
    y = apply(graph, op, *operands(graph, 33, 100, 128))
    tensors = graph.nodes[-1].tensors
    for key in ("m", "m_a", "m_b"):
        if key in tensors:
            tensors[key][:] = m
    if "b" in tensors:
        tensors["b"][:] = np.rint(tensors["b"])
    graph.dequantize(y)
    assert_agreement(graph.build(), graph.images())


@pytest.mark.parametrize("op", OPS)
def test_float_outputs(op: str) -> None:
    graph = RandomGraph((3, 6, 5))
    apply(graph, op, *operands(graph, 21, 128, 3), to_float=True)
    assert_agreement(graph.build(), graph.images())


@pytest.mark.parametrize("scheme", ["uint2", "uint4", "uint7"])
@pytest.mark.parametrize("op", OPS)
def test_few_bit_codes(op: str, scheme: str) -> None:
    graph = RandomGraph((3, 6, 5))
    x, other = (graph.conv2d("input", 20, 1, scheme=scheme, zp=zp) for zp in (1, 3))
    graph.dequantize(apply(graph, op, x, other, scheme=scheme, zp=2))
    assert_agreement(graph.build(), graph.images())


@pytest.mark.parametrize("shape", [(35, 12), (6, 70), (5, 2, 3, 14), (420, 1)])
@pytest.mark.parametrize("to_float", [False, True])
def test_scales_of_values_that_are_no_maps(shape: tuple[int, ...], to_float: bool) -> None:
    """[C, ...] times [C, 1, ...], for any number of axes."""
    graph = RandomGraph((3, 7, 10))
    x = graph.moved("reshape", graph.conv2d("input", 6, 1), shape=shape, channel=0)
    pooled = graph.global_avg_pool2d(graph.conv2d("input", shape[0], 3))
    factors = graph.moved("reshape", pooled, shape=(shape[0], *(1 for _ in shape[1:])), channel=0)
    y = graph.mul(x, factors, to_float=to_float)
    if not to_float:
        graph.dequantize(y)
    assert_agreement(graph.build(), graph.images(2))


def test_batch_norm_of_the_image() -> None:
    graph = RandomGraph((3, 9, 9), image_zero_points=(0, 128, 255))
    graph.dequantize(graph.conv2d(graph.batch_norm("input"), 8, 3))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("op", OPS)
def test_views(op: str) -> None:
    """Channel slices are read, and parts of a concat written, where they lie: between channels of others."""
    graph = RandomGraph((3, 7, 6))
    x = graph.conv2d("input", 60, 3)
    left = graph.moved("slice", x, axis=0, start=0, stop=23, step=1)
    right = graph.moved("slice", x, axis=0, start=37, stop=60, step=1)
    parts = [apply(graph, op, left, right), apply(graph, op, right, left)]
    graph.dequantize(graph.conv2d(graph.moved("concat", *parts, axis=0), 10, 3))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("op", OPS)
def test_many_threads(op: str) -> None:
    graph = RandomGraph((3, 11, 6))
    graph.dequantize(apply(graph, op, *operands(graph, 90, 128, 3)))
    assert_agreement(graph.build(), graph.images(), threads=tuple(range(1, 17)))
