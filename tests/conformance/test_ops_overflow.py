"""Accumulators are exact up to int32, and what could leave it is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitwright.errors import OverflowBoundError
from bitwright.graph import Node, Value
from bitwright.qtensor import QType
from tests.conformance.ops.case import FULL, U8, Case, f32, refuse
from tests.conformance.ops.cases import FIRST


def test_the_overflow_bound_is_that_of_a_group():
    c = wide_linear(40_000, 0, 1, 255)
    halves = c.with_tensors(weight=np.full((1, 80_000), 127, np.int8), m=np.ones((1, 2), np.float32))
    halves = replace(halves, inputs=(Value((80_000,), c.inputs[0].type),))
    halves.validate()
    with pytest.raises(OverflowBoundError):
        halves.with_tensors(m=np.ones(1, np.float32)).validate()


def wide_linear(inputs: int, zero_point: int, sign: int, code: int) -> Case:
    x = Value((inputs,), QType("uint8", 1.0, zero_point))
    tensors = {"weight": np.full((1, inputs), sign * 127, np.int8), "m": f32(1), "b": f32(0)}
    node = Node("wide", "linear", ("x0",), {"weights": "int8", **FULL}, tensors)
    return Case(node, (x,), Value((1,), None), (np.full((1, inputs), code, np.uint8),))


@pytest.mark.parametrize(("zero_point", "code"), [(0, 255), (255, 0), (128, 0), (100, 255)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_widest_linear_layer_that_fits_is_exact_and_the_next_is_refused(zero_point, code, sign):
    reach = max(zero_point, 255 - zero_point)
    inputs = (2**31 - 1) // (127 * reach)
    fits = wide_linear(inputs, zero_point, sign, code)
    fits.validate()
    exact = inputs * sign * 127 * (code - zero_point)
    assert 2**31 - 127 * 255 - 1 < abs(exact) < 2**31
    assert fits.run().item() == np.float32(np.int32(exact))
    with pytest.raises(OverflowBoundError, match="wide"):
        wide_linear(inputs + 1, zero_point, sign, code).validate()


def test_the_accumulator_is_exact_in_int32_where_float32_is_not():
    inputs = (2**31 - 1) // (127 * 255)
    c = wide_linear(inputs, 0, 1, 255)
    xs = c.xs[0].copy()
    xs[0, 0] = 254
    weight = c.node.tensors["weight"].copy()
    weight[0, 1:] = -127
    weight[0, : inputs // 2] = 127
    acc = int(xs[0].astype(np.int64) @ weight[0].astype(np.int64))
    assert replace(c.with_tensors(weight=weight), xs=(xs,)).run().item() == np.float32(acc)


def wide_conv2d(inputs: int, groups: int = 1) -> Case:
    x = Value((inputs * groups, 3, 3), QType("uint8", 1.0, 255))
    weight = np.full((2 * groups, inputs, 3, 3), -127, np.int8)
    attrs: dict[str, Any] = {
        "stride": (1, 1),
        "padding": (0,) * 4,
        "dilation": (1, 1),
        "groups": groups,
        "weights": "int8",
        **FULL,
    }
    tensors: dict[str, np.ndarray] = {
        "weight": weight,
        "m": np.ones(2 * groups, np.float32),
        "b": np.zeros(2 * groups, np.float32),
    }
    node = Node("wide", "conv2d", ("x0",), attrs, tensors)
    return Case(node, (x,), Value((2 * groups, 1, 1), None), (np.zeros((1, *x.shape), np.uint8),))


@pytest.mark.parametrize("groups", [1, 2])
def test_the_widest_convolution_that_fits_is_exact_and_the_next_is_refused(groups):
    inputs = (2**31 - 1) // (127 * 255 * 9)
    fits = wide_conv2d(inputs, groups)
    fits.validate()
    np.testing.assert_array_equal(fits.run().reshape(-1), np.float32(np.int32(inputs * 9 * 127 * 255)))
    with pytest.raises(OverflowBoundError, match="wide"):
        wide_conv2d(inputs + 1, groups).validate()


def test_the_bound_is_that_of_the_widest_channel_alone():
    c = wide_linear((2**31 - 1) // (127 * 255), 0, 1, 255)
    weight = np.concatenate([c.node.tensors["weight"]] * 3)
    three = replace(c.with_tensors(weight=weight, m=f32(1, 1, 1), b=f32(0, 0, 0)), output=Value((3,), None))
    three.validate()
    np.testing.assert_array_equal(three.run()[:, :1], c.run())


@pytest.mark.parametrize(("height", "fits"), [(2**11, True), (2**11 + 1, False)])
def test_the_widest_global_average(height, fits):
    c = FIRST["global_avg_pool2d"]
    c = replace(c, inputs=(Value((5, height, 2**11), U8),))
    if fits:
        c.validate()
    else:
        refuse(c, "overflow")
