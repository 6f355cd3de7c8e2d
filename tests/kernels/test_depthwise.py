"""Depthwise convolutions: every instruction set against the reference, to the bit."""

from typing import Any

import numpy as np
import pytest

from tests.kernels.agreement import assert_agreement
from tests.kernels.random_graph import RandomGraph


@pytest.mark.parametrize("channels", [2, 8, 16, 24, 33, 64, 72, 100, 144])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2), (9, 1)])
def test_windows(channels: int, kernel: int, stride: int) -> None:
    graph = RandomGraph((3, 13, 11), seed=channels)
    x = graph.conv2d("input", channels, 1, zp=channels)
    graph.dequantize(graph.conv2d(x, channels, kernel, stride=(stride, stride), groups=channels))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8, 9, 15, 17])
def test_narrow_maps(width: int) -> None:
    graph = RandomGraph((3, 5, width), seed=width)
    x = graph.conv2d("input", 40, 1)
    x = graph.conv2d(x, 40, 3, groups=40, zp=0)
    graph.dequantize(graph.conv2d(x, 40, 5, groups=40))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("seed", range(30))
def test_random_shapes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(2, 150))
    graph = RandomGraph((3, int(rng.integers(7, 20)), int(rng.integers(7, 30))), seed=seed)
    x = graph.conv2d("input", channels, 1, zp=int(rng.choice([0, 128, 255])))
    attrs: dict[str, Any] = {
        "stride": tuple(int(s) for s in rng.integers(1, 4, 2)),
        "dilation": (int(rng.integers(1, 3)), int(rng.choice([1, 1, 2]))),
        "padding": tuple(int(q) for q in rng.integers(0, 4, 4)),
        "lo": int(rng.integers(0, 50)),
        "hi": int(rng.integers(200, 256)),
    }
    kernel = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    y = graph.conv2d(x, channels, kernel, groups=channels, **attrs)
    if rng.random() < 0.5:
        y = graph.table(y)
    graph.dequantize(y)
    assert_agreement(graph.build(), graph.images(2), threads=(1, 3))


def test_residual_and_float_outputs() -> None:
    graph = RandomGraph((6, 9, 9))
    x = graph.conv2d("input", 20, 1)
    y = graph.conv2d(x, 20, 3, groups=20, residual=x)
    graph.conv2d(y, 20, 3, groups=20, to_float=True)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize(("pixel", "weight"), [(0, 127), (255, 127), (255, -127), (0, -127)])
def test_extreme_codes(pixel: int, weight: int) -> None:
    graph = RandomGraph((64, 6, 6), image_zero_points=(255 - pixel,) * 64)
    x = graph.conv2d("input", 64, 5, groups=64)
    graph.nodes[-1].tensors["weight"][:] = weight
    graph.nodes[-1].tensors["m"][:] = 1e-4
    graph.dequantize(x)
    assert_agreement(graph.build(), np.full((1, 6, 6, 64), pixel, np.uint8))
