"""Tables as steps of their own: every instruction set against the reference, to the bit."""

import pytest

from tests.kernels.agreement import assert_agreement
from tests.kernels.random_graph import RandomGraph

CHANNELS = [1, 3, 4, 5, 15, 16, 17, 24, 33, 64, 65, 100, 144]


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("width", [1, 7, 16])
def test_shared(channels: int, width: int) -> None:
    """Both are read by others, so the table cannot be fused."""
    graph = RandomGraph((3, 5, width), seed=channels)
    x = graph.conv2d("input", channels, 1)
    y = graph.add(graph.table(x), x)
    graph.dequantize(graph.conv2d(graph.add(graph.table(y, zp=3), y), 8, 3))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("width", [1, 7, 16, 85])
def test_per_channel_of_the_image(channels: int, width: int) -> None:
    graph = RandomGraph((channels, 5, width), seed=channels)
    graph.dequantize(graph.conv2d(graph.table("input", per_channel=True), 8, 3))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("width", [1, 7, 16])
def test_per_channel(channels: int, width: int) -> None:
    graph = RandomGraph((3, 5, width), seed=channels)
    x = graph.conv2d("input", channels, 1)
    y = graph.add(graph.table(x, per_channel=True), x)
    graph.dequantize(graph.conv2d(graph.table(y, per_channel=True, scheme="uint3", zp=2), 8, 3))
    assert_agreement(graph.build(), graph.images(2))


def test_per_channel_of_features_and_views() -> None:
    graph = RandomGraph((3, 4, 4))
    x = graph.table(graph.flatten(graph.conv2d("input", 10, 1)), per_channel=True)
    parts = [graph.moved("slice", x, axis=0, start=start, stop=start + 23, step=1) for start in (0, 37)]
    x = graph.moved("concat", *(graph.table(part, per_channel=True) for part in parts), axis=0)
    graph.linear(x, 5, to_float=True)
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_per_channel_of_few_channels_of_others(channels: int) -> None:
    """A slice whose pixels lie further apart than a vector's; parts of a concat whose pixels are four bytes."""
    graph = RandomGraph((3, 5, 9), seed=channels)
    x = graph.conv2d("input", 11, 1)
    x = graph.table(graph.moved("slice", x, axis=0, start=1, stop=1 + channels, step=1), per_channel=True)
    y = graph.conv2d("input", 2, 1, zp=128)
    z = graph.table(graph.conv2d("input", channels, 1, zp=128), per_channel=True)
    graph.dequantize(graph.moved("concat", y, x, z, y, axis=0))
    assert_agreement(graph.build(), graph.images(2))

    graph = RandomGraph((3, 5, 9), seed=channels)
    parts = [graph.conv2d("input", 1, 1, zp=128), graph.table(graph.conv2d("input", channels, 1), per_channel=True)]
    graph.moved("concat", *parts, axis=0)
    graph.dequantize(graph.moved("concat", *parts[::-1], axis=0))
    assert_agreement(graph.build(), graph.images(2))


def test_views() -> None:
    graph = RandomGraph((3, 9, 8))
    x = graph.conv2d("input", 60, 3)
    parts = [graph.table(graph.moved("slice", x, axis=0, start=start, stop=start + 23, step=1)) for start in (0, 37)]
    graph.dequantize(graph.conv2d(graph.moved("concat", *parts, axis=0), 10, 3))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("scheme", ["uint2", "uint4"])
def test_few_bit_codes(scheme: str) -> None:
    graph = RandomGraph((3, 9, 8))
    x = graph.conv2d("input", 20, 3, scheme=scheme, zp=1)
    graph.dequantize(graph.mul(graph.table(x, zp=3, scheme=scheme), x))
    assert_agreement(graph.build(), graph.images(2))


def test_many_threads() -> None:
    graph = RandomGraph((3, 21, 6))
    x = graph.table("input", per_channel=True)
    y = graph.conv2d(x, 70, 1)
    graph.dequantize(graph.add(graph.table(y), y))
    assert_agreement(graph.build(), graph.images(), threads=tuple(range(1, 17)))
