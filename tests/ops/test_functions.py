"""The table of functions: NumPy's and PyTorch's are the same function, with the same defaults, for every name in it."""

from typing import Any

import numpy as np
import pytest
import torch

from bitwright.errors import GraphError
from bitwright.graph import Node, Value
from bitwright.ops.function import Function, Result, Step, compute
from bitwright.ops.functions import FUNCTIONS, NEVER_NEGATIVE
from bitwright.prepared.ops.function import float_function
from bitwright.prepared.ops.op import FloatCall
from bitwright.qtensor import QType

X = np.array([-25.0, -3.0, -2.5, -1.0, -0.5, -0.1, 0.0, 0.1, 0.3, 0.5, 0.9, 1.0, 2.0, 2.5, 4.0, 25.0])
ARGUMENTS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "celu": [((), {}), ((2.0,), {})],
    "clamp": [((-0.5, 2.0), {}), ((None, 1.0), {}), ((), {"min": 0.2})],
    "clamp_max": [((0.7,), {})],
    "clamp_min": [((0.7,), {})],
    "elu": [((), {}), ((0.5,), {}), ((0.5, 2.0, 3.0), {})],
    "gelu": [((), {}), ((), {"approximate": "tanh"})],
    "hardshrink": [((), {}), ((0.2,), {})],
    "hardtanh": [((), {}), ((-2.0, 0.3), {})],
    "leaky_relu": [((), {}), ((0.3,), {})],
    "logit": [((), {}), ((0.1,), {})],
    "nan_to_num": [((), {}), ((1.0, 2.0, 3.0), {})],
    "round": [((), {}), ((), {"decimals": 1})],
    "rrelu": [((), {}), ((0.1, 0.5), {})],
    "softplus": [((), {}), ((0.5, 3.0), {})],
    "softshrink": [((), {}), ((0.2,), {})],
    "threshold": [((0.2, 7.0), {})],
}
Y = np.roll(X, 3) + 0.25
TWO: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "add": [((Y,), {}), ((Y,), {"alpha": 2}), ((1.5,), {})],
    "div": [((Y,), {}), ((Y,), {"rounding_mode": "floor"}), ((Y,), {"rounding_mode": "trunc"}), ((3,), {})],
    "lerp": [((Y, 0.3), {})],
    "masked_fill": [((Y > 0, 0.5), {})],
    "pow": [((2,), {}), ((0.5,), {}), ((-1.5,), {}), ((Y,), {})],
    "rsub": [((1.5,), {}), ((1.5,), {"alpha": 2})],
    "sub": [((Y,), {}), ((Y,), {"alpha": 2}), ((1.5,), {})],
}
TENSORS = ("atan2", "copysign", "fmod", "hypot", "logaddexp", "logical_and", "logical_or", "maximum", "minimum")
COMPARISONS = ("eq", "floor_divide", "ge", "gt", "le", "lt", "mul", "ne", "remainder")
CALLS = {
    name: ARGUMENTS.get(name) or TWO.get(name) or [((), {})] for name in FUNCTIONS if name not in ("where", "lookup")
}
CALLS |= {name: [((Y,), {})] for name in (*TENSORS, *COMPARISONS)}
CALLS |= {name: [*CALLS[name], ((0.5,), {})] for name in COMPARISONS}


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [(name, *call) for name, calls in CALLS.items() for call in calls],
    ids=[f"{name}-{i}" for name, calls in CALLS.items() for i in range(len(calls))],
)
def test_numpy_and_torch_compute_the_same(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]):
    """Wherever torch's function is finite; ours may give up earlier, as math.lgamma does at its poles."""
    with np.errstate(all="ignore"):
        found = np.asarray(FUNCTIONS[name](X, *args, **kwargs), float)
    tensors = [torch.from_numpy(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
    expected = getattr(torch.ops.aten, name)(torch.from_numpy(X), *tensors, **kwargs).double().numpy()
    finite = np.isfinite(expected)
    assert finite.sum() >= 3
    np.testing.assert_allclose(found[finite], expected[finite], rtol=1e-12, atol=1e-14)
    assert not np.isfinite(found[~finite]).any()
    if name in NEVER_NEGATIVE:
        assert found[np.isfinite(found)].min() >= 0


@pytest.mark.parametrize(("a", "b"), [(0.0, X), (X, 7), (X, X * 2)])
def test_where(a: Any, b: Any):
    tensors = [torch.from_numpy(v) if isinstance(v, np.ndarray) else v for v in (X > 0.2, a, b)]
    np.testing.assert_array_equal(FUNCTIONS["where"](X > 0.2, a, b), torch.ops.aten.where(*tensors).numpy())


def test_a_table_goes_in_straight_lines_between_its_entries():
    """`lookup` has no name in ATen."""
    table, types = tuple(range(255, -1, -1)), (0.25, 100, 0.5, 7)
    x = np.array([-1000.0, -25.0, 0.0, 0.125, 0.25, 1000.0])
    expected = np.array([248.0, 248.0, 148.0, 147.5, 147.0, -7.0]) * 0.5
    np.testing.assert_array_equal(FUNCTIONS["lookup"](x, table, *types), expected)
    found = float_function(
        FloatCall("function", {"steps": (Step("lookup", (Result(0), table, *types)),)}, {}, [torch.from_numpy(x)])
    )
    np.testing.assert_array_equal(found.numpy(), expected)


def test_a_power_may_have_the_value_as_its_exponent():
    np.testing.assert_allclose(FUNCTIONS["pow"](2, X), torch.ops.aten.pow(2, torch.from_numpy(X)).numpy())


def of(x: np.ndarray, *steps: Step) -> np.ndarray:
    return Function().function(x, Node("it", "function", ("x",), {"steps": steps}))


def test_steps_read_numbers_and_earlier_steps():
    steps = (Step("abs"), Step("add", (Result(1), 1)), Step("div", (Result(0), Result(2))))
    np.testing.assert_allclose(of(X, *steps), X / (1 + np.abs(X)))
    assert compute(steps, 3.0, lambda name, *args: (name, *args), list) == ("div", 3.0, ("add", ("abs", 3.0), 1))


def test_where_a_function_is_not_finite_the_nearest_argument_counts():
    x = np.array([-2.0, -1.0, 0.0, 0.5, 1.0])
    np.testing.assert_allclose(of(x, Step("log")), np.log([0.5, 0.5, 0.5, 0.5, 1.0]))
    np.testing.assert_allclose(of(x, Step("reciprocal")), [-0.5, -1, -1, 2, 1])
    np.testing.assert_allclose(of(x, Step("acos")), np.arccos([-1.0, -1.0, 0.0, 0.5, 1.0]))
    np.testing.assert_allclose(of(x[::-1], Step("sqrt")), np.sqrt([1.0, 0.5, 0, 0, 0]))
    np.testing.assert_allclose(of(np.array([[0.0, 1.0], [1.0, 0.0]]), Step("log")), 0)


def test_a_function_that_is_finite_nowhere_is_refused():
    node = Node("it", "function", ("x",), {"steps": (Step("log"),)})
    with pytest.raises(GraphError, match=r"node 'it' \(log\): not finite for any number that its input can hold"):
        Function().lower(node, [Value((3,), QType("uint8", 1.0, 255))], Value((3,), QType("uint8", 1.0, 0)))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((Step("abs"),), True),
        ((Step("neg"),), False),
        ((Step("neg"), Step("exp", (Result(1),))), True),
        ((Step("abs"), Step("sub", (Result(1), 3))), False),
        ((Step("sub", (Result(0), 1)), Step("neg", (Result(1),)), Step("square", (Result(2),))), True),
    ],
    ids=lambda value: "-".join(step.name for step in value) if isinstance(value, tuple) else str(value),
)
def test_a_function_is_never_negative_by_its_last_step(steps: tuple[Step, ...], expected: bool):
    """One-bit codes behind it are 0 and 1 then, else -1 and 1; the numbers themselves agree."""
    assert Function().never_negative(Node("it", "function", ("x",), {"steps": steps})) == expected
    assert (of(X, *steps).min() >= 0) == expected
