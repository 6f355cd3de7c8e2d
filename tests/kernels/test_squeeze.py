"""Squeeze-and-excite fused: the pool behind a depthwise convolution, the multiplication before a 1x1 one."""

import numpy as np
import pytest

from bitwright.engine.native import Native
from tests.kernels.agreement import assert_agreement, available, forced
from tests.kernels.random_graph import RandomGraph

FUSES_SCALES = [isa for isa in available() if isa != "amx"]


def squeezed(graph: RandomGraph, x: str) -> str:
    """A factor for each channel of x."""
    channels = graph.values[x].shape[0]
    inner = graph.conv2d(graph.global_avg_pool2d(x), max(1, channels // 4), 1)
    return graph.table(graph.conv2d(inner, channels, 1))


def block(channels: int, size: tuple[int, int], kernel: int = 3, stride: int = 1, outs: int = 24) -> RandomGraph:
    """Depthwise, squeeze-and-excite, 1x1."""
    graph = RandomGraph((3, *size), seed=channels)
    x = graph.conv2d("input", channels, 1, zp=channels % 256)
    x = graph.table(graph.conv2d(x, channels, kernel, groups=channels, stride=(stride, stride)), zp=17)
    graph.dequantize(graph.conv2d(graph.mul(x, squeezed(graph, x), zp=31), outs, 1))
    return graph


def fused(graph: RandomGraph, isa: str, threads: int = 1) -> tuple[int, int]:
    """How many multiplications and how many pools are in their neighbours."""
    with forced(isa):
        layers = Native(graph.build(), threads).layers(graph.images(1))
    kernels = [layer.kernel for layer in layers]
    scaled = sum("input scaled" in kernel for kernel in kernels)
    pooled = sum("output pooled" in kernel for kernel in kernels)
    ops = [layer.op for layer in layers]
    assert scaled + ops.count("mul") == sum(node.op == "mul" for node in graph.nodes)
    assert pooled + ops.count("global_avg_pool2d") == sum(node.op == "global_avg_pool2d" for node in graph.nodes)
    return scaled, pooled


@pytest.mark.parametrize("channels", [2, 8, 24, 33, 64, 65, 100, 128, 200])
@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [((13, 11), 3, 1), ((22, 30), 5, 2), ((7, 7), 5, 1), ((9, 1), 3, 1)]
)
def test_blocks(channels: int, size: tuple[int, int], kernel: int, stride: int) -> None:
    graph = block(channels, size, kernel, stride)
    assert_agreement(graph.build(), graph.images(2), threads=(1, 2, 3))


def test_many_threads() -> None:
    graph = block(1030, (16, 14), outs=100)
    assert_agreement(graph.build(), graph.images(3), threads=tuple(range(1, 17)))


@pytest.mark.parametrize("isa", FUSES_SCALES)
def test_both_are_fused(isa: str) -> None:
    graph = block(120, (14, 14))
    assert fused(graph, isa) == (1, 1)
    assert fused(graph, isa, threads=2) == (1, 1)


@pytest.mark.parametrize("isa", FUSES_SCALES)
def test_what_would_leave_threads_idle_is_not_fused(isa: str) -> None:
    assert fused(block(65, (14, 14)), isa, threads=2) == (1, 0)  # blocks of 64 and 1 channels
    assert fused(block(120, (7, 7)), isa, threads=2) == (0, 1)  # one strip
    assert fused(block(120, (7, 7)), isa) == (1, 1)


@pytest.mark.parametrize("isa", FUSES_SCALES)
def test_a_pool_whose_block_leaves_the_cache_is_not_fused(isa: str) -> None:
    assert fused(block(16, (22, 23)), isa) == (1, 1)
    assert fused(block(16, (22, 24)), isa) == (1, 0)


@pytest.mark.parametrize("size", [(1, 112), (1, 113), (112, 2), (3, 200), (40, 40), (113, 1), (5, 23), (17, 7)])
@pytest.mark.parametrize("outs", [1, 16, 70])
def test_strips(size: tuple[int, int], outs: int) -> None:
    graph = block(20, size, outs=outs)
    assert_agreement(graph.build(), graph.images(2), threads=(1, 2, 4))


def test_residual_and_tables() -> None:
    graph = RandomGraph((3, 15, 15))
    first = graph.conv2d("input", 48, 1)
    x = graph.conv2d(first, 48, 3, groups=48, residual=first)
    x = graph.table(graph.mul(x, squeezed(graph, x)))
    x = graph.table(graph.conv2d(x, 48, 1, residual=first))
    graph.dequantize(x)
    assert_agreement(graph.build(), graph.images(2))
    assert {fused(graph, isa) for isa in FUSES_SCALES} == {(1, 1)}


def test_few_bits() -> None:
    graph = RandomGraph((3, 12, 12))
    x = graph.conv2d("input", 40, 1, scheme="uint4")
    x = graph.conv2d(x, 40, 3, groups=40, scheme="uint4", weights="int4")
    factor = graph.conv2d(graph.global_avg_pool2d(x, scheme="uint4"), 40, 1, scheme="uint4")
    x = graph.conv2d(graph.mul(x, factor, scheme="uint4"), 32, 1, weights="int4")
    graph.dequantize(x)
    assert_agreement(graph.build(), graph.images(2))
    assert {fused(graph, isa) for isa in FUSES_SCALES} == {(1, 1)}


def test_bits_are_multiplied_apart() -> None:
    """What is packed into planes comes from a table, so the multiplication is no neighbour of the convolution."""
    graph = RandomGraph((3, 12, 12))
    x = graph.conv2d("input", 64, 1)
    x = graph.conv2d(x, 64, 3, groups=64)
    x = graph.quantize(graph.mul(x, squeezed(graph, x)), "binary")
    graph.dequantize(graph.conv2d(x, 64, 1, weights="binary"))
    assert_agreement(graph.build(), graph.images(2))


def test_maps_with_a_halo() -> None:
    """The map is read by a padded convolution too, so its rows lie apart; so is the pool's one pixel."""
    graph = RandomGraph((3, 12, 13))
    x = graph.conv2d("input", 32, 3)
    y = graph.conv2d(x, 32, 3, groups=32)
    pooled = graph.global_avg_pool2d(y)
    factor = graph.conv2d(pooled, 32, 3)
    scaled = graph.conv2d(graph.mul(y, factor), 32, 1)
    z = graph.conv2d(scaled, 32, 3, residual=graph.conv2d(y, 32, 5))
    graph.dequantize(z)
    assert_agreement(graph.build(), graph.images(2))
    assert {fused(graph, isa) for isa in FUSES_SCALES} == {(1, 0)}


@pytest.mark.parametrize("view", ["slice", "reshape", "concat", "concat of another"])
def test_a_view_of_the_pool_with_a_halo(view: str) -> None:
    graph = RandomGraph((3, 10, 10), seed=1)
    x = graph.conv2d("input", 64, 1)
    p = graph.global_avg_pool2d(graph.conv2d(x, 64, 3, groups=64), zp=77)
    if view == "slice":
        p = graph.moved("slice", p, axis=0, start=0, stop=32, step=1)
    elif view == "reshape":
        p = graph.moved("reshape", graph.flatten(p), shape=(64, 1, 1))
    elif view == "concat":
        p = graph.moved("concat", p, graph.global_avg_pool2d(graph.conv2d(x, 64, 5, groups=64), zp=77), axis=0)
    else:
        part = graph.moved("slice", p, axis=0, start=0, stop=32, step=1)
        late = graph.conv2d(graph.conv2d(part, 32, 3), 32, 1, zp=77)
        p = graph.moved("concat", p, late, axis=0)
    graph.dequantize(graph.conv2d(p, 32, 3))
    assert_agreement(graph.build(), graph.images(2))


def test_slices_and_concat() -> None:
    """Values that are channels of others: the map, the factor, and what the 1x1 convolution writes."""
    graph = RandomGraph((3, 14, 9))
    whole = graph.conv2d("input", 96, 1)
    part = graph.moved("slice", whole, axis=0, start=16, stop=64, step=1)
    factors = squeezed(graph, whole)
    factor = graph.moved("slice", factors, axis=0, start=32, stop=80, step=1)
    out = graph.conv2d(graph.mul(part, factor), 32, 1)
    depthwise = graph.conv2d(whole, 96, 3, groups=96)
    both = graph.moved("concat", graph.global_avg_pool2d(depthwise), graph.global_avg_pool2d(whole), axis=0)
    excited = graph.conv2d(graph.mul(graph.moved("concat", out, depthwise, axis=0), graph.conv2d(both, 128, 1)), 20, 1)
    graph.dequantize(excited)
    assert_agreement(graph.build(), graph.images(2))
    assert {fused(graph, isa) for isa in FUSES_SCALES} == {(2, 1)}


def test_what_others_read_or_windows_move_is_not_fused() -> None:
    graph = RandomGraph((3, 12, 12))
    x = graph.conv2d("input", 32, 1)
    x = graph.conv2d(x, 32, 3, groups=32)
    read_twice = graph.mul(x, squeezed(graph, x))
    x = graph.add(graph.conv2d(read_twice, 32, 1), read_twice)
    strided = graph.conv2d(graph.mul(x, squeezed(graph, x)), 32, 1, stride=(2, 2))
    padded = graph.conv2d(graph.mul(strided, squeezed(graph, strided)), 32, 1, padding=(1, 0, 0, 1))
    grouped = graph.conv2d(graph.mul(padded, squeezed(graph, padded)), 32, 1, groups=2)
    maps = graph.conv2d(graph.mul(grouped, grouped), 32, 1)
    graph.dequantize(graph.conv2d(graph.mul(maps, squeezed(graph, maps)), 32, 3))
    assert_agreement(graph.build(), graph.images(2))
    assert {fused(graph, isa) for isa in FUSES_SCALES} == {(0, 1)}


def test_two_pools_of_one_map_and_a_pool_to_floats() -> None:
    graph = RandomGraph((3, 10, 10))
    x = graph.conv2d("input", 70, 1)
    x = graph.conv2d(x, 70, 3, groups=70)
    first, second = graph.global_avg_pool2d(x), graph.global_avg_pool2d(x, zp=3)
    x = graph.mul(graph.mul(x, first), second)
    x = graph.conv2d(x, 70, 1)
    graph.global_avg_pool2d(graph.conv2d(x, 70, 3, groups=70), to_float=True)
    assert_agreement(graph.build(), graph.images(2))
    assert {fused(graph, isa) for isa in FUSES_SCALES} == {(1, 2)}


@pytest.mark.parametrize("seed", range(20))
def test_random_blocks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(2, 260))
    graph = RandomGraph((3, int(rng.integers(1, 24)), int(rng.integers(1, 24))), seed=seed)
    x = graph.conv2d("input", channels, 1, zp=int(rng.choice([0, 128, 255])))
    for _ in range(2):
        kernel, stride = int(rng.choice([1, 3, 5])), int(rng.choice([1, 2]))
        channels = graph.values[x].shape[0]
        x = graph.conv2d(x, channels, kernel, groups=channels, stride=(stride, stride), zp=int(rng.integers(0, 256)))
        if rng.random() < 0.5:
            x = graph.table(x)
        factor = squeezed(graph, x)
        x = graph.mul(x, factor, lo=int(rng.integers(0, 50)), hi=int(rng.integers(200, 256)))
        x = graph.conv2d(x, int(rng.integers(2, 200)), 1)
    graph.dequantize(x)
    assert_agreement(graph.build(), graph.images(3), threads=(1, int(rng.integers(2, 9))))


def test_every_value_is_still_there_to_trace() -> None:
    graph = block(72, (12, 12))
    built, images = graph.build(), graph.images(2)
    found = dict(Native(built, 1).values(images))
    assert set(found) == set(built.values)
