"""layer_norm where its integers end, and what it refuses."""

import numpy as np
import pytest

from bitwright.engine.native import make_plan
from bitwright.errors import EngineError
from bitwright.graph import INPUT, Graph, Node, Value
from bitwright.ops.layer_norm import MOST_CHANNELS
from bitwright.qtensor import QType
from tests.conformance.ops.case import FULL, U8, Case, f32, refuse
from tests.conformance.ops.cases import CASES
from tests.kernels.agreement import available


def extreme(channels: int, code: int) -> Case:
    """A token of so many codes, all but one of them at one end."""
    x = np.full((1, 1, channels), code, np.uint8)
    x[0, 0, 0] = 255 - code
    value = Value(x.shape[1:], QType("uint8", 1.0, 255 - code), 1)
    tensors = {
        "m": np.full(channels, 0.3, np.float32),
        "b": np.full(channels, 128, np.float32),
        "e": f32(1),
    }
    return Case(Node("norm", "layer_norm", ("x0",), FULL, tensors), (value,), Value(value.shape, U8, 1), (x,))


def graph_of(case: Case) -> Graph:
    """The node with a constant as its input."""
    constant = Node("x0", "constant", (), {}, {"codes": case.xs[0][0]})
    image = Value((1, 1, 1), QType("uint8", (1.0,), (0,), (0.0,)))
    return Graph((constant, case.node), {INPUT: image, "x0": case.inputs[0], "norm": case.output}, "norm")


@pytest.mark.parametrize("code", [0, 255])
def test_the_widest_token_is_exact_and_a_wider_one_is_refused(code: int) -> None:
    case, n = extreme(MOST_CHANNELS, code), MOST_CHANNELS
    case.validate()
    x = 255 if code else -255
    t = np.float32(-x * (n - 1)) * np.float32(1 / np.sqrt(float(x * x * (n - 1)) + 1.0))
    expected = np.rint(t * np.float32(0.3) + np.float32(128))
    assert 0 < expected < 255
    assert expected != 128
    assert case.run()[0, 0, 0] == expected
    for isa in available():
        found = np.asarray(make_plan(graph_of(case), 1, isa=isa).run(np.zeros((1, 1, 1, 1), np.uint8)))
        assert found[0, 0, 0] == expected
        assert (found[0, 0, 1:] == 128).all()
    wider = extreme(MOST_CHANNELS + 1, code)
    refuse(wider, "overflow int32")
    with pytest.raises(EngineError, match="overflow int32"):
        make_plan(graph_of(wider), 1)


@pytest.mark.parametrize(
    "tensors",
    [
        *({"e": f32(0)}, {"e": f32(-1)}, {"e": f32(np.nan)}, {"e": f32(1, 1)}, {"m": f32(1)}, {"b": f32(1)}),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tensors: dict[str, np.ndarray]) -> None:
    case = CASES["layer_norm-tokens"].with_tensors(**tensors)
    refuse(case)
    with pytest.raises(EngineError):
        make_plan(graph_of(Case(Node("norm", "layer_norm", ("x0",), FULL, case.node.tensors), *vars_of(case))), 1)


def test_a_sum_that_could_be_too_large_is_refused() -> None:
    case = CASES["layer_norm-sum-as-large-as-it-can-be"]
    larger = case.with_tensors(m_x=case.node.tensors["m_x"] * np.float32(1.001))
    refuse(larger, "a sum could exceed 4194048")
    refuse(case.with_tensors(m_x=f32(1, 1, 1)), "m_x must be")
    one_channel = np.outer(case.node.tensors["m_x"], np.ones(130)).astype(np.float32)
    case.with_tensors(m_x=one_channel).validate()
    one_channel[:, 77] *= np.float32(1.001)
    refuse(case.with_tensors(m_x=one_channel), "a sum could exceed 4194048")
    refuse(case.with_tensors(m_x=one_channel[:, :129]), "m_x must be")
    wrongs = ({"m_x": f32(1, 1, 1)}, {"m_x": one_channel}, {"m_x": one_channel[:, :129]}, {"m_x": one_channel[:1]})
    for wrong in (larger, *(case.with_tensors(**tensors) for tensors in wrongs)):
        constants = [Node(f"x{i}", "constant", (), {}, {"codes": x[0]}) for i, x in enumerate(case.xs)]
        image = Value((1, 1, 1), QType("uint8", (1.0,), (0,), (0.0,)))
        values = {INPUT: image, "it": case.output, **{f"x{i}": value for i, value in enumerate(case.inputs)}}
        with pytest.raises(EngineError, match="node 'it'"):
            make_plan(Graph((*constants, wrong.node), values, "it"), 1)


def vars_of(case: Case) -> tuple[tuple[Value, ...], Value, tuple[np.ndarray, ...]]:
    return case.inputs, case.output, case.xs
