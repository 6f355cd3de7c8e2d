"""Sums of products are exact: in the cheaper float type wherever it holds all integers that they may be."""

import numpy as np
import pytest
import torch

from bitwright.graph import Node, Value
from bitwright.prepared.ops.op import IntegerCall
from bitwright.qtensor import QType

VALUE = Value((4,), QType("uint8", 1.0, 0))


def call(bound: int | None) -> IntegerCall:
    return IntegerCall(Node("it", "linear", ("x",)), {}, [VALUE], VALUE, [torch.zeros(1, 4)], bound)


@pytest.mark.parametrize("bound", [1, 1000, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 2, 2**25 - 1, 2**25 + 1, 2**31 - 1])
def test_every_sum_up_to_the_bound_is_a_number_of_the_type(bound: int) -> None:
    near = np.unique(np.clip([bound - 2, bound - 1, bound, 2**24 - 1, 2**24 + 1, 2**25 - 1], 0, bound))
    found = torch.from_numpy(near).to(call(bound).exact_dtype)
    assert found.tolist() == near.tolist()


def test_small_sums_are_cheap() -> None:
    assert call(2**24 - 1).exact_dtype == torch.float32
    assert call(None).exact_dtype == torch.float64
