"""Pools: cases, the contract in plain loops, and their real functions."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.nn import functional as F

from bitwright.graph import Node, Value
from bitwright.qtensor import QType
from tests.conformance.ops.case import U8, Case, case, f32
from tests.conformance.ops.contract import finish, real_code, window, zero_point
from tests.conformance.ops.float_case import FloatCase, X, Y
from tests.conformance.ops.row import Row


def max_pool2d_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, out, kernel, *, x=U8, **geometry):
        attrs = {"kernel": kernel, "stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), **geometry}
        return case(rng, "max_pool2d", [Value(shape, x)], Value(out, x), attrs)

    yield "plain", make((3, 5, 4), (3, 4, 2), (2, 3))
    yield "stride-padding", make((3, 6, 6), (3, 3, 3), (3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    yield "asymmetric", make((2, 5, 5), (2, 3, 3), (3, 2), stride=(2, 2), padding=(2, 0, 0, 1))
    yield "dilation", make((2, 6, 7), (2, 4, 4), (2, 2), dilation=(2, 3))
    yield "ceil-mode", make((2, 6, 6), (2, 3, 3), (3, 3), stride=(2, 2), padding=(0, 0, 1, 1))
    yield "zero-point-255", make((2, 4, 4), (2, 4, 4), (3, 3), x=QType("uint8", 1.0, 255), padding=(1, 1, 1, 1))
    yield "uint2", make((2, 4, 4), (2, 4, 4), (3, 3), x=QType("uint2", 1.0, 1), padding=(1, 1, 1, 1))
    yield "one", make((2, 3, 3), (2, 3, 3), (1, 1))


def avg_pool2d_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, out, kernel, *, x=U8, y=U8, m=None, **geometry):
        attrs = {"kernel": kernel, "stride": (1, 1), "padding": (0, 0, 0, 0), **geometry}
        m = np.full((1, 1), 1.2 / math.prod(kernel), np.float32) if m is None else m
        return case(rng, "avg_pool2d", [Value(shape, x)], Value(out, y), attrs, {"m": m})

    yield "plain", make((3, 5, 4), (3, 4, 2), (2, 3))
    yield "stride-padding", make((3, 6, 6), (3, 3, 3), (3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    m = rng.uniform(-1, 1, (3, 3)).astype(np.float32)
    yield "m-per-window", make((2, 5, 5), (2, 3, 3), (3, 2), stride=(2, 2), padding=(2, 0, 0, 1), m=m)
    yield (
        "zero-point-255",
        make(
            (2, 4, 4),
            (2, 4, 4),
            (3, 3),
            x=QType("uint8", 1.0, 255),
            y=QType("uint8", 1.0, 0),
            padding=(1, 1, 1, 1),
            m=f32(-0.2).reshape(1, 1),
        ),
    )
    yield "uint2", make((2, 4, 4), (2, 3, 3), (2, 2), x=QType("uint2", 1.0, 1), y=QType("uint4", 1.0, 3))
    yield "ties", make((2, 4, 4), (2, 2, 2), (2, 2), stride=(2, 2), m=f32(0.25).reshape(1, 1))
    yield "window-in-padding-alone", make((1, 2, 2), (1, 6, 6), (1, 1), padding=(2, 2, 2, 2))
    yield "float32", make((3, 5, 4), (3, 4, 2), (2, 3), y=None)


def global_avg_pool2d_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, *, x=U8, y=U8, m=None):
        m = 3 / (shape[1] * shape[2]) if m is None else m
        return case(rng, "global_avg_pool2d", [Value(shape, x)], Value((shape[0], 1, 1), y), {}, {"m": f32(m)})

    yield "plain", make((5, 4, 3))
    yield "one-pixel", make((5, 1, 1), m=1.0)
    yield "zero-point-0", make((5, 4, 3), x=QType("uint8", 1.0, 0), y=QType("uint4", 1.0, 15), m=-0.01)
    yield "zero-point-255", make((5, 4, 3), x=QType("uint8", 1.0, 255))
    yield "past-2**24", make((1, 300, 300), x=QType("uint8", 1.0, 0), y=None, m=1 / 3)
    yield "float32", make((5, 4, 3), y=None)


def slow_max_pool2d(case: Case, index) -> Any:
    attrs = case.node.attrs
    return max(
        int(case.xs[0][*index[:2], y, x]) for _, _, y, x in window(case, index, attrs["kernel"], attrs["dilation"])
    )


def slow_avg_pool2d(case: Case, index) -> Any:
    acc = sum(real_code(case, 0, (*index[:2], y, x)) for _, _, y, x in window(case, index, case.node.attrs["kernel"]))
    m = case.node.tensors["m"]
    m = m[0, 0] if m.shape == (1, 1) else m[index[2], index[3]]
    return finish(case, np.float32(np.int32(acc)) * m, add_zero_point=True)


def slow_global_avg_pool2d(case: Case, index) -> Any:
    n, c = index[:2]
    plane = case.xs[0][n, c]
    acc = int(plane.astype(np.int64).sum()) - plane.size * zero_point(case.inputs[0], c)
    return finish(case, np.float32(np.int32(acc)) * case.node.tensors["m"][0], add_zero_point=True)


def pool_real(reduce, kernel, stride, padding, dilation=(1, 1)):
    """Windows of a float plane, with NaN outside the image."""

    def function(x):
        top, left, bottom, right = padding
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=np.nan)
        oh = (padded.shape[2] - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
        ow = (padded.shape[3] - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
        found = np.empty((*x.shape[:2], oh, ow))
        for i, j in np.ndindex(oh, ow):
            rows = i * stride[0] + np.arange(kernel[0]) * dilation[0]
            cols = j * stride[1] + np.arange(kernel[1]) * dilation[1]
            found[:, :, i, j] = reduce(padded[:, :, rows][..., cols])
        return found

    return function


def float_max_pool2d(rng) -> Iterator[tuple[str, FloatCase]]:
    attrs = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0, 0, 1), "dilation": (1, 2)}
    real = pool_real(lambda w: np.nanmax(w, axis=(2, 3)), *attrs.values())
    yield (
        "plain",
        FloatCase(Node("it", "max_pool2d", ("x0",), attrs), (Value((3, 6, 5), X),), Value((3, 3, 4), X), real),
    )


def float_avg_pool2d(rng) -> Iterator[tuple[str, FloatCase]]:
    attrs = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0, 1, 1)}
    x, y = Value((3, 5, 4), X), Value((3, 3, 4), Y)
    inside = np.outer([2, 3, 2], [2, 2, 2, 1])
    for label, divisor, out in (
        ("include-pad", np.full((3, 4), 6), y),
        ("exclude-pad", inside, y),
        ("float32", inside, Value(y.shape)),
    ):
        real = pool_real(lambda w: np.nansum(w, axis=(2, 3)), *attrs.values())
        node = Node("it", "avg_pool2d", ("x0",), attrs, {"divisor": divisor})
        yield label, FloatCase(node, (x,), out, lambda v, real=real, d=divisor: real(v) / d)


def float_global_avg_pool2d(rng) -> Iterator[tuple[str, FloatCase]]:
    node = Node("it", "global_avg_pool2d", ("x0",))
    yield (
        "plain",
        FloatCase(node, (Value((3, 5, 4), X),), Value((3, 1, 1), Y), lambda v: v.mean(axis=(2, 3), keepdims=True)),
    )


ROWS = (
    Row(
        "max_pool2d",
        max_pool2d_cases,
        slow_max_pool2d,
        lambda g, x: g.max_pool2d(x, 3, 1, (1, 1, 1, 1)),
        float_max_pool2d,
        {
            "max pool": lambda x: F.max_pool2d(x, 3, 2, 1),
            "max pool, ceil": lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
            "max pool, ceil and pad": lambda x: F.max_pool2d(x, (3, 2), (2, 3), (1, 0), ceil_mode=True),
            "max pool, dilated": lambda x: F.max_pool2d(x, 2, 1, dilation=3),
        },
    ),
    Row(
        "avg_pool2d",
        avg_pool2d_cases,
        slow_avg_pool2d,
        lambda g, x: g.avg_pool2d(x, 3, 1, (1, 1, 1, 1)),
        float_avg_pool2d,
        {
            "average pool": lambda x: F.avg_pool2d(x, (3, 2)),
            "average pool, pad": lambda x: F.avg_pool2d(x, 3, 2, 1),
            "average pool, pad not counted": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            "average pool, ceil": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
            "average pool, ceil, pad not counted": lambda x: F.avg_pool2d(
                x, 4, 3, 2, ceil_mode=True, count_include_pad=False
            ),
            "average pool, divisor": lambda x: F.avg_pool2d(x, 3, 2, divisor_override=5),
        },
    ),
    Row(
        "global_avg_pool2d",
        global_avg_pool2d_cases,
        slow_global_avg_pool2d,
        lambda g, x: g.add(g.table(x), g.mul(x, g.global_avg_pool2d(x))),
        float_global_avg_pool2d,
        {
            "average pool of all": lambda x: F.avg_pool2d(x, (10, 8)),
            "average pool of all, divisor": lambda x: F.avg_pool2d(x, (10, 8), divisor_override=7),
            "mean": lambda x: x.mean((2, 3)),
            "mean with planes": lambda x: x.mean([-1, -2], keepdim=True),
        },
    ),
)
