"""The functions of every op in PyTorch: the integer one is `run` to the bit, the float one is the real function."""

import numpy as np
import pytest
import torch
from torch import Tensor

from bitwright.ops import OPS
from bitwright.ops.op import codes_of, worst_case
from bitwright.prepared.ops import float_function, integer_function
from bitwright.prepared.ops.op import FloatCall, IntegerCall
from tests.conformance.ops.case import Case, N
from tests.conformance.ops.cases import FLOAT_CASES, every_case
from tests.conformance.ops.float_case import FloatCase

DERIVED = ("weight_scale",)
"""What lowering adds to the tensors of a float node; its float function knows nothing of it."""


def in_torch(case: Case) -> Tensor:
    node = case.node
    tensors = {key: torch.from_numpy(np.array(tensor, np.float32)) for key, tensor in node.tensors.items()}
    xs = [torch.from_numpy(x.astype(np.float32)) for x in case.xs]
    bound = worst_case(node.tensors["weight"], codes_of(case.inputs[0])) if OPS[node.op].weighted else None
    return integer_function(node.op)(IntegerCall(node, tensors, list(case.inputs), case.output, xs, bound))


@every_case
def test_the_integer_function_is_the_reference_to_the_bit(case):
    found, expected = in_torch(case).numpy(), case.run()
    found = np.broadcast_to(found, (N, *case.output.shape))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    assert not (np.signbit(found) & (found == 0)).any() or expected.dtype == np.float32, "-0.0 is no code"


def floats(case: FloatCase, xs: list[np.ndarray]) -> Tensor:
    node = case.node
    tensors = {
        key: torch.from_numpy(np.array(tensor, np.float64))
        for key, tensor in node.tensors.items()
        if key not in DERIVED
    }
    call = FloatCall(node.op, node.attrs, tensors, [torch.from_numpy(x) for x in xs], case.output.axis)
    return float_function(node.op)(call)


def reads_pixels(case: FloatCase) -> bool:
    """Codes with a zero point for each channel: their padding is not zero, as that of floats is."""
    return any(value.type is not None and value.type.per_channel for value in case.inputs)


OF_FLOATS = {name: case for name, case in FLOAT_CASES.items() if not reads_pixels(case)}


@pytest.mark.parametrize("grad", [False, True], ids=["no-grad", "grad"])
@pytest.mark.parametrize("case", OF_FLOATS.values(), ids=OF_FLOATS)
def test_the_float_function_is_the_real_function(case, grad):
    rng = np.random.default_rng(2)
    xs = [rng.normal(size=(N, *value.shape)) for value in case.inputs]
    with torch.set_grad_enabled(grad):
        found = floats(case, [x.copy() for x in xs]).detach().numpy()
    np.testing.assert_allclose(found, case.function(*xs), rtol=1e-4, atol=1e-6)
