"""Linear layers with scales for groups of inputs: every instruction set against the reference, to the bit."""

import numpy as np
import pytest

from bitwright.engine.native import make_plan
from bitwright.errors import EngineError
from tests.kernels.agreement import assert_agreement
from tests.kernels.random_graph import RandomGraph


@pytest.mark.parametrize("most", [127, 7, 8])
@pytest.mark.parametrize("outs", [1, 15, 16, 17, 64, 65, 130])
@pytest.mark.parametrize(("inputs", "scales"), [(60, 2), (60, 60), (96, 3), (35, 5), (256, 8), (54, 6)])
def test_linear(inputs: int, scales: int, outs: int, most: int) -> None:
    graph = RandomGraph((7, 1, 1), seed=outs)
    x = graph.flatten(graph.conv2d("input", inputs, 1, zp=outs % 256))
    other = graph.linear(x, outs, zp=100)
    y = graph.linear(x, outs, residual=other, scales=scales, most=most, lo=20, hi=230)
    y = graph.linear(graph.table(y), 40, scales=outs if outs <= 17 else 1)
    graph.linear(y, 9, to_float=True, scales=4, most=most)
    assert_agreement(graph.build(), graph.images(2))


def test_groups_are_of_inputs_in_pytorchs_order() -> None:
    graph = RandomGraph((5, 4, 6))
    x = graph.flatten(graph.conv2d("input", 12, 3))
    graph.linear(x, 20, to_float=True, scales=9)
    assert_agreement(graph.build(), graph.images(2))


def test_binary_values() -> None:
    graph = RandomGraph((24, 1, 1))
    x = graph.linear(graph.flatten(graph.conv2d("input", 24, 1)), 48, scales=4, scheme="binary", zp=1)
    graph.nodes[-1].tensors["b"][:] = 0.5
    graph.linear(x, 10, to_float=True, scales=3)
    assert_agreement(graph.build(), graph.images(3))


@pytest.mark.parametrize("pixel", [0, 255])
@pytest.mark.parametrize("weight", [-127, 127, -7, 7])
def test_extreme_codes(pixel: int, weight: int) -> None:
    graph = RandomGraph((5000, 1, 1))
    x = graph.table("input", per_channel=True, zp=255 - pixel)
    graph.nodes[-1].tensors["table"][:] = pixel
    graph.linear(graph.flatten(x), 70, to_float=True, scales=2)
    graph.nodes[-1].tensors["weight"][:] = weight
    assert_agreement(graph.build(), np.full((1, 1, 1, 5000), pixel, np.uint8))


def test_groups_that_do_not_divide_the_inputs_are_refused() -> None:
    graph = RandomGraph((10, 1, 1))
    graph.linear(graph.flatten(graph.conv2d("input", 10, 1)), 4, to_float=True, scales=3)
    with pytest.raises(EngineError, match="groups do not divide the inputs"):
        make_plan(graph.build())
