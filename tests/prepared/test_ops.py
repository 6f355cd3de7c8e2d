"""Every op has its functions in PyTorch, in a file of its name; `test_equality.py` shows that they are right."""

import pytest
import torch

from bitwright.errors import GraphError
from bitwright.graph import Node
from bitwright.ops import FLOAT_OPS, INTEGER_OPS, OPS
from bitwright.prepared.ops import TORCH_OPS, float_function, integer_function, load, windows


def test_the_table_has_a_row_for_every_op():
    assert set(TORCH_OPS) == set(OPS)
    assert {name for name, op in TORCH_OPS.items() if op.float_function is not None} == set(FLOAT_OPS)
    assert {name for name, op in TORCH_OPS.items() if op.integer_function is not None} == set(INTEGER_OPS)


@pytest.mark.parametrize("name", OPS)
def test_an_op_is_one_file_of_its_name(name):
    assert TORCH_OPS[name].name == name
    assert type(OPS[name]).__module__ == f"bitwright.ops.{name}"


def test_an_op_without_a_file_is_named():
    with pytest.raises(
        GraphError, match=r"op 'erosion' has no file in PyTorch; expected bitwright/prepared/ops/erosion\.py"
    ):
        load("erosion")


@pytest.mark.parametrize("name", ["erosion", "table"])
def test_an_op_without_a_float_function_is_named(name):
    with pytest.raises(GraphError, match=f"'{name}' has no float function"):
        float_function(name)


@pytest.mark.parametrize("name", ["erosion", "clamp"])
def test_an_op_without_an_integer_function_is_named(name):
    with pytest.raises(GraphError, match=f"'{name}' has no integer function"):
        integer_function(name)


def test_an_op_without_a_weight_has_no_windows():
    with pytest.raises(GraphError, match="'add' has no windows"):
        windows(Node("it", "add", ("a", "b")), torch.zeros(1))
