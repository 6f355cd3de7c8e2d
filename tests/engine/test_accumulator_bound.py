"""The engine's own bound of int32 accumulators, to the last unit: a file is not trusted to have been checked by Python."""

import numpy as np
import numpy.typing as npt
import pytest

from bitwright.engine.native import make_plan
from bitwright.errors import EngineError
from bitwright.graph import Graph
from bitwright.ops.op import NUMBERS_AT_ONCE, worst_case
from bitwright.qtensor import QType
from tests.kernels.random_graph import RandomGraph

GROUPS, DEPTH, OUTS, SIDE = 2, 12, 8, 100
MOST = 2**31 - 1


def zero_points() -> npt.NDArray[np.int64]:
    """One for each channel. The first two of each group reach 128 and 129, so that any large number is a sum of them."""
    found = np.random.default_rng(0).integers(0, 256, (GROUPS, DEPTH))
    found[:, :2] = 128, 129
    return found


def weights() -> npt.NDArray[np.int8]:
    """[OUTS, DEPTH, SIDE, SIDE]: the worst case of every output is exactly the largest int32."""
    random = np.random.default_rng(1)
    sizes = random.integers(70, 120, (OUTS, DEPTH, SIDE * SIDE))
    sizes = np.ceil(sizes * (1.01 * MOST / worst(sizes))[:, None, None]).astype(
        np.int64
    )  # a little too large, all of them
    for out, most in enumerate(worst(sizes)):
        excess = int(most) - MOST
        assert excess > 128 * 129
        by_129 = excess % 128
        spread(sizes[out, 1], by_129)
        spread(sizes[out, 0], (excess - 129 * by_129) // 128)
    assert (worst(sizes) == MOST).all()
    signs = random.choice([-1, 1], sizes.shape)
    return (signs * sizes).astype(np.int8).reshape(OUTS, DEPTH, SIDE, SIDE)


def spread(sizes: npt.NDArray[np.int64], units: int) -> None:
    """Take so many units from these sizes, as evenly as can be."""
    each, rest = divmod(units, len(sizes))
    sizes -= each
    sizes[:rest] -= 1
    assert sizes.min() >= 0


def worst(sizes: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """For each output, the sum of |weight| times how far the codes of its channel reach from their zero point."""
    reach = np.maximum(zero_points(), 255 - zero_points()).repeat(OUTS // GROUPS, axis=0)
    worst_case: npt.NDArray[np.int64] = (np.abs(sizes.astype(np.int64)).reshape(OUTS, DEPTH, -1).sum(2) * reach).sum(1)
    return worst_case


def graph(weight: npt.NDArray[np.int8]) -> Graph:
    g = RandomGraph((GROUPS * DEPTH, SIDE, SIDE), image_zero_points=tuple(map(int, zero_points().reshape(-1))))
    name = g.conv2d("input", OUTS, SIDE, groups=GROUPS, padding=(0, 0, 0, 0))
    g.nodes[-1].tensors["weight"][:] = weight
    g.dequantize(name)
    return g.build()


def test_what_fits_to_the_last_unit_is_taken() -> None:
    make_plan(graph(weights()), 1)


@pytest.mark.parametrize("out", range(OUTS))
def test_one_unit_more_in_any_output_is_refused(out: int) -> None:
    weight = weights()
    place = (out, (5 * out + 2) % DEPTH, (37 * out + 1) % SIDE, (11 * out) % SIDE)
    weight[place] += np.sign(weight[place])
    assert abs(int(weight[place])) <= 127
    assert (worst(weight) > MOST).sum() == 1
    with pytest.raises(EngineError, match="an accumulator could overflow int32"):
        make_plan(graph(weight), 1)


@pytest.mark.parametrize("out", range(OUTS))
def test_one_more_than_the_largest_int32_is_refused(out: int) -> None:
    """A unit less where codes reach 128, a unit more where they reach 129."""
    weight = weights()
    for channel, unit in ((0, -1), (1, 1)):
        place = (out, channel, SIDE - 1, (7 * out) % SIDE)
        weight[place] += unit * np.sign(weight[place])
    assert worst(weight)[out] == MOST + 1
    with pytest.raises(EngineError, match="an accumulator could overflow int32"):
        make_plan(graph(weight), 1)


def linear(weight: npt.NDArray[np.int8], scales: int, zero_point: int) -> Graph:
    """A linear layer over one pixel; with `scales` > 1 each output has an accumulator for each of so many groups of inputs."""
    outs, channels = weight.shape
    g = RandomGraph((channels, 1, 1), image_zero_points=(zero_point,))
    name = g.linear(g.flatten("input"), outs, scales=scales)
    g.nodes[-1].tensors["weight"][:] = weight
    g.dequantize(name)
    return g.build()


@pytest.mark.parametrize("zero_point", [0, 128])
@pytest.mark.parametrize("scales", [1, 3])
def test_linear_layers_are_held_to_it_in_each_group(scales: int, zero_point: int) -> None:
    """All accumulators but one may have room: the one that is too large is found, wherever it is."""
    outs, reach = 4, max(zero_point, 255 - zero_point)
    depth = MOST // (127 * reach) + 10
    weight = np.ones((outs, scales, depth), np.int8)
    fits = 127 * reach * (depth - 11)
    rest = (MOST - fits) // reach  # of the last eleven weights
    for out in range(outs):
        for group in range(scales):
            full = weight.copy()
            full[out, group, :-11] = -127
            full[out, group, -11:] = rest // 11
            full[out, group, -1] += rest % 11
            assert MOST - reach < reach * int(np.abs(full[out, group].astype(np.int64)).sum()) <= MOST
            make_plan(linear(full.reshape(outs, -1), scales, zero_point), 1)
            full[out, group, -2] += 1
            with pytest.raises(EngineError, match="an accumulator could overflow int32"):
                make_plan(linear(full.reshape(outs, -1), scales, zero_point), 1)


@pytest.mark.parametrize("shape", [(3, 5), (1, NUMBERS_AT_ONCE + 3), (5, NUMBERS_AT_ONCE // 2 + 1), (2, 0)], ids=str)
def test_weights_are_added_up_in_parts(shape: tuple[int, int]) -> None:
    weight = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    expected = int(np.abs(weight.astype(int)).sum(1).max(initial=0))
    assert worst_case(weight, QType("uint8", 1.0, 0)) == 255 * expected
