"""Every float op lowers to integers that are within half a step of its real function."""

from dataclasses import replace

import numpy as np
import pytest

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops import FLOAT_OPS, INTEGER_OPS
from bitwright.qtensor import QType, to_codes, to_real
from tests.conformance.ops.case import codes
from tests.conformance.ops.cases import FLOAT_CASES, FLOAT_MAKERS, every_float_case
from tests.conformance.ops.float_case import FloatCase, X, Y, column
from tests.conformance.ops.tables import sigmoid


def lower(case: FloatCase) -> Node:
    return FLOAT_OPS[case.node.op].lower(case.node, list(case.inputs), case.output)


def real_of(x: np.ndarray, type_: QType) -> np.ndarray:
    if not type_.per_channel:
        return to_real(x, type_)
    scale, zero_point, offset = (column(v, x.ndim) for v in (type_.scale, type_.zero_point, type_.offset))
    return (x.astype(float) - zero_point) * scale + offset


def test_every_float_op_is_covered():
    assert set(FLOAT_MAKERS) == set(FLOAT_OPS)


@every_float_case
def test_a_float_op_infers_the_shape_of_its_result(case):
    assert FLOAT_OPS[case.node.op].infer(case.node, case.inputs) == replace(case.output, type=None)


@every_float_case
def test_what_lower_gives_is_valid(case):
    node = lower(case)
    assert (node.name, node.inputs, node.origin) == (case.node.name, case.node.inputs, case.node.origin)
    INTEGER_OPS[node.op].validate(node, list(case.inputs), case.output)


@every_float_case
def test_the_integers_are_within_half_a_step_of_the_real_function(case):
    rng = np.random.default_rng(11)
    xs = [codes(rng, value) for value in case.inputs]
    node = lower(case)
    found = INTEGER_OPS[node.op].run(node, xs, list(case.inputs), case.output)
    real = case.function(*(real_of(x, value.type) for x, value in zip(xs, case.inputs, strict=True)))
    assert found.shape == real.shape
    type_ = case.output.type
    if type_ is None:
        np.testing.assert_allclose(found, real, rtol=1e-4, atol=1e-5)
        return
    ends = to_real(np.array([type_.codes.lo, type_.codes.hi], np.uint8), type_)
    error = np.abs(to_real(found, type_) - np.clip(real, *ends)) / type_.scale
    assert error.max() < case.steps
    assert len(np.unique(found)) > 1


@every_float_case
def test_lower_leaves_the_float_node_alone_and_is_deterministic(case):
    before = {key: np.array(tensor) for key, tensor in case.node.tensors.items()}
    first, second = lower(case), lower(case)
    assert first.attrs == second.attrs
    for key, tensor in first.tensors.items():
        np.testing.assert_array_equal(tensor, second.tensors[key])
    for key, tensor in before.items():
        np.testing.assert_array_equal(case.node.tensors[key], tensor)


@every_float_case
def test_ops_that_pass_the_type_leave_codes_as_they_are(case):
    if FLOAT_OPS[case.node.op].passes_type:
        assert {value.type for value in case.inputs} == {case.output.type}
        assert lower(case) is case.node


@pytest.mark.parametrize(
    "name",
    [n for n, c in FLOAT_CASES.items() if FLOAT_OPS[c.node.op].has_epilogue and n.endswith(("float32", "None"))],
)
def test_a_clamp_is_never_dropped(name):
    """A float32 result does not use lo and hi, so a clamp that was fused into it must be refused or kept."""
    c = FLOAT_CASES[name]
    if c.output.type is not None:
        c = replace(c, output=replace(c.output, type=None))
    c = replace(c, node=c.node.with_attrs(clamp=(0, None)))
    try:
        node = lower(c)
    except GraphError:
        return
    xs = [codes(np.random.default_rng(5), value) for value in c.inputs]
    assert INTEGER_OPS[node.op].run(node, xs, list(c.inputs), c.output).min() >= 0


@pytest.mark.parametrize(
    "name", [n for n in FLOAT_CASES if FLOAT_CASES[n].node.op not in INTEGER_OPS and n.endswith("image")]
)
def test_a_table_cannot_give_float32(name):
    c = FLOAT_CASES[name]
    with pytest.raises(GraphError, match="codes"):
        lower(replace(c, output=replace(c.output, type=None)))


def test_tables_hold_zero_past_the_greatest_code():
    table = lower(FLOAT_CASES["function-sigmoid-uint3-1.0-"]).tensors["table"]
    assert table[:8].any()
    assert not table[8:].any()


def test_a_table_rounds_like_to_codes():
    c = FLOAT_CASES["function-sigmoid-uint8-0.02-"]
    real = [sigmoid(v) for v in to_real(np.arange(256, dtype=np.uint8), X)]
    np.testing.assert_array_equal(lower(c).tensors["table"], to_codes(np.array(real), Y))


def test_a_weight_is_rounded_half_to_even_and_clipped_to_its_scheme():
    weight = np.array([[0.5, 1.5, 2.5, -0.5, -1.5, 9.0, -9.0]])
    node = Node("it", "linear", ("x0",), {"weights": "int3"}, {"weight": weight, "weight_scale": np.ones(1)})
    found = FLOAT_OPS["linear"].lower(node, [Value((7,), X)], Value((1,), Y)).tensors["weight"]
    assert found.dtype == np.int8
    assert found.tolist() == [[0, 2, 2, 0, -2, 3, -3]]


def test_multipliers_too_small_for_a_normal_float32_become_zero():
    x, y = QType("uint8", 2e-38, 0), QType("uint8", 1e3, 0)
    node = Node("it", "add", ("x0", "x1"))
    found = FLOAT_OPS["add"].lower(node, [Value((2,), x), Value((2,), x)], Value((2,), y))
    assert found.tensors["m_a"].tolist() == [0.0]
