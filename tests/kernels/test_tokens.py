"""Tokens [T, D], and what lies between them and maps: every instruction set against the reference, to the bit."""

import numpy as np
import pytest

from bitwright.engine.native import make_plan
from bitwright.engine.reference import Reference
from tests.kernels.agreement import assert_agreement, available, forced
from tests.kernels.random_graph import RandomGraph


def start(channels: int, height: int = 7, width: int = 6, seed: int = 0) -> tuple[RandomGraph, str]:
    """A graph, and tokens [height * width, channels] in it."""
    graph = RandomGraph((3, height, width), seed=seed)
    return graph, graph.tokens(graph.conv2d("input", channels, 1, zp=77))


def copies(graph: RandomGraph) -> list[str]:
    """The names of the steps that move bytes about."""
    steps = make_plan(graph.build(), 1).time_steps(graph.images())
    return [step[0] for step in steps if step[2].startswith("move")]


@pytest.mark.parametrize("channels", [1, 3, 16, 17, 64, 100])
@pytest.mark.parametrize("height", [1, 7, 53])
def test_linear_over_tokens(channels: int, height: int) -> None:
    graph, x = start(channels, height, 2)
    y = graph.linear(x, 40, zp=100)
    y = graph.table(graph.linear(y, channels, residual=x))
    graph.dequantize(graph.linear(y, 9))
    assert_agreement(graph.build(), graph.images(2), threads=(1, 3))


@pytest.mark.parametrize("scheme", ["bit", "uint2", "binary"])
def test_linear_over_tokens_of_few_bits(scheme: str) -> None:
    graph, x = start(70)
    x = graph.quantize(x, scheme) if scheme != "uint2" else graph.table(x, scheme="uint2", zp=1)
    graph.dequantize(graph.linear(graph.linear(x, 40, weights="binary"), 33, most=1))
    assert_agreement(graph.build(), graph.images(2))


@pytest.mark.parametrize("scales", [2, 5])
@pytest.mark.parametrize("most", [7, 127])
def test_linear_over_tokens_with_scales_for_groups_of_inputs(scales: int, most: int) -> None:
    graph, x = start(20)
    y = graph.linear(x, 20, scales=scales, most=most, residual=x)
    graph.dequantize(graph.linear(graph.table(y), 70, scales=scales, most=most))
    assert_agreement(graph.build(), graph.images(2), threads=(1, 3))


@pytest.mark.parametrize("channels", [1, 5, 17, 64])
def test_pixelwise_ops_over_tokens(channels: int) -> None:
    graph, x = start(channels)
    y = graph.table(graph.batch_norm(x, zp=40, lo=40), per_channel=True)
    z = graph.add(y, graph.mul(x, y))
    pooled = graph.moved("reshape", graph.global_avg_pool2d(graph.planes(z, 7)), shape=(1, channels))
    graph.dequantize(graph.mul(graph.table(z), graph.table(pooled)))
    assert_agreement(graph.build(), graph.images(2), threads=(1, 3))


def test_a_map_and_its_tokens_are_the_same_bytes() -> None:
    graph, x = start(24)
    y = graph.planes(graph.linear(graph.batch_norm(x), 32), 7)
    y = graph.conv2d(y, 8, 1)
    y = graph.moved("permute", y, dims=(1, 2, 0))
    y = graph.moved("permute", graph.linear(y, 16), dims=(2, 0, 1))
    graph.dequantize(graph.global_avg_pool2d(y))
    assert copies(graph) == []
    assert_agreement(graph.build(), graph.images(2))


def test_a_map_with_a_halo_is_no_tokens() -> None:
    """Pixels of its rows do not follow each other, so the tokens are copied."""
    graph = RandomGraph((3, 6, 6))
    x = graph.conv2d("input", 16, 1)
    y = graph.planes(graph.linear(graph.tokens(x), 16), 6)
    y = graph.conv2d(y, 16, 3, residual=graph.conv2d(x, 16, 3))
    graph.dequantize(graph.global_avg_pool2d(y))
    assert len(copies(graph)) == 2
    assert_agreement(graph.build(), graph.images(2))


def test_parts_of_tokens_lie_in_the_whole() -> None:
    graph, x = start(24)
    y = graph.linear(x, 24)
    first, rest = (graph.moved("slice", y, axis=0, start=a, stop=b, step=1) for a, b in ((0, 1), (1, 42)))
    whole = graph.moved("concat", graph.batch_norm(rest), graph.batch_norm(first, zp=128), axis=0)
    cut = graph.moved("slice", graph.linear(whole, 30), axis=0, start=3, stop=4, step=1)
    graph.linear(graph.moved("reshape", cut, shape=(30,)), 10, to_float=True)
    assert copies(graph) == []
    assert_agreement(graph.build(), graph.images(2), threads=(1, 2))


def test_a_part_that_is_read_twice_is_copied_once() -> None:
    graph, x = start(24)
    y = graph.linear(x, 24, zp=128)
    whole = graph.moved("concat", y, graph.batch_norm(y, zp=128), y, axis=0)
    graph.dequantize(graph.linear(whole, 30))
    assert len(copies(graph)) == 1
    assert_agreement(graph.build(), graph.images(2))


def test_tokens_are_mixed_along_either_axis() -> None:
    graph, x = start(12)
    y = graph.with_channel(graph.moved("permute", x, dims=(1, 0)), 1)
    y = graph.linear(graph.table(graph.linear(y, 30)), 42)
    y = graph.with_channel(graph.moved("permute", y, dims=(1, 0)), 1)
    graph.dequantize(graph.linear(graph.add(x, y), 10))
    assert_agreement(graph.build(), graph.images(2), threads=(1, 3))


@pytest.mark.parametrize("channels", [1, 5, 64])
def test_a_class_token_and_position_embeddings(channels: int) -> None:
    graph, x = start(channels)
    token, places = graph.constant((1, channels), 1, zp=77), graph.constant((43, channels), 1)
    x = graph.add(graph.moved("concat", token, x, axis=0), places)
    x = graph.linear(x, 30, residual=graph.constant((43, 30), 1))
    first = graph.moved("slice", graph.mul(x, graph.constant((1, 30), 1)), axis=0, start=0, stop=1, step=1)
    graph.linear(graph.moved("reshape", first, shape=(30,)), 10, to_float=True)
    assert "permute_2" not in copies(graph)
    assert_agreement(graph.build(), graph.images(3), threads=(1, 2))


@pytest.mark.parametrize("scheme", ["binary", "bit", "uint2"])
def test_constants_of_few_bits(scheme: str) -> None:
    graph, x = start(40)
    places = graph.constant((42, 40), 1, scheme=scheme, zp=1)
    y = graph.linear(places, 20, weights="binary")
    graph.dequantize(graph.add(graph.linear(graph.add(x, places), 20), y))
    assert_agreement(graph.build(), graph.images(2))


def test_constants_of_maps_in_any_order() -> None:
    graph = RandomGraph((3, 5, 6))
    x = graph.add(graph.conv2d("input", 7, 1), graph.constant((7, 5, 6)))
    last = graph.moved("permute", x, dims=(1, 2, 0))
    y = graph.add(last, graph.constant((5, 6, 7), 2))
    graph.dequantize(graph.conv2d(graph.moved("permute", y, dims=(2, 0, 1)), 9, 3))
    assert_agreement(graph.build(), graph.images(2), threads=(1, 3))


@pytest.mark.parametrize("seed", range(40))
def test_any_moves(seed: int) -> None:
    """Random shapes, orders of axes, channels, slices and concats, with ops for each channel between them."""
    rng = np.random.default_rng(seed)
    graph = RandomGraph((3, 6, 4), seed=seed)
    x = graph.conv2d("input", 12, 3, zp=128)
    for _ in range(10):
        x = random_move(graph, x, rng)
        if rng.random() < 0.3:
            x = graph.batch_norm(x) if rng.random() < 0.5 else graph.table(x, per_channel=True)
        if rng.random() < 0.2 and graph.values[x].channel == len(graph.values[x].shape) - 1:
            x = graph.linear(x, int(rng.integers(1, 20)))
    graph.dequantize(x)
    built, images = graph.build(), graph.images(2)
    assert_agreement(built, images, isas=[available()[-1], "scalar"])
    kept = make_plan(built, 1, keep_values=True).values(images[:1])
    for (name, expected), found in zip(Reference(built).values(images[:1]), kept, strict=True):
        np.testing.assert_array_equal(np.asarray(found), expected[0], name)


def random_move(graph: RandomGraph, x: str, rng: np.random.Generator) -> str:
    shape = graph.values[x].shape
    channel = int(rng.integers(0, 8)) if rng.random() < 0.3 else None
    kind = rng.choice(["split", "merge", "permute", "slice", "concat", "pad"])
    axis = int(rng.integers(0, len(shape)))
    if kind == "split" and len(shape) < 5 and shape[axis] > 1:
        parts = int(rng.choice([n for n in range(1, shape[axis] + 1) if shape[axis] % n == 0]))
        new = (*shape[:axis], parts, shape[axis] // parts, *shape[axis + 1 :])
        return graph.moved("reshape", x, shape=new, channel=None if channel is None else channel % len(new))
    if kind == "merge" and axis + 1 < len(shape):
        new = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
        return graph.moved("reshape", x, shape=new, channel=None if channel is None else channel % len(new))
    channel = None if channel is None else channel % len(shape)
    if kind == "slice":
        start = int(rng.integers(0, shape[axis]))
        stop = int(rng.integers(start + 1, shape[axis] + 1))
        return graph.moved("slice", x, axis=axis, start=start, stop=stop, step=int(rng.integers(1, 3)), channel=channel)
    if kind == "concat" and np.prod(shape) < 1500:
        other = x if rng.random() < 0.3 else graph.batch_norm(x, zp=graph.zero_point(x))
        return graph.moved("concat", x, other, axis=axis, channel=channel)
    if kind == "pad" and np.prod(shape) < 1500:
        padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 2, (len(shape), 2)))
        return graph.moved("pad", x, padding=padding, channel=channel)
    return graph.moved("permute", x, dims=tuple(map(int, rng.permutation(len(shape)))), channel=channel)


def test_linear_layers_over_tokens_run_as_convolutions() -> None:
    """Threaded, and by the kernels that maps get; not by those for one pixel."""
    graph, x = start(64, 14, 14)
    graph.dequantize(graph.linear(x, 64, most=7))
    for isa in available():
        with forced(isa):
            steps = make_plan(graph.build(), 2).time_steps(graph.images())
        linear = next(step for step in steps if step[1] == "linear")
        assert linear[2].startswith("igemm"), isa
        assert linear[4] == 196 * 64 * 64, "MACs"
