"""reshape, permute, slice, pad, concat: alone, in chains, and as networks have them; every instruction set, to the bit."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from bitwright.engine.native import Native
from bitwright.engine.reference import Reference
from tests.kernels.agreement import assert_agreement, available, forced
from tests.kernels.random_graph import RandomGraph

VECTORS = [isa for isa in available() if isa != "scalar"]


def finished(g: RandomGraph, x: str) -> RandomGraph:
    g.dequantize(g.flatten(x))
    return g


def shuffled(g: RandomGraph, x: str, groups: int) -> str:
    channels, height, width = g.values[x].shape
    x = g.moved("reshape", x, shape=(groups, channels // groups, height, width))
    return g.moved("reshape", g.moved("permute", x, dims=(1, 0, 2, 3)), shape=(channels, height, width))


def channels_of(g: RandomGraph, x: str, start: int, stop: int, step: int = 1) -> str:
    return g.moved("slice", x, axis=0, start=start, stop=stop, step=step)


@pytest.mark.parametrize(
    ("channels", "groups"),
    [
        (2, 2),
        (6, 2),
        (6, 3),
        (30, 2),
        (58, 2),
        (116, 2),
        (116, 58),
        (60, 3),
        (64, 4),
        (130, 2),
        (136, 8),
        (464, 2),
        (48, 16),
        (76, 19),
    ],
)
def test_shuffled_channels(channels: int, groups: int) -> None:
    g = RandomGraph((3, 5, 6), seed=channels)
    x = shuffled(g, g.conv2d("input", channels, 1), groups)
    g = finished(g, g.conv2d(x, 8, 3))
    assert_agreement(g.build(), g.images(2))


def shuffle_unit(g: RandomGraph, x: str) -> str:
    """A unit of ShuffleNetV2: half of the channels pass, half go through a branch, then they are shuffled."""
    width = g.values[x].shape[0] // 2
    passing, branch = channels_of(g, x, 0, width), channels_of(g, x, width, 2 * width)
    branch = g.conv2d(g.conv2d(g.conv2d(branch, width, 1), width, 3, groups=width), width, 1)
    return shuffled(g, g.moved("concat", passing, branch, axis=0), 2)


@pytest.mark.parametrize("width", [8, 29, 58, 70])
def test_units_of_shufflenet(width: int) -> None:
    g = RandomGraph((3, 9, 7), seed=width)
    x = g.conv2d("input", 2 * width, 3)
    for _ in range(3):
        x = shuffle_unit(g, x)
    g = finished(g, g.conv2d(x, 16, 1))
    assert_agreement(g.build(), g.images(3))


def test_a_unit_of_shufflenet_is_copied_once() -> None:
    """Three moves and two halves are one pass: they are written where they are read, one half inside the next concat."""
    g = RandomGraph((3, 14, 14))
    x = shuffle_unit(g, shuffle_unit(g, shuffle_unit(g, g.conv2d("input", 116, 3))))
    g.linear(g.flatten(g.global_avg_pool2d(g.conv2d(x, 32, 1))), 10, to_float=True)
    for isa in VECTORS:
        with forced(isa):
            moves = [layer for layer in Native(g.build(), 1).layers(g.images()) if layer.kernel.startswith("move")]
        assert sum(layer.bytes for layer in moves) <= 2 * (3 * 116 + 58) * 14 * 14
        assert all(layer.kernel != "move" for layer in moves), [(layer.name, layer.kernel) for layer in moves]


@pytest.mark.parametrize("shape", [(3, 4, 5), (17, 16, 16), (64, 7, 7), (70, 3, 33), (130, 20, 1), (1, 40, 40)])
@pytest.mark.parametrize("dims", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_permuted_axes(shape: tuple[int, int, int], dims: tuple[int, int, int]) -> None:
    g = RandomGraph((3, *shape[1:]), seed=math.prod(shape))
    g = finished(g, g.moved("permute", g.conv2d("input", shape[0], 1), dims=dims))
    assert_agreement(g.build(), g.images(2))


@pytest.mark.parametrize(
    ("start", "stop", "step"), [(0, 40, 1), (3, 20, 1), (1, 40, 2), (39, 40, 1), (0, 39, 7), (5, 6, 1)]
)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("channels", [40, 41])
def test_slices(start: int, stop: int, step: int, axis: int, channels: int) -> None:
    g = RandomGraph((3, 40, 40))
    x = g.conv2d("input", channels, 1)
    g = finished(g, g.moved("slice", x, axis=axis, start=start, stop=stop, step=step))
    assert_agreement(g.build(), g.images(1), threads=(2,))


@pytest.mark.parametrize(
    "padding",
    [((0, 0), (1, 2), (3, 4)), ((2, 1), (0, 0), (0, 5)), ((1, 0), (1, 0), (1, 0)), ((0, 70), (0, 0), (0, 0))],
)
@pytest.mark.parametrize("channels", [3, 20, 64])
def test_padding(padding: tuple[tuple[int, int], ...], channels: int) -> None:
    g = RandomGraph((3, 6, 7), seed=channels)
    g = finished(g, g.moved("pad", g.conv2d("input", channels, 1, zp=77), padding=padding))
    assert_agreement(g.build(), g.images(2))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("widths", [(5, 5), (16, 3, 64), (1, 100)])
def test_joined_twice(axis: int, widths: tuple[int, ...]) -> None:
    """One of the parts is in two concats, so that it can lie in one of them only."""
    g = RandomGraph((3, 6, 6), seed=sum(widths))
    parts = [g.conv2d("input", width if axis == 0 else 24, 1) for width in widths]
    g = finished(g, g.moved("concat", g.moved("concat", *parts, axis=axis), *parts[::-1], axis=axis))
    assert_agreement(g.build(), g.images(2))


@pytest.mark.parametrize(
    "shape", [(20, 6, 6), (6, 6, 20), (720,), (5, 9, 16), (8, 90), (2, 2, 2, 2, 3, 3, 5), (45, 16, 1)]
)
@pytest.mark.parametrize("back", [False, True])
def test_reshapes(shape: tuple[int, ...], back: bool) -> None:
    """Also those whose axes share no loops with those of the input: 20 x 6 x 6 as 5 x 9 x 16."""
    g = RandomGraph((3, 6, 6))
    x = g.moved("reshape", g.conv2d("input", 20, 1), shape=shape)
    g = finished(g, g.moved("reshape", x, shape=(20, 6, 6)) if back else x)
    assert_agreement(g.build(), g.images(2))


Move = Callable[[RandomGraph, str], str]
MOVES: dict[str, Move] = {
    "every second channel": lambda g, x: channels_of(g, x, 1, 96, 2),
    "every third channel": lambda g, x: channels_of(g, x, 0, 95, 3),
    "every fifth channel": lambda g, x: channels_of(g, x, 2, 96, 5),
    "every eighth channel": lambda g, x: channels_of(g, x, 7, 96, 8),
    "every third column": lambda g, x: g.moved("slice", x, axis=2, start=1, stop=20, step=3),
    "padded planes": lambda g, x: g.moved("pad", x, padding=((0, 0), (1, 2), (3, 0))),
    "padded channels": lambda g, x: g.moved("pad", x, padding=((9, 40), (0, 0), (0, 0))),
    "padded everywhere": lambda g, x: g.moved("pad", x, padding=((1, 2), (3, 1), (0, 2))),
    "a flip of axes": lambda g, x: g.moved("permute", x, dims=(1, 0, 2)),
    "another flip": lambda g, x: g.moved("permute", x, dims=(2, 1, 0)),
    "no common loops": lambda g, x: g.moved("reshape", x, shape=(60, 4, 160)),
    "none of tokens": lambda g, x: g.moved("reshape", g.tokens(x), shape=(192, 200)),
    "groups of channels": lambda g, x: shuffled(g, x, 4),
    "many groups": lambda g, x: shuffled(g, x, 48),
    "ten groups of few": lambda g, x: shuffled(g, channels_of(g, x, 0, 90), 9),
}


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("halo", [False, True])
def test_vectors_move(name: str, halo: bool) -> None:
    """No byte is moved by itself where there are vectors: the row for all cases is for what has no order at all."""
    g = RandomGraph((3, 20, 20), seed=len(name))
    x = g.conv2d("input", 96, 1, zp=33)
    moved = MOVES[name](g, x)
    others = [g.conv2d(x, 4, 3, zp=33)] if halo else []  # a window, so there is a halo between the rows that are moved
    others = [g.flatten(v) for v in (moved, *others)]
    g.dequantize(g.moved("concat", *others, axis=0))
    built = g.build()
    assert_agreement(built, g.images(2), threads=(2,))
    for isa in VECTORS:
        with forced(isa):
            layers = Native(built, 1).layers(g.images())
        assert [layer.name for layer in layers if layer.kernel == "move"] == [], isa
        assert any(layer.kernel.startswith("move, ") for layer in layers)


@pytest.mark.parametrize(
    ("padding", "added"),
    [(((9, 40), (0, 0), (0, 0)), 49 * 36), (((0, 0), (1, 2), (0, 0)), 16 * 18), (((0, 5), (0, 0), (0, 0)), 5 * 36)],
)
def test_what_is_padded_is_written_in_its_place(padding: tuple[tuple[int, int], ...], added: int) -> None:
    """Where one axis is padded, of which all others lie inside, only the padding is written."""
    g = RandomGraph((3, 6, 6))
    x = g.moved("pad", g.conv2d("input", 16, 1, zp=9), padding=padding)
    g.dequantize(g.add(x, x))
    assert_agreement(g.build(), g.images(2))
    moves = [layer for layer in Native(g.build(), 1).layers(g.images()) if layer.op == "pad"]
    assert [layer.bytes for layer in moves] == [added]


@pytest.mark.parametrize("name", MOVES)
def test_what_moves_is_traced(name: str) -> None:
    """Where every value is kept there are no views, and what two moves have between them is nobody's value."""
    g = RandomGraph((3, 20, 20))
    g = finished(g, MOVES[name](g, g.conv2d("input", 96, 1)))
    built, images = g.build(), g.images(1)
    expected, found = dict(Reference(built).values(images)), dict(Native(built, 1).values(images))
    assert expected.keys() == found.keys()
    for value, codes in expected.items():
        assert found[value].tobytes() == codes.tobytes(), value


@pytest.mark.parametrize("seed", range(60))
def test_chains_of_moves(seed: int) -> None:
    """Any reshapes, permutes and slices one after the other, some of them read twice."""
    rng = np.random.default_rng(seed)
    g = RandomGraph((3, int(rng.integers(1, 9)), int(rng.integers(1, 9))), seed=seed)
    x = g.conv2d("input", int(rng.choice([1, 4, 6, 12, 36, 58, 64])), 1)
    values = [x]
    for _ in range(int(rng.integers(2, 7))):
        x = str(rng.choice(values[-2:]))
        shape, op = g.values[x].shape, rng.choice(["reshape", "permute", "slice"])
        axis = int(rng.integers(len(shape)))
        if op == "permute":
            moved = g.moved("permute", x, dims=tuple(int(d) for d in rng.permutation(len(shape))))
        elif op == "slice":
            start = int(rng.integers(shape[axis]))
            stop = int(rng.integers(start, shape[axis])) + 1
            moved = g.moved("slice", x, axis=axis, start=start, stop=stop, step=int(rng.integers(1, stop - start + 1)))
        else:
            moved = g.moved("reshape", x, shape=random_shape(rng, math.prod(shape)))
        values.append(moved)
    flat = [g.flatten(value) for value in values[1:]]
    g.dequantize(g.moved("concat", *flat, axis=0))
    isas = None if seed % 4 == 0 else ["scalar", str(rng.choice(VECTORS or ["scalar"]))]
    assert_agreement(g.build(), g.images(1), isas=isas)


def random_shape(rng: np.random.Generator, count: int) -> tuple[int, ...]:
    """Up to five axes, of any divisors."""
    axes = []
    for _ in range(int(rng.integers(0, 5))):
        divisors = [d for d in range(1, count + 1) if count % d == 0]
        axes.append(int(rng.choice(divisors)))
        count //= axes[-1]
    return tuple(int(axis) for axis in rng.permutation([*axes, count]))
