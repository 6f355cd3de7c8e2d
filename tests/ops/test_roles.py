"""What an operand is for: every op says it of each of its operands."""

import pytest

from bitwright.errors import GraphError
from bitwright.graph import Node
from bitwright.ops import OPS, float_op, integer_op, operand, roles_of, source


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_operand_has_a_role(op):
    least, most = op.arity
    assert len(op.roles) <= most
    assert (op.roles == ()) == (most == 0)
    if most:
        assert op.roles[0] == "codes"
        assert least >= 1
    if least < most:
        last = "residual" if len(op.roles) == most else "summand"  # the last role is that of all further operands
        assert op.roles[-1] == last or len(op.roles) == 1, "an operand that may be missing needs a role of its own"


@pytest.mark.parametrize(
    ("op", "inputs", "roles"),
    [
        ("conv2d", ("x",), {"codes": "x", "residual": None}),
        ("linear", ("x", "r"), {"codes": "x", "residual": "r"}),
        ("mul", ("x", "f"), {"codes": "x", "factor": "f", "residual": None}),
        ("add", ("a", "b"), {"codes": "a", "addend": "b", "residual": None}),
        ("concat", ("a", "b", "c"), {"codes": "a"}),
        ("constant", (), {"codes": None, "residual": None}),
    ],
)
def test_an_operand_is_found_by_its_role(op, inputs, roles):
    node = Node("it", op, inputs)
    assert {role: operand(node, role) for role in roles} == roles
    if inputs:
        assert source(node) == inputs[0]


def test_a_value_may_be_read_in_several_roles():
    assert roles_of(Node("it", "conv2d", ("x", "x")), "x") == {"codes", "residual"}
    assert roles_of(Node("it", "concat", ("x", "x")), "x") == {"codes"}
    assert roles_of(Node("it", "conv2d", ("x", "y")), "y") == {"residual"}
    assert roles_of(Node("it", "conv2d", ("x", "y")), "z") == set()


@pytest.mark.parametrize("look_up", [float_op, integer_op])
def test_an_op_that_there_is_not_is_named(look_up):
    with pytest.raises(GraphError, match="node 'it': 'erosion' is no"):
        look_up(Node("it", "erosion", ("x",)))
