"""Layers with one output pixel, which have rows of their own: every instruction set against the reference, to the bit."""

import numpy as np
import pytest

from tests.kernels.agreement import assert_agreement
from tests.kernels.random_graph import RandomGraph


@pytest.mark.parametrize("outs", [1, 15, 16, 17, 40, 63, 64, 65, 81, 130])
@pytest.mark.parametrize("zp", [0, 128, 255])
def test_linear(outs: int, zp: int) -> None:
    graph = RandomGraph((37, 1, 1), seed=outs)
    x = graph.flatten(graph.conv2d("input", 53, 1, zp=zp))
    y = graph.linear(x, outs, residual=graph.linear(x, outs, zp=zp), lo=20, hi=230)
    graph.linear(graph.table(y), outs, to_float=True)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("most", [1, 7, 8])
@pytest.mark.parametrize("outs", [1, 16, 65, 130])
def test_linear_of_few_bits(outs: int, most: int) -> None:
    graph = RandomGraph((37, 1, 1), seed=outs)
    x = graph.flatten(graph.conv2d("input", 53, 1, zp=77))
    y = graph.linear(x, outs, residual=graph.linear(x, outs, zp=9, most=most), lo=20, hi=230, most=most)
    graph.linear(graph.table(y), outs, to_float=True, most=most)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 3])
def test_window_as_large_as_the_plane(groups: int, size: int) -> None:
    graph = RandomGraph((3, size, size), seed=groups)
    x = graph.conv2d("input", 20 * groups, 1)
    y = graph.conv2d(x, 23 * groups, size, groups=groups, padding=(0, 0, 0, 0))
    graph.dequantize(graph.conv2d(graph.table(y), 5 * groups, 1, groups=groups))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize(("pixel", "weight"), [(0, 127), (255, 127), (255, -127), (0, -127)])
def test_extreme_codes(pixel: int, weight: int) -> None:
    graph = RandomGraph((5000, 1, 1), image_zero_points=(255 - pixel,) * 5000)
    x = graph.conv2d("input", 70, 1)
    graph.nodes[-1].tensors["weight"][:] = weight
    graph.nodes[-1].tensors["m"][:] = 5e-7
    graph.dequantize(x)
    assert_agreement(graph.build(), np.full((1, 1, 1, 5000), pixel, np.uint8))


def test_many_threads() -> None:
    graph = RandomGraph((64, 1, 1))
    x = graph.flatten(graph.conv2d("input", 300, 1))
    graph.linear(x, 1000, to_float=True)
    assert_agreement(graph.build(), graph.images(), threads=tuple(range(1, 17)))
