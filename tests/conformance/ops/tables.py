"""table, and the functions of one number that lower to it: cases, the contract, and their real functions."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bitwright.graph import Node, Value
from bitwright.ops.function import Column, Result, Step
from bitwright.ops.op import codes_of
from bitwright.qtensor import QType
from tests.conformance.ops.case import IMAGE3, U8, Case, case
from tests.conformance.ops.float_case import FloatCase, X, Y, column
from tests.conformance.ops.row import Row
from tests.kernels.random_graph import RandomGraph


def table_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, x, y):
        shape_of_table = (*shape[: int(x.per_channel)], 256)
        table = rng.integers(0, y.codes.hi + 1, shape_of_table).astype(np.uint8)
        table.flat[0], table.flat[-1] = y.codes.hi, 0
        return case(rng, "table", [Value(shape, x)], Value(shape, y), {}, {"table": table})

    yield "planes", make((3, 4, 4), U8, QType("uint8", 0.1, 3))
    yield "features", make((9,), U8, U8)
    yield "uint4-to-uint2", make((3, 4, 4), QType("uint4", 1.0, 0), QType("uint2", 1.0, 3))
    yield "image", make((3, 4, 4), IMAGE3, QType("uint4", 1.0, 3))
    tokens = Value((6, 5), U8, 1)
    table = rng.integers(0, 256, (5, 256)).astype(np.uint8)
    yield "tokens", case(rng, "table", [tokens], tokens, {}, {"table": table})


def slow_table(case: Case, index) -> Any:
    table = case.node.tensors["table"]
    return (table if table.ndim == 1 else table[index[case.output.axis]])[case.xs[0][index]]


def prelu_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, x, y):
        tensors = {key: rng.normal(size=shape[0]).astype(np.float32) for key in ("slope", "before", "after")}
        return case(rng, "prelu", [Value(shape, x)], Value(shape, y), {}, tensors)

    yield "planes", make((3, 4, 4), U8, QType("uint8", 0.1, 3))
    yield "features", make((9,), U8, QType("uint8", 0.02, 128))
    yield "uint4-to-uint2", make((3, 4, 4), QType("uint4", 0.3, 5), QType("uint2", 0.5, 1))
    yield "signs", make((3, 4, 4), QType("uint8", 0.02, 100), QType("binary", 0.7, 1))
    yield "image", make((3, 4, 4), IMAGE3, QType("uint4", 0.2, 7))
    tokens = Value((6, 5), U8, 1)
    tensors = {key: rng.normal(size=5).astype(np.float32) for key in ("slope", "before", "after")}
    yield "tokens", case(rng, "prelu", [tokens], tokens, {}, tensors)


def slow_prelu(case: Case, index) -> Any:
    x, y, channel = codes_of(case.inputs[0]), codes_of(case.output), index[case.output.axis]
    slope, before, after = (float(case.node.tensors[key][channel]) for key in ("slope", "before", "after"))
    scale, zero_point, offset = (
        v[channel] if isinstance(v, tuple) else v for v in (x.scale, x.zero_point, x.offset if x.per_channel else 0.0)
    )
    shifted = (x.step * int(case.xs[0][index]) - zero_point) * scale + offset + before
    real = (shifted if shifted > 0 else shifted * slope) + after
    return min(max(round(real / y.one_unit + y.one_shift), 0), y.codes.hi)


def grow_prelu(g: RandomGraph, x: str) -> str:
    tensors = {key: g.rng.normal(size=g.values[x].channels).astype(np.float32) for key in ("slope", "before", "after")}
    return g.node("prelu", (x,), {}, tensors, QType("uint8", 0.02, 128))


def float_prelu(rng) -> Iterator[tuple[str, FloatCase]]:
    def make(shape, slope, *shifts):
        tensors = {"slope": slope.astype(np.float32)}
        tensors |= {key: rng.normal(size=shape[0]).astype(np.float32) for key in shifts}

        def function(x):
            y = x + column(tensors.get("before", 0), x.ndim)
            return np.where(y > 0, y, y * column(tensors["slope"], x.ndim)) + column(tensors.get("after", 0), x.ndim)

        return FloatCase(Node("it", "prelu", ("x0",), {}, tensors), (Value(shape, X),), Value(shape, Y), function)

    yield "planes", make((3, 4, 4), rng.normal(size=3))
    yield "one-slope", make((3, 4, 4), rng.normal(size=1))
    yield "features", make((5,), rng.normal(size=5), "before")
    yield "rprelu", make((3, 4, 4), rng.normal(size=3), "before", "after")
    yield "one-slope-shifted", make((3, 4, 4), rng.normal(size=1), "after")


def float_unary(
    op: str, function: Callable[..., float], variants: tuple[dict[str, Any], ...] = ({},), labels: tuple[str, ...] = ()
):
    """Cases of a function of one number, for each of these attributes; `function` takes a number and the attributes."""

    def make(rng) -> Iterator[tuple[str, FloatCase]]:
        for attrs, name in zip(variants, labels or ["-".join(map(str, a.values())) for a in variants], strict=True):
            for x, y in (
                (X, Y),
                (QType("uint8", 0.2, 128), QType("uint8", 0.1, 20)),
                (QType("uint3", 1.0, 4), QType("uint4", 0.2, 2)),
            ):
                real = np.vectorize(lambda v, attrs=attrs: function(v, **attrs), otypes=[float])
                label = f"{x.scheme}-{x.scale}-{name}"
                yield label, FloatCase(Node("it", op, ("x0",), attrs), (Value((300,), x),), Value((300,), y), real)
        real = np.vectorize(lambda v: function(v, **variants[0]), otypes=[float])
        image = (Value((3, 8, 8), IMAGE3),)
        yield "image", FloatCase(Node("it", op, ("x0",), variants[0]), image, Value((3, 8, 8), Y), real)

    return make


def float_function(rng) -> Iterator[tuple[str, FloatCase]]:
    """Functions in one step, and one in three; `tests/ops/test_functions.py` has all that there are."""
    softsign = (Step("abs"), Step("add", (Result(1), 1)), Step("div", (Result(0), Result(2))))
    for label, steps, function in (
        ("sigmoid", (Step("sigmoid"),), sigmoid),
        ("hardswish", (Step("hardswish"),), lambda v: v * relu6(v + 3) / 6),
        ("hardsigmoid", (Step("hardsigmoid"),), lambda v: relu6(v + 3) / 6),
        ("silu", (Step("silu"),), lambda v: v * sigmoid(v)),
        ("gelu", (Step("gelu"),), lambda v: gelu(v, "none")),
        ("gelu-tanh", (Step("gelu", kwargs={"approximate": "tanh"}),), lambda v: gelu(v, "tanh")),
        ("leaky_relu", (Step("leaky_relu"),), lambda v: v if v > 0 else 0.01 * v),
        ("leaky_relu-slope", (Step("leaky_relu", (Result(0), -0.3)),), lambda v: v if v > 0 else -0.3 * v),
        ("softsign", softsign, lambda v: v / (1 + abs(v))),
    ):
        cases = float_unary("function", lambda v, steps, f=function: f(v), ({"steps": steps},), ("",))(rng)
        yield from ((f"{label}-{case}", found) for case, found in cases)
    exponents = rng.uniform(0.5, 3, 5)
    powers = (Step("abs"), Step("pow", (Result(1), Column(tuple(exponents)))))
    for shape, channel in (((5, 4, 3), 0), ((6, 5), 1)):
        value, typed = Value(shape, X, channel), Value(shape, Y, channel)
        tensors = {key: np.ones(5, np.float32) for key in ("reads", "writes") if channel}
        along = exponents.reshape([-1 if axis == channel else 1 for axis in range(len(shape))])
        node = Node("it", "function", ("x0",), {"steps": powers}, tensors)
        yield f"powers-of-channels-{channel}", FloatCase(node, (value,), typed, lambda v, p=along: np.abs(v) ** p)


def relu6(v: float) -> float:
    return min(max(v, 0.0), 6.0)


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def clamp_real(v: float, clamp) -> float:
    lo, hi = clamp
    v = v if lo is None else max(v, lo)
    return v if hi is None else min(v, hi)


def gelu(v: float, approximate: str) -> float:
    if approximate == "none":
        return v * 0.5 * math.erfc(-v / math.sqrt(2))
    return 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))


ROWS = (
    Row("table", table_cases, slow_table, lambda g, x: g.table(x, per_channel=True)),
    Row("prelu", prelu_cases, slow_prelu, grow_prelu, float_prelu),
    Row(
        "clamp",
        floats=float_unary("clamp", clamp_real, ({"clamp": (0, None)}, {"clamp": (0, 6)}, {"clamp": (None, 1.5)})),
    ),
    Row("function", floats=float_function),
    Row("quantize", floats=float_unary("quantize", lambda v: v)),
)
