"""group_norm where its integers end, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from bitwright.capture import capture
from bitwright.engine.native import make_plan
from bitwright.errors import EngineError
from bitwright.graph import INPUT, Graph, Node, Value
from bitwright.ops.group_norm import MOST_NUMBERS
from bitwright.qtensor import QType
from tests.conformance.ops.case import FULL, U8, Case, f32, refuse
from tests.conformance.ops.cases import CASES
from tests.kernels.agreement import available


def test_they_are_captured_as_what_they_are() -> None:
    norms = nn.GroupNorm(4, 8), nn.InstanceNorm2d(8), nn.InstanceNorm2d(8, track_running_stats=True)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), *norms, nn.Flatten())
    found = [(node.op, node.attrs.get("groups")) for node in capture(model, (3, 5, 4)).nodes[1:4]]
    assert found == [("group_norm", 4), ("group_norm", 8), ("batch_norm", None)]


def extreme(numbers: int, code: int, zero_point: int) -> Case:
    """A group of so many codes, all but one of them at one end."""
    x = np.full((1, 1, numbers // 2048, 2048), code, np.uint8)
    x[0, 0, 0, 0] = 255 - code
    value = Value(x.shape[1:], replace(U8, zero_point=zero_point))
    tensors = {"m": f32(0.01), "b": f32(128), "e": f32(1)}
    node = Node("norm", "group_norm", ("x0",), {"groups": 1, **FULL}, tensors)
    return Case(node, (value,), Value(value.shape, U8), (x,))


@pytest.mark.parametrize(("code", "zero_point"), [(0, 255), (255, 0)])
def test_the_largest_group_is_exact_and_a_larger_one_is_refused(code: int, zero_point: int) -> None:
    case = extreme(MOST_NUMBERS, code, zero_point)
    case.validate()
    n = MOST_NUMBERS
    t = np.float32(n * (255 - 2 * code) - (255 - 2 * code)) * np.float32(1 / np.sqrt(float(255**2 * (n - 1)) + 1.0))
    expected = np.rint(t * np.float32(0.01) + np.float32(128))
    assert 0 < expected < 255
    picture = np.zeros((1, 1, 1, 1), np.uint8)
    for isa in available():
        found = np.asarray(make_plan(graph_of(case), 1, isa=isa).run(picture))
        assert found[0, 0, 0, 0] == expected
        assert (found.reshape(-1)[1:] == 128).all()
    larger = extreme(MOST_NUMBERS + 2048, code, zero_point)
    refuse(larger, "overflow int32")
    with pytest.raises(EngineError, match="overflow int32"):
        make_plan(graph_of(larger), 1)


def graph_of(case: Case) -> Graph:
    """The node with a constant as its input."""
    constant = Node("x0", "constant", (), {}, {"codes": case.xs[0][0]})
    image = Value((1, 1, 1), QType("uint8", (1.0,), (0,), (0.0,)))
    return Graph((constant, case.node), {INPUT: image, "x0": case.inputs[0], "norm": case.output}, "norm")


def test_the_reference_is_exact_for_the_largest_group() -> None:
    case = extreme(MOST_NUMBERS, 255, 0)
    found = case.run().reshape(-1)
    assert found[0] != 128
    assert (found[1:] == 128).all()


@pytest.mark.parametrize(
    "tensors", [{"e": f32(0)}, {"e": f32(-1)}, {"e": f32(np.nan)}, {"e": f32(1, 1)}, {"m": f32(1)}, {"b": f32(1)}]
)
def test_tensors_that_do_not_fit_are_refused(tensors: dict[str, np.ndarray]) -> None:
    refuse(CASES["group_norm-planes"].with_tensors(**tensors))


@pytest.mark.parametrize("groups", [0, 4, 7])
def test_groups_that_do_not_divide_the_channels_are_refused(groups: int) -> None:
    refuse(CASES["group_norm-planes"].with_attrs(groups=groups), "groups")
