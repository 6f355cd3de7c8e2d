"""batch_norm, add, mul and dequantize: cases, the contract in plain loops, and their real functions."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bitwright.graph import Node, Value
from bitwright.qtensor import QType
from tests.conformance.ops.case import FULL, U8, Case, case, f32, signs
from tests.conformance.ops.contract import epilogue, finish, real_code
from tests.conformance.ops.float_case import EPS, FloatCase, X, Y, batch_norm_real, batch_norm_tensors
from tests.conformance.ops.row import Row


def batch_norm_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, *, x=U8, y=U8, bounds=FULL, channel=0):
        channels = shape[channel]
        tensors = {"m": signs(rng, channels, 1.0), "b": rng.uniform(0, 255, channels).astype(np.float32)}
        return case(rng, "batch_norm", [Value(shape, x, channel)], Value(shape, y, channel), bounds, tensors)

    yield "planes", make((3, 4, 5))
    yield "features", make((7,))
    yield "zero-point-0", make((3, 4, 5), x=QType("uint8", 1.0, 0), bounds={"lo": 3, "hi": 9})
    yield "zero-point-255", make((3, 4, 5), x=QType("uint8", 1.0, 255))
    yield "uint2", make((3, 4, 5), x=QType("uint2", 1.0, 3), y=QType("uint5", 1.0, 0), bounds={"lo": 0, "hi": 31})
    yield "float32", make((5,), y=None)
    yield "tokens", make((6, 4), channel=1)
    yield "heads", make((2, 3, 2, 4), channel=1)


def add_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, *, a=U8, b=U8, y=U8, bounds=FULL, m=(0.7, -1.3), channel=0):
        tensors = {"m_a": f32(m[0]), "m_b": f32(m[1])}
        values = (Value(shape, type_, channel) for type_ in (a, b, y))
        return case(rng, "add", [next(values), next(values)], next(values), bounds, tensors)

    yield "planes", make((3, 4, 5))
    yield "features", make((9,))
    yield (
        "zero-points",
        make((3, 4, 5), a=QType("uint8", 1.0, 0), b=QType("uint8", 1.0, 255), y=QType("uint8", 1.0, 255)),
    )
    yield (
        "schemes",
        make(
            (3, 4, 5),
            a=QType("uint2", 1.0, 1),
            b=QType("uint7", 1.0, 9),
            y=QType("uint3", 1.0, 2),
            bounds={"lo": 2, "hi": 7},
        ),
    )
    yield "ties", make((3, 4, 5), m=(0.5, 0.5))
    yield "float32", make((5,), y=None)
    yield "tokens", make((6, 4), channel=1)


def mul_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, b_shape=None, *, a=U8, b=U8, y=U8, bounds=FULL, m=0.013, channel=0):
        inputs = [Value(shape, a, channel), Value(b_shape or shape, b, channel)]
        return case(rng, "mul", inputs, Value(shape, y, channel), bounds, {"m": f32(m)})

    yield "planes", make((3, 4, 5))
    yield "per-channel", make((3, 4, 5), (3, 1, 1))
    yield "features", make((9,))
    yield (
        "zero-points",
        make((3, 4, 5), (3, 1, 1), a=QType("uint8", 1.0, 255), b=QType("uint8", 1.0, 0), y=QType("uint8", 1.0, 255)),
    )
    yield (
        "schemes",
        make(
            (3, 4, 5),
            a=QType("uint2", 1.0, 1),
            b=QType("uint7", 1.0, 9),
            y=QType("uint3", 1.0, 2),
            bounds={"lo": 2, "hi": 7},
        ),
    )
    yield "ties", make((3, 4, 5), a=QType("uint8", 1.0, 0), m=-0.5)
    yield "float32", make((5,), y=None)
    yield "tokens", make((6, 4), (1, 4), channel=1)


def dequantize_cases(rng) -> Iterator[tuple[str, Case]]:
    for zero_point, shape in ((0, (5,)), (128, (3, 2, 2)), (255, (5,))):
        x = Value(shape, QType("uint8", 1.0, zero_point))
        yield f"zero-point-{zero_point}", case(rng, "dequantize", [x], Value(shape, None), {}, {"m": f32(0.1)})
    yield "tokens", case(rng, "dequantize", [Value((6, 4), U8, 1)], Value((6, 4), None, 1), {}, {"m": f32(0.1)})


def slow_batch_norm(case: Case, index) -> Any:
    return epilogue(case, real_code(case, 0, index), index)


def slow_add(case: Case, index) -> Any:
    a = np.float32(real_code(case, 0, index)) * case.node.tensors["m_a"][0]
    b = np.float32(real_code(case, 1, index)) * case.node.tensors["m_b"][0]
    return finish(case, a + b, add_zero_point=True)


def slow_mul(case: Case, index) -> Any:
    at_b = tuple(min(i, size - 1) for i, size in zip(index, case.xs[1].shape, strict=True))
    exact = real_code(case, 0, index) * real_code(case, 1, at_b)
    return finish(case, np.float32(exact) * case.node.tensors["m"][0], add_zero_point=True)


def slow_dequantize(case: Case, index) -> Any:
    return np.float32(real_code(case, 0, index)) * case.node.tensors["m"][0]


def float_batch_norm(rng) -> Iterator[tuple[str, FloatCase]]:
    for shape, clamp, y in (((3, 4, 4), None, Y), ((7,), (0, 6), Y), ((4,), None, None)):
        tensors = batch_norm_tensors(rng, shape[0])
        attrs = {"eps": EPS} | ({"clamp": clamp} if clamp else {})

        def function(x, tensors=tensors, clamp=clamp):
            found = batch_norm_real(x, tensors, EPS)
            return np.clip(found, *clamp) if clamp else found

        node = Node("it", "batch_norm", ("x0",), attrs, tensors)
        yield f"{len(shape)}-{clamp}-{y and y.scheme}", FloatCase(node, (Value(shape, X),), Value(shape, y), function)
    tensors = batch_norm_tensors(rng, 4)

    def of_tokens(x, t=tensors):
        return batch_norm_real(x.swapaxes(1, 2), t, EPS).swapaxes(1, 2)

    node = Node("it", "batch_norm", ("x0",), {"eps": EPS}, tensors)
    yield "tokens", FloatCase(node, (Value((6, 4), X, 1),), Value((6, 4), Y, 1), of_tokens)


def float_elementwise(op: str, function: Callable[..., np.ndarray]):
    def make(rng) -> Iterator[tuple[str, FloatCase]]:
        b = QType("uint5", 0.11, 13)
        for label, shape, other, y, clamp in (
            ("planes", (3, 4, 4), (3, 4, 4), Y, None),
            ("relu", (3, 4, 4), (3, 4, 4), QType("uint6", 0.05, 0), (0, None)),
            ("float32", (8,), (8,), None, None),
            *([("per-channel", (3, 4, 4), (3, 1, 1), Y, None)] if op == "mul" else []),
        ):
            node = Node("it", op, ("x0", "x1"), {"clamp": clamp} if clamp else {})

            def real(p, q, clamp=clamp):
                return np.clip(function(p, q), *clamp) if clamp else function(p, q)

            yield label, FloatCase(node, (Value(shape, X), Value(other, b)), Value(shape, y), real)

    return make


def float_dequantize(rng) -> Iterator[tuple[str, FloatCase]]:
    node = Node("it", "dequantize", ("x0",))
    yield "float32", FloatCase(node, (Value((9,), X),), Value((9,), None), lambda v: v)


ROWS = (
    Row("batch_norm", batch_norm_cases, slow_batch_norm, lambda g, x: g.batch_norm(x), float_batch_norm),
    Row("add", add_cases, slow_add, lambda g, x: g.add(x, g.table(x)), float_elementwise("add", lambda p, q: p + q)),
    Row(
        "mul",
        mul_cases,
        slow_mul,
        lambda g, x: g.mul(x, g.global_avg_pool2d(x)),
        float_elementwise("mul", lambda p, q: p * q),
    ),
    Row("dequantize", dequantize_cases, slow_dequantize, None, float_dequantize),
)
