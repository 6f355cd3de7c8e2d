"""Ops that only move codes: cases, the contract in plain loops, and their real functions."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bitwright.graph import Node, Value
from bitwright.qtensor import QType
from tests.conformance.ops.case import U8, Case, case
from tests.conformance.ops.contract import zero_point
from tests.conformance.ops.float_case import FloatCase, X
from tests.conformance.ops.row import Row


def concat_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(axis, shapes, out):
        return case(rng, "concat", [Value(s, U8) for s in shapes], Value(out, U8), {"axis": axis})

    yield "channels", make(0, [(3, 2, 2), (1, 2, 2), (4, 2, 2)], (8, 2, 2))
    yield "width", make(2, [(3, 2, 2), (3, 2, 5)], (3, 2, 7))
    yield "features", make(0, [(3,), (2,)], (5,))
    yield "one", make(0, [(3, 2, 2)], (3, 2, 2))


def slice_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, out, axis, start, stop, step):
        attrs = {"axis": axis, "start": start, "stop": stop, "step": step}
        return case(rng, "slice", [Value(shape, U8)], Value(out, U8), attrs)

    yield "channels", make((5, 3, 3), (2, 3, 3), 0, 1, 3, 1)
    yield "step", make((5, 3, 8), (5, 3, 3), 2, 1, 8, 3)
    yield "all", make((5,), (5,), 0, 0, 5, 1)
    yield "step-past-the-end", make((5,), (1,), 0, 4, 5, 100)


def pad_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, out, padding, zero_point):
        type_ = QType("uint8", 1.0, zero_point)
        return case(rng, "pad", [Value(shape, type_)], Value(out, type_), {"padding": padding})

    for zp in (0, 128, 255):
        yield f"zero-point-{zp}", make((2, 3, 4), (5, 4, 6), ((1, 2), (0, 1), (2, 0)), zp)
    yield "nothing", make((2, 3, 4), (2, 3, 4), ((0, 0), (0, 0), (0, 0)), 7)
    yield "features", make((3,), (6,), ((1, 2),), 9)


def reshape_cases(rng) -> Iterator[tuple[str, Case]]:
    for shape, channel, out, expected in [
        ((3, 2, 4), 0, (24,), 0),
        ((24,), 0, (3, 2, 4), 2),
        ((4, 6), 0, (3, 8), 1),
        ((5,), 0, (5,), 0),
        ((3, 2, 4), 0, (3, 8), 0),
        ((6, 4), 1, (2, 3, 4), 2),
        ((6, 4), 1, (6, 2, 2), 2),
        ((6, 2, 2), 2, (6, 4), 1),
        ((6, 2, 4), 0, (3, 2, 2, 4), 1),
        ((3, 2, 2, 4), 1, (6, 2, 4), 0),
        ((4,), 0, (1, 4), 1),
        ((4, 1, 1), 0, (4,), 0),
        ((1, 2, 3), 0, (1, 6), 0),
        ((6, 1), 1, (2, 3, 1), 2),
    ]:
        label = f"{shape}-{channel}-to-{out}-{expected}".replace(" ", "")
        x, y = Value(shape, U8, channel), Value(out, U8, expected)
        yield label, case(rng, "reshape", [x], y, {"shape": out})
    yield "float32", case(rng, "reshape", [Value((6, 1, 1), None)], Value((6,), None), {"shape": (6,)})


def permute_cases(rng) -> Iterator[tuple[str, Case]]:
    for dims in ((1, 2, 0), (2, 1, 0), (0, 1, 2)):
        shape = (2, 3, 4)
        out = Value(tuple(shape[d] for d in dims), U8, dims.index(0))
        yield "".join(map(str, dims)), case(rng, "permute", [Value(shape, U8)], out, {"dims": dims})
    yield "features", case(rng, "permute", [Value((6,), U8)], Value((6,), U8), {"dims": (0,)})
    yield "tokens-to-planes", case(rng, "permute", [Value((6, 4), U8, 1)], Value((4, 6), U8), {"dims": (1, 0)})


def constant_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(value):
        codes = rng.integers(0, value.type.codes.hi + 1, value.shape).astype(np.uint8)
        return case(rng, "constant", [], value, {}, {"codes": codes})

    yield "planes", make(Value((3, 4, 5), U8))
    yield "tokens", make(Value((4, 3), QType("uint4", 0.1, 7)))
    yield "signs", make(Value((5,), QType("binary", 0.1, 1)))


def slow_constant(case: Case, index) -> Any:
    return case.node.tensors["codes"][index[1:]]


def float_constant(rng) -> Iterator[tuple[str, FloatCase]]:
    value = rng.normal(size=(4, 3))
    node = Node("it", "constant", (), {}, {"value": value})
    yield "tokens", FloatCase(node, (), Value((4, 3), X), lambda: value[None])


def slow_concat(case: Case, index) -> Any:
    axis, index = case.node.attrs["axis"] + 1, list(index)
    for x in case.xs:
        if index[axis] < x.shape[axis]:
            return x[tuple(index)]
        index[axis] -= x.shape[axis]
    raise AssertionError("past the last input")


def slow_slice(case: Case, index) -> Any:
    attrs, index = case.node.attrs, list(index)
    index[attrs["axis"] + 1] = attrs["start"] + index[attrs["axis"] + 1] * attrs["step"]
    return case.xs[0][tuple(index)]


def slow_pad(case: Case, index) -> Any:
    at = [i - before for i, (before, _) in zip(index[1:], case.node.attrs["padding"], strict=True)]
    if all(0 <= i < size for i, size in zip(at, case.inputs[0].shape, strict=True)):
        return case.xs[0][index[0], *at]
    return zero_point(case.inputs[0], 0)


def slow_reshape(case: Case, index) -> Any:
    place = 0
    for i, size in zip(index[1:], case.node.attrs["shape"], strict=True):
        place = place * size + i
    return case.xs[0][index[0]].flatten()[place]


def slow_permute(case: Case, index) -> Any:
    at = [0] * len(index[1:])
    for axis, dim in enumerate(case.node.attrs["dims"]):
        at[dim] = index[1 + axis]
    return case.xs[0][index[0], *at]


def float_moved(op: str, attrs, shapes, out, function):
    def make(rng) -> Iterator[tuple[str, FloatCase]]:
        node = Node("it", op, tuple(f"x{i}" for i in range(len(shapes))), attrs)
        output = Value(out, X, dims.index(0) if (dims := attrs.get("dims")) else 0)
        yield "plain", FloatCase(node, tuple(Value(s, X) for s in shapes), output, function)

    return make


ROWS = (
    Row(
        "constant", constant_cases, slow_constant, lambda g, x: g.add(x, g.constant(g.values[x].shape)), float_constant
    ),
    Row(
        "concat",
        concat_cases,
        slow_concat,
        lambda g, x: g.moved("concat", x, g.moved("slice", x, axis=0, start=0, stop=1, step=1), axis=0),
        float_moved("concat", {"axis": 0}, [(3, 2, 2), (1, 2, 2)], (4, 2, 2), lambda p, q: np.hstack([p, q])),
    ),
    Row(
        "slice",
        slice_cases,
        slow_slice,
        lambda g, x: g.moved("slice", x, axis=2, start=0, stop=g.values[x].shape[2], step=2),
        float_moved("slice", {"axis": 1, "start": 1, "stop": 5, "step": 2}, [(2, 6)], (2, 2), lambda v: v[:, :, 1:5:2]),
    ),
    Row(
        "pad",
        pad_cases,
        slow_pad,
        lambda g, x: g.moved("pad", x, padding=((0, 1), (1, 0), (0, 2))),
        float_moved("pad", {"padding": ((1, 2),)}, [(4,)], (7,), lambda v: np.pad(v, ((0, 0), (1, 2)))),
    ),
    Row(
        "reshape",
        reshape_cases,
        slow_reshape,
        lambda g, x: g.with_channel(g.moved("reshape", x, shape=g.values[x].shape[::-1]), 0),
        float_moved("reshape", {"shape": (12,)}, [(3, 2, 2)], (12,), lambda v: v.reshape(len(v), 12)),
    ),
    Row(
        "permute",
        permute_cases,
        slow_permute,
        lambda g, x: g.with_channel(g.moved("permute", x, dims=(1, 2, 0)), 0),
        float_moved("permute", {"dims": (2, 0, 1)}, [(3, 2, 4)], (4, 3, 2), lambda v: np.moveaxis(v, 3, 1)),
    ),
)
