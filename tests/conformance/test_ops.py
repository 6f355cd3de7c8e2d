"""Every op in the table: what it accepts, what it refuses, and that it computes what docs/arithmetic.md says.

`CASES` makes small nodes of every integer op, `SLOW` computes each op in plain loops written from that page, and
`FLOAT_CASES` makes a float node of every float op with its real function. A new op fails until it is in all of them.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from bitwright.errors import GraphError, OverflowBoundError
from bitwright.graph import Node, Value
from bitwright.ops import FLOAT_OPS, INTEGER_OPS, OPS
from bitwright.qtensor import QType, to_codes, to_real
from bitwright.schemes import SCHEMES

N = 2
FULL = {"lo": 0, "hi": 255}
U8 = QType("uint8", 0.05, 128)
IMAGE3 = QType("uint8", (0.01, 0.02, 0.03), (0, 128, 255), (0.001, -0.002, 0.0))


@dataclass(frozen=True)
class Case:
    """One node with its surroundings, and codes to run it on."""

    node: Node
    inputs: tuple[Value, ...]
    output: Value
    xs: tuple[np.ndarray, ...]

    @property
    def op(self) -> Any:
        return INTEGER_OPS[self.node.op]

    def validate(self) -> None:
        self.op.validate(self.node, list(self.inputs), self.output)

    def run(self) -> np.ndarray:
        return self.op.run(self.node, list(self.xs), list(self.inputs), self.output)

    def with_tensors(self, **tensors: Any) -> "Case":
        return replace(self, node=replace(self.node, tensors={**self.node.tensors, **tensors}))

    def with_attrs(self, **attrs: Any) -> "Case":
        return replace(self, node=self.node.with_attrs(**attrs))


def codes(rng: np.random.Generator, value: Value) -> np.ndarray:
    """Random codes of a value's type, every third one an extreme; of a float32 value, random numbers."""
    shape = (N, *value.shape)
    if value.type is None:
        return rng.normal(size=shape).astype(np.float32)
    hi = value.type.codes.hi
    extreme = rng.choice([0, hi], shape)
    return np.where(rng.random(shape) < 0.3, extreme, rng.integers(0, hi + 1, shape)).astype(np.uint8)


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def case(rng, op, inputs, output, attrs=None, tensors=None) -> Case:
    names = tuple(f"x{i}" for i in range(len(inputs)))
    node = Node("it", op, names, attrs or {}, tensors or {})
    return Case(node, tuple(inputs), output, tuple(codes(rng, v) for v in inputs))


def signs(rng, count, size) -> np.ndarray:
    """Multipliers of both signs: a batch norm may turn a channel around."""
    return (rng.choice([-1, 1], count) * rng.uniform(0.3, 1.5, count) * size).astype(np.float32)


# --- cases of integer ops ---------------------------------------------------------------------------------------------


def conv2d_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(
        x,
        out,
        weight_shape,
        *,
        bits="int8",
        y=U8,
        groups=1,
        residual=None,
        bounds=FULL,
        weight=None,
        m=None,
        **geometry,
    ):
        scheme = SCHEMES[bits]
        if weight is None:
            weight = rng.choice(range(scheme.lo, scheme.hi + 1, scheme.step), weight_shape).astype(np.int8)
            weight.flat[0], weight.flat[-1] = scheme.lo, scheme.hi
        attrs = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), **geometry}
        attrs |= {"groups": groups, "weights": bits, **bounds}
        taps = math.prod(weight_shape[1:])
        if m is None:
            m = signs(rng, out[0], 100 / (scheme.hi * 100 * math.sqrt(taps)))
        tensors = {"weight": weight, "m": m, "b": rng.uniform(0, 255, out[0]).astype(np.float32)}
        inputs = [x]
        if residual is not None:
            inputs.append(Value(out, residual))
            tensors["m_r"] = f32(0.37)
        return case(rng, "conv2d", inputs, Value(out, y), attrs, tensors)

    yield "plain", make(Value((3, 5, 4), U8), (4, 3, 3), (4, 3, 3, 2))
    for zero_point in (0, 1, 128, 255):
        x = Value((2, 4, 4), QType("uint8", 1.0, zero_point))
        yield f"zero-point-{zero_point}", make(x, (3, 4, 4), (3, 2, 3, 3), padding=(1, 1, 1, 1))
    for bits in [name for name, s in SCHEMES.items() if s.weights]:
        yield bits, make(Value((3, 3, 3), U8), (2, 2, 2), (2, 3, 2, 2), bits=bits)
    for bits in [name for name, s in SCHEMES.items() if s.activations]:
        hi = SCHEMES[bits].hi
        zero_points = SCHEMES[bits].zero_points
        x, y = Value((3, 3, 3), QType(bits, 0.5, zero_points[-1])), QType(bits, 0.5, zero_points[len(zero_points) // 2])
        bounds = {"lo": 0, "hi": hi}
        yield f"to-{bits}", make(x, (2, 3, 3), (2, 3, 1, 1), y=y, bounds=bounds, m=signs(rng, 2, 0.3))
        yield f"padded-{bits}", make(x, (2, 3, 3), (2, 3, 3, 3), padding=(1, 1, 1, 1), bits="binary", residual=x.type)
    yield "asymmetric-padding", make(Value((2, 4, 5), U8), (3, 7, 8), (3, 2, 2, 3), padding=(0, 1, 4, 4))
    yield "window-in-padding-alone", make(Value((1, 2, 2), U8), (1, 6, 6), (1, 1, 1, 1), padding=(2, 2, 2, 2))
    yield "stride", make(Value((2, 7, 8), U8), (3, 3, 3), (3, 2, 3, 3), stride=(2, 3), padding=(1, 0, 0, 1))
    yield "stride-leaves-a-rest", make(Value((2, 6, 6), U8), (3, 2, 1), (3, 2, 3, 3), stride=(3, 5))
    yield "dilation", make(Value((2, 7, 7), U8), (3, 7, 5), (3, 2, 3, 2), dilation=(2, 3), padding=(2, 1, 2, 0))
    yield "groups", make(Value((4, 4, 4), U8), (6, 4, 4), (6, 2, 3, 3), groups=2, padding=(1, 1, 1, 1))
    yield (
        "depthwise",
        make(Value((4, 5, 5), U8), (4, 3, 3), (4, 1, 3, 3), groups=4, stride=(2, 2), padding=(1, 1, 1, 1)),
    )
    yield "depthwise-doubled", make(Value((3, 4, 4), U8), (6, 3, 3), (6, 1, 2, 2), groups=3)
    yield "residual", make(Value((3, 4, 4), U8), (2, 4, 4), (2, 3, 1, 1), residual=QType("uint4", 1.0, 15))
    yield (
        "residual-strided",
        make(Value((3, 4, 4), U8), (2, 2, 2), (2, 3, 1, 1), residual=QType("uint8", 1.0, 0), stride=(2, 2)),
    )
    yield "relu", make(Value((3, 4, 4), U8), (2, 4, 4), (2, 3, 1, 1), bounds={"lo": 128, "hi": 200})
    yield "one-code-left", make(Value((3, 4, 4), U8), (2, 4, 4), (2, 3, 1, 1), bounds={"lo": 9, "hi": 9})
    yield "float32", make(Value((3, 4, 4), U8), (2, 3, 3), (2, 3, 2, 2), y=None)
    yield "float32-residual", make(Value((3, 4, 4), U8), (2, 4, 4), (2, 3, 1, 1), y=None, residual=U8)
    yield "image", make(Value((3, 5, 5), IMAGE3), (4, 3, 3), (4, 3, 3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    yield "image-groups", make(Value((3, 4, 4), IMAGE3), (3, 4, 4), (3, 1, 3, 3), groups=3, padding=(1, 1, 1, 1))
    yield "m-zero", make(Value((3, 4, 4), U8), (2, 4, 4), (2, 3, 1, 1), m=f32(0, -0.0))
    big = np.full((2, 300, 3, 3), 127, np.int8)
    big[1] = -127
    x = Value((300, 3, 3), QType("uint8", 1.0, 0))
    yield "past-2**24", make(x, (2, 1, 1), big.shape, weight=big, m=f32(1 / 3, 1e-5), y=None)


def linear_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(x, out, *, bits="int8", y=U8, residual=None, bounds=FULL, size=None):
        scheme = SCHEMES[bits]
        weight = rng.choice(range(scheme.lo, scheme.hi + 1, scheme.step), (out, x.shape[0])).astype(np.int8)
        size = size or 1 / (scheme.hi * math.sqrt(x.shape[0]))
        tensors = {"weight": weight, "m": signs(rng, out, size), "b": rng.uniform(0, 255, out).astype(np.float32)}
        inputs = [x]
        if residual is not None:
            inputs.append(Value((out,), residual))
            tensors["m_r"] = f32(-0.7)
        return case(rng, "linear", inputs, Value((out,), y), {"weights": bits, **bounds}, tensors)

    yield "plain", make(Value((7,), U8), 5)
    yield "one", make(Value((1,), U8), 1)
    for zero_point in (0, 255):
        yield f"zero-point-{zero_point}", make(Value((9,), QType("uint8", 1.0, zero_point)), 4)
    for bits in [name for name, s in SCHEMES.items() if s.weights]:
        yield bits, make(Value((6,), U8), 3, bits=bits)
    yield "uint3", make(Value((6,), QType("uint3", 1.0, 7)), 3, y=QType("uint2", 1.0, 1), bounds={"lo": 1, "hi": 3})
    yield "float32", make(Value((6,), U8), 3, y=None)
    yield "residual", make(Value((6,), U8), 3, residual=QType("uint8", 1.0, 255))
    yield "float32-residual", make(Value((6,), U8), 3, y=None, residual=U8)
    yield "past-2**24", make(Value((700,), U8), 3, y=None, size=1.0)
    for scales in (2, 3, 6):
        c = make(Value((6,), U8), 4, y=None if scales == 2 else U8, residual=U8 if scales == 3 else None)
        m = signs(rng, 4 * scales, 1 / 300).reshape(4, scales)
        yield f"groups-{scales}", c.with_tensors(m=m)
    ties = make(Value((4,), QType("uint8", 1.0, 0)), 3)
    yield "ties", ties.with_tensors(weight=np.ones((3, 4), np.int8), m=f32(0.5, -0.5, 0.25), b=f32(0, 255, 7))


def batch_norm_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, *, x=U8, y=U8, bounds=FULL):
        tensors = {"m": signs(rng, shape[0], 1.0), "b": rng.uniform(0, 255, shape[0]).astype(np.float32)}
        return case(rng, "batch_norm", [Value(shape, x)], Value(shape, y), bounds, tensors)

    yield "planes", make((3, 4, 5))
    yield "features", make((7,))
    yield "zero-point-0", make((3, 4, 5), x=QType("uint8", 1.0, 0), bounds={"lo": 3, "hi": 9})
    yield "zero-point-255", make((3, 4, 5), x=QType("uint8", 1.0, 255))
    yield "uint2", make((3, 4, 5), x=QType("uint2", 1.0, 3), y=QType("uint5", 1.0, 0), bounds={"lo": 0, "hi": 31})
    yield "float32", make((5,), y=None)


def add_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, *, a=U8, b=U8, y=U8, bounds=FULL, m=(0.7, -1.3)):
        tensors = {"m_a": f32(m[0]), "m_b": f32(m[1])}
        return case(rng, "add", [Value(shape, a), Value(shape, b)], Value(shape, y), bounds, tensors)

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


def mul_cases(rng) -> Iterator[tuple[str, Case]]:
    def make(shape, b_shape=None, *, a=U8, b=U8, y=U8, bounds=FULL, m=0.013):
        inputs = [Value(shape, a), Value(b_shape or shape, b)]
        return case(rng, "mul", inputs, Value(shape, y), bounds, {"m": f32(m)})

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

    for zero_point in (0, 128, 255):
        yield f"zero-point-{zero_point}", make((2, 3, 4), (5, 4, 6), ((1, 2), (0, 1), (2, 0)), zero_point)
    yield "nothing", make((2, 3, 4), (2, 3, 4), ((0, 0), (0, 0), (0, 0)), 7)
    yield "features", make((3,), (6,), ((1, 2),), 9)


def reshape_cases(rng) -> Iterator[tuple[str, Case]]:
    for shape, out in [((3, 2, 4), (24,)), ((24,), (3, 2, 4)), ((4, 6), (3, 8)), ((5,), (5,))]:
        yield f"{len(shape)}-to-{len(out)}", case(rng, "reshape", [Value(shape, U8)], Value(out, U8), {"shape": out})
    yield "float32", case(rng, "reshape", [Value((6, 1, 1), None)], Value((6,), None), {"shape": (6,)})


def permute_cases(rng) -> Iterator[tuple[str, Case]]:
    for dims in ((1, 2, 0), (2, 1, 0), (0, 1, 2)):
        shape = (2, 3, 4)
        out = Value(tuple(shape[d] for d in dims), U8)
        yield "".join(map(str, dims)), case(rng, "permute", [Value(shape, U8)], out, {"dims": dims})
    yield "features", case(rng, "permute", [Value((6,), U8)], Value((6,), U8), {"dims": (0,)})


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


def dequantize_cases(rng) -> Iterator[tuple[str, Case]]:
    for zero_point, shape in ((0, (5,)), (128, (3, 2, 2)), (255, (5,))):
        x = Value(shape, QType("uint8", 1.0, zero_point))
        yield f"zero-point-{zero_point}", case(rng, "dequantize", [x], Value(shape, None), {}, {"m": f32(0.1)})


MAKERS: dict[str, Callable[[np.random.Generator], Iterator[tuple[str, Case]]]] = {
    "conv2d": conv2d_cases,
    "linear": linear_cases,
    "batch_norm": batch_norm_cases,
    "add": add_cases,
    "mul": mul_cases,
    "max_pool2d": max_pool2d_cases,
    "avg_pool2d": avg_pool2d_cases,
    "global_avg_pool2d": global_avg_pool2d_cases,
    "concat": concat_cases,
    "slice": slice_cases,
    "pad": pad_cases,
    "reshape": reshape_cases,
    "permute": permute_cases,
    "table": table_cases,
    "dequantize": dequantize_cases,
}
CASES = {f"{op}-{label}": c for op, make in MAKERS.items() for label, c in make(np.random.default_rng(7))}
FIRST = {op: next(make(np.random.default_rng(7)))[1] for op, make in MAKERS.items()}

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_op = pytest.mark.parametrize("case", FIRST.values(), ids=FIRST)


# --- the arithmetic of docs/arithmetic.md, in plain loops -------------------------------------------------------------


def zero_point(value: Value, channel: int) -> int:
    assert value.type is not None
    found = value.type.zero_point
    return found[channel] if isinstance(found, tuple) else found


def real_code(case: Case, i: int, index: tuple[int, ...]) -> int:
    """x_step * x - x_zp at [n, c, ...] of input i."""
    type_ = case.inputs[i].type
    assert type_ is not None
    return (2 if type_.scheme == "binary" else 1) * int(case.xs[i][index]) - zero_point(case.inputs[i], index[1])


def finish(case: Case, t: np.float32, *, add_zero_point: bool) -> float | np.float32:
    """code = clip(rint(t), lo, hi), or t itself."""
    assert isinstance(t, np.float32)
    type_ = case.output.type
    if type_ is None:
        return t
    if add_zero_point:
        t = np.float32(t + np.float32(0.5 if type_.scheme == "binary" else type_.one_zero_point))
    lo, hi = case.node.attrs.get("lo", 0), case.node.attrs.get("hi", type_.codes.hi)
    return min(max(round(float(t)), lo), hi)  # Python rounds half to even


def epilogue(case: Case, acc: int, index: tuple[int, ...]) -> Any:
    tensors, channel = case.node.tensors, index[1]
    assert abs(acc) < 2**31
    t = np.float32(np.int32(acc)) * tensors["m"][channel]
    return with_residual(case, t + tensors["b"][channel], index)


def with_residual(case: Case, t: np.float32, index: tuple[int, ...]) -> Any:
    if len(case.inputs) == 2:
        t = t + np.float32(real_code(case, 1, index)) * case.node.tensors["m_r"][0]
    return finish(case, t, add_zero_point=False)


def window(case: Case, index, kernel, dilation=(1, 1)) -> Iterator[tuple[int, int, int, int]]:
    """(i, j, y, x) of every tap inside the image, for the window of output [n, c, oy, ox]."""
    _, height, width = case.inputs[0].shape
    attrs = case.node.attrs
    for i, j in product(range(kernel[0]), range(kernel[1])):
        y = index[2] * attrs["stride"][0] - attrs["padding"][0] + i * dilation[0]
        x = index[3] * attrs["stride"][1] - attrs["padding"][1] + j * dilation[1]
        if 0 <= y < height and 0 <= x < width:
            yield i, j, y, x


def slow_conv2d(case: Case, index) -> Any:
    attrs, weight = case.node.attrs, case.node.tensors["weight"].astype(int)
    n, o = index[:2]
    out, per_group, *kernel = weight.shape
    first = o // (out // attrs["groups"]) * per_group
    acc = 0
    for c in range(per_group):
        for i, j, y, x in window(case, index, kernel, attrs["dilation"]):
            acc += real_code(case, 0, (n, first + c, y, x)) * int(weight[o, c, i, j])
    return epilogue(case, acc, index)


def slow_linear(case: Case, index) -> Any:
    n, o = index
    products = [real_code(case, 0, (n, i)) * w for i, w in enumerate(case.node.tensors["weight"][o].tolist())]
    m = case.node.tensors["m"]
    if m.ndim == 1:
        return epilogue(case, sum(products), index)
    t, size = case.node.tensors["b"][o], len(products) // m.shape[1]
    for g in range(m.shape[1]):
        t = t + np.float32(sum(products[g * size : (g + 1) * size])) * m[o, g]
    return with_residual(case, t, index)


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


def slow_table(case: Case, index) -> Any:
    table = case.node.tensors["table"]
    return (table if table.ndim == 1 else table[index[1]])[case.xs[0][index]]


def slow_dequantize(case: Case, index) -> Any:
    return np.float32(real_code(case, 0, index)) * case.node.tensors["m"][0]


SLOW: dict[str, Callable[[Case, Any], Any]] = {
    "conv2d": slow_conv2d,
    "linear": slow_linear,
    "batch_norm": slow_batch_norm,
    "add": slow_add,
    "mul": slow_mul,
    "max_pool2d": slow_max_pool2d,
    "avg_pool2d": slow_avg_pool2d,
    "global_avg_pool2d": slow_global_avg_pool2d,
    "concat": slow_concat,
    "slice": slow_slice,
    "pad": slow_pad,
    "reshape": slow_reshape,
    "permute": slow_permute,
    "table": slow_table,
    "dequantize": slow_dequantize,
}


# --- what every integer op must do ------------------------------------------------------------------------------------


def test_every_integer_op_is_covered():
    assert set(MAKERS) == set(INTEGER_OPS) == set(SLOW)


def test_every_op_that_may_write_float32_has_such_a_case():
    tested = {case.node.op for case in CASES.values() if case.output.type is None and not case.op.takes_float}
    assert tested == {name for name, op in FLOAT_OPS.items() if op.writes_float}


def test_the_tables_are_keyed_by_name():
    for table in (OPS, FLOAT_OPS, INTEGER_OPS):
        assert all(key == op.name for key, op in table.items())
    assert set(OPS) == set(FLOAT_OPS) | set(INTEGER_OPS)


@every_case
def test_infer_gives_the_shape_of_the_result(case):
    assert case.op.infer(case.node, [value.shape for value in case.inputs]) == case.output.shape


@every_case
def test_validate_accepts(case):
    case.validate()  # raises nothing


@every_case
def test_run_gives_what_the_contract_says(case):
    before = [x.copy() for x in case.xs]
    found = case.run()
    expected = np.empty((N, *case.output.shape), np.float32 if case.output.type is None else np.int64)
    for index in np.ndindex(expected.shape):
        expected[index] = SLOW[case.node.op](case, index)
    assert found.shape == expected.shape
    assert found.dtype == (np.float32 if case.output.type is None else np.uint8)
    np.testing.assert_array_equal(found, expected)
    for x, was in zip(case.xs, before, strict=True):
        np.testing.assert_array_equal(x, was, "run changed its input")


@every_case
def test_one_image_at_a_time_gives_the_same(case):
    one_by_one = [replace(case, xs=tuple(x[n : n + 1] for x in case.xs)).run() for n in range(N)]
    np.testing.assert_array_equal(np.concatenate(one_by_one), case.run())


@every_case
def test_the_layout_of_the_input_in_memory_does_not_matter(case):
    channels_last = tuple(np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) for x in case.xs)
    np.testing.assert_array_equal(replace(case, xs=channels_last).run(), case.run())


@pytest.mark.parametrize("op", ["conv2d", "linear", "batch_norm", "add", "mul"])
def test_the_cases_reach_both_bounds(op):
    """Otherwise clipping would not be tested."""
    reached = set()
    for name, c in CASES.items():
        if name.startswith(f"{op}-") and c.output.type is not None:
            found = c.run()
            reached |= {key for key in ("lo", "hi") if (found == c.node.attrs[key]).any()}
    assert reached == {"lo", "hi"}


# --- what every integer op must refuse --------------------------------------------------------------------------------


def refuse(case: Case, match: str | None = None) -> None:
    with pytest.raises(GraphError, match=match) as caught:
        case.validate()
    assert str(caught.value)


BAD_VALUES: list[Any] = [
    None,
    "x",
    -1,
    2**40,
    1.5,
    2.0,
    True,
    math.nan,
    (),
    [],
    {},
    (-1,),
    (1.0, 1.0),
    (1, -1),
    ((1, 2, 3),),
    [1, 1],
]


def attrs_of_every_op() -> list[Any]:
    return [pytest.param(c, key, id=f"{op}-{key}") for op, c in FIRST.items() for key in c.node.attrs]


def tensors_of_every_op() -> list[Any]:
    return [
        pytest.param(c, key, id=f"{op}-{key}") for op, c in CASES_WITH_ALL_TENSORS.items() for key in c.node.tensors
    ]


CASES_WITH_ALL_TENSORS = FIRST | {
    name: CASES[name] for name in ("conv2d-residual", "linear-residual", "avg_pool2d-m-per-window")
}


@pytest.mark.parametrize(("case", "key"), attrs_of_every_op())
def test_a_missing_attribute_is_refused(case, key):
    attrs = {k: v for k, v in case.node.attrs.items() if k != key}
    refuse(replace(case, node=replace(case.node, attrs=attrs)))


def test_groups_of_a_linear_layer_must_divide_its_inputs():
    c = CASES["linear-groups-2"]
    for shape in ((4, 4), (4, 0), (4, 1), (4, 7), (3, 2), (4, 2, 1)):
        refuse(c.with_tensors(m=np.ones(shape, np.float32)))
    conv = FIRST["conv2d"]
    refuse(conv.with_tensors(m=conv.node.tensors["m"][:, None]), "m must be")


def test_the_overflow_bound_is_that_of_a_group():
    c = wide_linear(40_000, 0, 1, 255)
    halves = c.with_tensors(weight=np.full((1, 80_000), 127, np.int8), m=np.ones((1, 2), np.float32))
    halves = replace(halves, inputs=(Value((80_000,), c.inputs[0].type),))
    halves.validate()
    with pytest.raises(OverflowBoundError):
        halves.with_tensors(m=np.ones(1, np.float32)).validate()


@every_op
def test_an_extra_attribute_is_refused(case):
    refuse(case.with_attrs(colour="red"))


@pytest.mark.parametrize(("case", "key"), attrs_of_every_op())
@pytest.mark.parametrize("value", BAD_VALUES, ids=repr)
def test_a_bad_attribute_is_refused(case, key, value):
    refuse(case.with_attrs(**{key: value}))


@pytest.mark.parametrize(("case", "key"), tensors_of_every_op())
def test_a_missing_tensor_is_refused(case, key):
    tensors = {k: v for k, v in case.node.tensors.items() if k != key}
    refuse(replace(case, node=replace(case.node, tensors=tensors)))


@every_op
def test_an_extra_tensor_is_refused(case):
    refuse(case.with_tensors(extra=f32(1)))


@pytest.mark.parametrize(("case", "key"), tensors_of_every_op())
def test_a_tensor_of_another_dtype_is_refused(case, key):
    for dtype in (np.float64, np.float16, np.int16, np.int64, np.bool_, ">f4"):
        refuse(case.with_tensors(**{key: case.node.tensors[key].astype(dtype)}))


@pytest.mark.parametrize(("case", "key"), tensors_of_every_op())
def test_a_tensor_of_another_shape_is_refused(case, key):
    tensor = case.node.tensors[key]
    for damaged in (
        tensor[None],
        tensor[..., None],
        tensor[:0],
        np.concatenate([tensor, tensor]),
        tensor.reshape(-1)[0],
    ):
        refuse(case.with_tensors(**{key: damaged}))


@pytest.mark.parametrize(("case", "key"), tensors_of_every_op())
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e-40, -1e-45], ids=str)
def test_a_float_that_is_not_finite_or_not_normal_is_refused(case, key, value):
    tensor = case.node.tensors[key].copy()
    if tensor.dtype != np.float32:
        assert key in ("weight", "table")
        return
    tensor.flat[-1] = value
    refuse(case.with_tensors(**{key: tensor}), "not finite|not normal")


@every_op
def test_a_wrong_output_shape_is_refused(case):
    shape = case.output.shape
    for wrong in ((shape[0] + 1, *shape[1:]), (*shape, 1), shape[1:], (), (*shape[:-1], shape[-1] + 1)):
        refuse(replace(case, output=Value(wrong, case.output.type)))


@every_op
def test_a_float32_input_is_refused(case):
    for i in range(len(case.inputs)):
        inputs = tuple(Value(v.shape, None if j == i else v.type) for j, v in enumerate(case.inputs))
        refuse(replace(case, inputs=inputs), None if case.op.takes_float else "float32")
    assert case.op.takes_float == (case.node.op == "reshape")


@every_op
def test_a_wrong_number_of_inputs_is_refused(case):
    least, most = case.op.arity
    for count in (0, least - 1, most + 1):
        inputs = (case.inputs * (count + 1))[:count]
        node = replace(case.node, inputs=tuple(f"x{i}" for i in range(count)))
        refuse(replace(case, node=node, inputs=inputs), "inputs")


def per_channel(value: Value) -> Value:
    channels = value.shape[0]
    return Value(value.shape, QType("uint8", (0.1,) * channels, (3,) * channels, (0.0,) * channels))


@every_op
def test_an_input_of_a_zero_point_per_channel_is_refused_where_it_is_not_taken(case):
    if case.op.takes_image:
        assert case.node.op in ("conv2d", "table")
        return
    for i in range(len(case.inputs)):
        inputs = tuple(per_channel(v) if j == i else v for j, v in enumerate(case.inputs))
        refuse(replace(case, inputs=inputs, output=per_channel(case.output)), "per channel")


def test_a_residual_of_a_zero_point_per_channel_is_refused():
    for name in ("conv2d-residual", "linear-residual"):
        c = CASES[name]
        refuse(replace(c, inputs=(c.inputs[0], per_channel(c.inputs[1]))))


@every_op
def test_a_result_of_a_zero_point_per_channel_is_refused(case):
    """Only the image has one; `run` adds the one zero point of its result."""
    refuse(replace(case, output=per_channel(case.output)))


@pytest.mark.parametrize("case", [c for c in FIRST.values() if "lo" in c.node.attrs], ids=lambda c: c.node.op)
def test_bounds_that_are_not_codes_in_order_are_refused(case):
    refuse(case.with_attrs(lo=10, hi=9), "lo")
    refuse(case.with_attrs(hi=256))
    refuse(replace(case, output=Value(case.output.shape, QType("uint4", 1.0, 0))).with_attrs(hi=16), "lo")
    replace(case, output=Value(case.output.shape, QType("uint4", 1.0, 0))).with_attrs(hi=15).validate()


SAME_TYPE = ["max_pool2d", "concat", "slice", "pad", "reshape", "permute"]


@pytest.mark.parametrize("op", SAME_TYPE)
@pytest.mark.parametrize(
    "type_", [None, QType("uint8", 0.06, 128), QType("uint8", 0.05, 127), QType("uint7", 0.05, 64)]
)
def test_ops_that_move_codes_refuse_a_change_of_type(op, type_):
    c = FIRST[op]
    refuse(replace(c, output=Value(c.output.shape, type_)), "one type")


def test_concat_refuses_inputs_of_two_types():
    c = FIRST["concat"]
    other = Value(c.inputs[1].shape, QType("uint8", 0.5, 1))
    refuse(replace(c, inputs=(c.inputs[0], other, c.inputs[2])), "one type")


@pytest.mark.parametrize("key", [name for name, c in FIRST.items() if "weight" in c.node.tensors])
@pytest.mark.parametrize("bits", [name for name, s in SCHEMES.items() if s.weights])
def test_a_weight_code_outside_its_scheme_is_refused(key, bits):
    c, scheme = FIRST[key].with_attrs(weights=bits), SCHEMES[bits]
    for value, good in [
        (scheme.lo, True),
        (scheme.hi, True),
        (0, bits != "binary"),
        (scheme.lo - 1, False),
        (min(scheme.hi + 1, 127), bits == "int8"),
    ]:
        weight = np.full_like(c.node.tensors["weight"], scheme.hi)
        weight.flat[-1] = value
        damaged = c.with_tensors(weight=weight)
        if good:
            damaged.validate()
        else:
            refuse(damaged, bits)


def test_a_table_entry_that_is_not_a_code_of_the_result_is_refused():
    c = CASES["table-uint4-to-uint2"]
    table = c.node.tensors["table"].copy()
    for place in (0, 15, 255):
        damaged = table.copy()
        damaged[place] = 4
        refuse(c.with_tensors(table=damaged), "uint2")


def test_a_table_gives_codes_and_dequantize_gives_float32():
    refuse(replace(FIRST["table"], output=Value(FIRST["table"].output.shape, None)), "codes")
    refuse(replace(FIRST["dequantize"], output=Value(FIRST["dequantize"].output.shape, U8)), "float32")


def test_the_image_needs_a_table_per_channel_and_others_may_have_one():
    image, plain = CASES["table-image"], CASES["table-planes"]
    refuse(image.with_tensors(table=image.node.tensors["table"][0]))
    plain.with_tensors(table=np.zeros((3, 256), np.uint8)).validate()
    refuse(plain.with_tensors(table=np.zeros((4, 256), np.uint8)))
    four = Value((3, 2, 2, 2), U8)
    refuse(replace(plain, inputs=(four,), output=four).with_tensors(table=np.zeros((3, 256), np.uint8)), "C, H, W or F")


def test_binary_codes_cannot_be_padded():
    c = CASES["pad-nothing"]
    value = replace(c.inputs[0], type=QType("binary", 1.0, 1))
    refuse(replace(c, inputs=(value,), output=value), "no zero to pad with")


@pytest.mark.parametrize("op", ["conv2d", "max_pool2d", "avg_pool2d", "global_avg_pool2d"])
def test_ops_on_planes_refuse_features(op):
    c = FIRST[op]
    refuse(replace(c, inputs=(Value((12,), U8),)), "C, H, W")
    refuse(replace(c, inputs=(Value((1, 3, 2, 2), U8),)), "C, H, W")


@pytest.mark.parametrize("name", ["conv2d-plain", "max_pool2d-plain", "avg_pool2d-plain"])
def test_a_window_larger_than_the_padded_image_is_refused(name):
    c = CASES[name]
    refuse(replace(c, inputs=(Value((3, 1, 1), U8),)), "window")


def test_a_max_pool_window_in_the_padding_alone_is_refused():
    c = FIRST["max_pool2d"]
    good = replace(c, inputs=(Value((1, 2, 2), U8),), output=Value((1, 3, 3), U8))
    good = good.with_attrs(kernel=(2, 2), padding=(1, 1, 1, 1))
    good.validate()
    for padding, out in [((2, 0, 0, 0), (1, 3, 1)), ((0, 0, 0, 2), (1, 1, 3))]:
        refuse(replace(good, output=Value(out, U8)).with_attrs(padding=padding), "padding")


def test_a_max_pool_is_refused_where_a_window_sees_nothing_and_only_there():
    """Along one axis, over every small geometry; a dilation wider than the image may be refused in any case."""
    accepted = refused = 0
    for size, taps, stride, before, after, dilation in product(
        (1, 2, 5), (1, 2, 3), (1, 2, 3), range(4), range(4), (1, 2)
    ):
        room = size + before + after - dilation * (taps - 1) - 1
        if room < 0:
            continue
        starts = [i * stride - before for i in range(room // stride + 1)]
        sees = all(any(0 <= start + t * dilation < size for t in range(taps)) for start in starts)
        attrs = {
            "kernel": (taps, 1),
            "stride": (stride, 1),
            "padding": (before, 0, after, 0),
            "dilation": (dilation, 1),
        }
        node = Node("it", "max_pool2d", ("x0",), attrs)
        c = Case(node, (Value((1, size, 1), U8),), Value((1, len(starts), 1), U8), ())
        if sees and size >= dilation:
            c.validate()
            accepted += 1
        elif not sees:
            refuse(c, "padding")
            refused += 1
    assert accepted > 100
    assert refused > 100


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("conv2d-groups", {"groups": 4}),
        ("conv2d-groups", {"groups": 1}),
        ("conv2d-groups", {"groups": 3}),
        ("slice-channels", {"axis": 3}),
        ("slice-channels", {"stop": 6}),
        ("slice-channels", {"start": 3}),
        ("concat-channels", {"axis": 3}),
        ("concat-channels", {"axis": 1}),
        ("permute-120", {"dims": (0, 1)}),
        ("permute-120", {"dims": (1, 1, 0)}),
        ("permute-120", {"dims": (1, 2, 3)}),
        ("reshape-3-to-1", {"shape": (23,)}),
        ("reshape-3-to-1", {"shape": (0, 24)}),
        ("pad-nothing", {"padding": ((0, 0), (0, 0))}),
        ("pad-nothing", {"padding": ((0, 0), (0, 0), (0, 1))}),
    ],
)
def test_attributes_that_do_not_fit_the_input_are_refused(name, change):
    refuse(CASES[name].with_attrs(**change))


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("add-planes", [(3, 4, 5), (3, 1, 1)]),
        ("mul-planes", [(3, 4, 5), (3, 4, 1)]),
        ("mul-planes", [(3, 4, 5), (1, 4, 5)]),
        ("mul-planes", [(3, 4, 5), (3,)]),
        ("conv2d-residual", [(3, 4, 4), (2, 1, 1)]),
        ("conv2d-residual", [(3, 4, 4), (2, 4)]),
        ("linear-residual", [(6,), (1,)]),
        ("linear-plain", [(1, 7)]),
        ("concat-channels", [(2, 3), (2,)]),
        ("concat-width", [(3, 2, 2), (3, 2)]),
        ("concat-width", [(3, 2), (3, 2, 2)]),
    ],
)
def test_input_shapes_that_do_not_fit_are_refused(name, shapes):
    c = CASES[name]
    node = replace(c.node, inputs=tuple(f"x{i}" for i in range(len(shapes))))
    refuse(replace(c, node=node, inputs=tuple(Value(s, U8) for s in shapes)))


def test_concat_of_values_with_fewer_axes_is_refused():
    c = FIRST["concat"].with_attrs(axis=1)
    node = replace(c.node, inputs=("x0", "x1"))
    refuse(replace(c, node=node, inputs=(Value((2, 3), U8), Value((2,), U8)), output=Value((2, 4), U8)))


@pytest.mark.parametrize(
    ("name", "tensors"),
    [
        ("conv2d-residual", {"m": f32(3e38, 3e38), "m_r": f32(-3e38)}),
        ("linear-residual", {"m": f32(3e38, 3e38, 3e38), "m_r": f32(3e38)}),
        ("add-planes", {"m_a": f32(3e38), "m_b": f32(-3e38)}),
    ],
)
def test_multipliers_that_could_give_infinity_minus_infinity_are_refused(name, tensors):
    """Its code would be that of NaN, which no two processors agree on."""
    refuse(CASES[name].with_tensors(**tensors))


@pytest.mark.parametrize(
    "name", ["batch_norm-planes", "mul-planes", "conv2d-plain", "linear-plain", "global_avg_pool2d-plain"]
)
def test_a_t_beyond_float32_clips_or_is_refused(name):
    c = CASES[name]
    c = c.with_tensors(m=np.full_like(c.node.tensors["m"], 3e38))
    try:
        c.validate()
    except GraphError:
        return
    assert set(np.unique(c.run())) <= set(range(256))


# --- overflow ---------------------------------------------------------------------------------------------------------


def wide_linear(inputs: int, zero_point: int, sign: int, code: int) -> Case:
    x = Value((inputs,), QType("uint8", 1.0, zero_point))
    tensors = {"weight": np.full((1, inputs), sign * 127, np.int8), "m": f32(1), "b": f32(0)}
    node = Node("wide", "linear", ("x0",), {"weights": "int8", **FULL}, tensors)
    return Case(node, (x,), Value((1,), None), (np.full((1, inputs), code, np.uint8),))


@pytest.mark.parametrize(("zero_point", "code"), [(0, 255), (255, 0), (128, 0), (100, 255)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_widest_linear_layer_that_fits_is_exact_and_the_next_is_refused(zero_point, code, sign):
    reach = max(zero_point, 255 - zero_point)
    inputs = (2**31 - 1) // (127 * reach)
    fits = wide_linear(inputs, zero_point, sign, code)
    fits.validate()
    exact = inputs * sign * 127 * (code - zero_point)
    assert 2**31 - 127 * 255 - 1 < abs(exact) < 2**31
    assert fits.run().item() == np.float32(np.int32(exact))
    with pytest.raises(OverflowBoundError, match="wide"):
        wide_linear(inputs + 1, zero_point, sign, code).validate()


def test_the_accumulator_is_exact_in_int32_where_float32_is_not():
    inputs = (2**31 - 1) // (127 * 255)
    c = wide_linear(inputs, 0, 1, 255)
    xs = c.xs[0].copy()
    xs[0, 0] = 254
    weight = c.node.tensors["weight"].copy()
    weight[0, 1:] = -127
    weight[0, : inputs // 2] = 127
    acc = int(xs[0].astype(np.int64) @ weight[0].astype(np.int64))
    assert replace(c.with_tensors(weight=weight), xs=(xs,)).run().item() == np.float32(acc)


def wide_conv2d(inputs: int, groups: int = 1) -> Case:
    x = Value((inputs * groups, 3, 3), QType("uint8", 1.0, 255))
    weight = np.full((2 * groups, inputs, 3, 3), -127, np.int8)
    attrs: dict[str, Any] = {
        "stride": (1, 1),
        "padding": (0,) * 4,
        "dilation": (1, 1),
        "groups": groups,
        "weights": "int8",
        **FULL,
    }
    tensors: dict[str, np.ndarray] = {
        "weight": weight,
        "m": np.ones(2 * groups, np.float32),
        "b": np.zeros(2 * groups, np.float32),
    }
    node = Node("wide", "conv2d", ("x0",), attrs, tensors)
    return Case(node, (x,), Value((2 * groups, 1, 1), None), (np.zeros((1, *x.shape), np.uint8),))


@pytest.mark.parametrize("groups", [1, 2])
def test_the_widest_convolution_that_fits_is_exact_and_the_next_is_refused(groups):
    inputs = (2**31 - 1) // (127 * 255 * 9)
    fits = wide_conv2d(inputs, groups)
    fits.validate()
    np.testing.assert_array_equal(fits.run().reshape(-1), np.float32(np.int32(inputs * 9 * 127 * 255)))
    with pytest.raises(OverflowBoundError, match="wide"):
        wide_conv2d(inputs + 1, groups).validate()


def test_the_bound_is_that_of_the_widest_channel_alone():
    c = wide_linear((2**31 - 1) // (127 * 255), 0, 1, 255)
    weight = np.concatenate([c.node.tensors["weight"]] * 3)
    three = replace(c.with_tensors(weight=weight, m=f32(1, 1, 1), b=f32(0, 0, 0)), output=Value((3,), None))
    three.validate()
    np.testing.assert_array_equal(three.run()[:, :1], c.run())


@pytest.mark.parametrize(("height", "fits"), [(2**11, True), (2**11 + 1, False)])
def test_the_widest_global_average(height, fits):
    c = FIRST["global_avg_pool2d"]
    c = replace(c, inputs=(Value((5, height, 2**11), U8),))
    if fits:
        c.validate()
    else:
        refuse(c, "overflow")


# --- float ops --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FloatCase:
    """A float node, types for its inputs and its result, and its real function on float64 arrays [N, ...]."""

    node: Node
    inputs: tuple[Value, ...]
    output: Value
    function: Callable[..., np.ndarray]


def conv2d_real(x, weight, stride, padding, dilation, groups, fill=0.0) -> np.ndarray:
    """A convolution in float64, tap by tap; `fill` is what padding holds, one number or one per channel."""
    top, left, bottom, right = padding
    n, channels, height, width = x.shape
    padded = np.empty((n, channels, height + top + bottom, width + left + right))
    padded[...] = np.reshape(fill, (-1, 1, 1))
    padded[:, :, top : top + height, left : left + width] = x
    out, per_group, kh, kw = weight.shape
    oh = (padded.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (padded.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, out, oh, ow))
    for o, c, i, j in np.ndindex(weight.shape):
        channel = o // (out // groups) * per_group + c
        ys = i * dilation[0] + np.arange(oh) * stride[0]
        xs = j * dilation[1] + np.arange(ow) * stride[1]
        y[:, o] += padded[:, channel][:, ys][:, :, xs] * weight[o, c, i, j]
    return y


def column(values, ndim) -> np.ndarray:
    return np.reshape(values, (1, -1) + (1,) * (ndim - 2))


def batch_norm_real(x, t, eps) -> np.ndarray:
    gain = t["bn_weight"].astype(float) / np.sqrt(t["bn_var"].astype(float) + eps)
    return (x - column(t["bn_mean"], x.ndim)) * column(gain, x.ndim) + column(t["bn_bias"], x.ndim)


def batch_norm_tensors(rng, channels) -> dict[str, np.ndarray]:
    return {
        "bn_weight": signs(rng, channels, 1.0),
        "bn_bias": rng.normal(size=channels).astype(np.float32),
        "bn_mean": rng.normal(size=channels).astype(np.float32),
        "bn_var": rng.uniform(0.1, 2, channels).astype(np.float32),
    }


X = QType("uint8", 0.02, 120)
Y = QType("uint8", 0.03, 100)


def weight_on_the_grid(rng, shape, bits) -> tuple[np.ndarray, np.ndarray]:
    """A weight that quantization does not change, and its scale per output channel: weight errors stay out of it."""
    scheme = SCHEMES[bits]
    scale = rng.uniform(0.5, 1, shape[0]) / (scheme.hi * math.sqrt(math.prod(shape[1:])))
    found = rng.integers(scheme.lo, scheme.hi + 1, shape)
    return found * scale.reshape(-1, *(1 for _ in shape[1:])), scale


def float_conv2d(rng) -> Iterator[tuple[str, FloatCase]]:
    def make(
        x, out, weight_shape, *, y=Y, bits="int8", bias=False, bn=False, residual=None, clamp=None, groups=1, **geometry
    ):
        weight, scale = weight_on_the_grid(rng, weight_shape, bits)
        fill: Any = 0.0
        if x.type.per_channel:
            by_input = np.repeat(np.reshape(x.type.scale, (groups, -1)), out[0] // groups, axis=0)[:, :, None, None]
            weight = weight / by_input / 30
            scale = scale / 30
            fill = np.asarray(x.type.offset)  # padding is the pixel nearest to zero, whose real value is the offset
        tensors = {"weight": weight, "weight_scale": scale}
        attrs = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), **geometry}
        attrs |= {"groups": groups, "weights": bits}
        if bias:
            tensors["bias"] = rng.normal(size=out[0]).astype(np.float32)
        if bn:
            tensors |= batch_norm_tensors(rng, out[0])
            attrs["eps"] = 1e-3
        if clamp:
            attrs["clamp"] = clamp

        def function(real, *rest):
            t = conv2d_real(real, weight, attrs["stride"], attrs["padding"], attrs["dilation"], groups, fill)
            if bias:
                t = t + column(tensors["bias"], 4)
            if bn:
                t = batch_norm_real(t, tensors, 1e-3)
            for r in rest:
                t = t + r
            return np.clip(t, *clamp) if clamp else t

        inputs = (x,) if residual is None else (x, Value(out, residual))
        node = Node("it", "conv2d", tuple(f"x{i}" for i in range(len(inputs))), attrs, tensors)
        return FloatCase(node, inputs, Value(out, y), function)

    planes = Value((3, 5, 5), X)
    yield "plain", make(planes, (4, 3, 3), (4, 3, 3, 3))
    yield "bias", make(planes, (4, 3, 3), (4, 3, 3, 3), bias=True)
    yield "batch-norm", make(planes, (4, 5, 5), (4, 3, 3, 3), bn=True, padding=(1, 1, 1, 1))
    yield "bias-batch-norm-relu", make(planes, (4, 5, 5), (4, 3, 1, 1), bias=True, bn=True, clamp=(0, None))
    yield "relu6-residual", make(planes, (4, 5, 5), (4, 3, 1, 1), bn=True, residual=Y, clamp=(0, 6))
    yield "hardtanh", make(planes, (4, 5, 5), (4, 3, 1, 1), bias=True, clamp=(-1, 1))
    yield "int3-groups", make(Value((4, 5, 5), X), (4, 3, 3), (4, 2, 2, 2), groups=2, bits="int3", dilation=(2, 2))
    yield "float32", make(planes, (4, 3, 3), (4, 3, 3, 3), y=None, bias=True, bn=True)
    image = Value((3, 6, 6), IMAGE3)
    padded = {"stride": (2, 2), "padding": (1, 1, 1, 1)}
    yield "image", make(image, (4, 3, 3), (4, 3, 3, 3), bias=True, **padded)
    yield "image-batch-norm", make(image, (4, 3, 3), (4, 3, 3, 3), bn=True, clamp=(0, None), **padded)
    yield "image-groups", make(image, (6, 3, 3), (6, 1, 3, 3), groups=3, **padded)


def float_linear(rng) -> Iterator[tuple[str, FloatCase]]:
    def make(*, y=Y, bits="int8", bias=False, bn=False, residual=None, clamp=None, groups=1):
        weight, scale = weight_on_the_grid(rng, (5 * groups, 9 // groups), bits)
        weight, scale = weight.reshape(5, 9), scale.reshape(5, groups) if groups > 1 else scale
        tensors, attrs = {"weight": weight, "weight_scale": scale}, {"weights": bits}
        if bias:
            tensors["bias"] = rng.normal(size=5).astype(np.float32)
        if bn:
            tensors |= batch_norm_tensors(rng, 5)
            attrs["eps"] = 1e-5
        if clamp:
            attrs["clamp"] = clamp

        def function(real, *rest):
            t = real @ weight.T + tensors.get("bias", 0)
            t = batch_norm_real(t, tensors, 1e-5) if bn else t
            t = sum(rest, t)
            return np.clip(t, *clamp) if clamp else t

        inputs = (Value((9,), X),) if residual is None else (Value((9,), X), Value((5,), residual))
        node = Node("it", "linear", tuple(f"x{i}" for i in range(len(inputs))), attrs, tensors)
        return FloatCase(node, inputs, Value((5,), y), function)

    yield "plain", make()
    yield "bias-relu", make(bias=True, clamp=(0, None))
    yield "int2-batch-norm", make(bits="int2", bn=True)
    yield "int4-groups-batch-norm", make(bits="int4", bn=True, groups=3, residual=QType("uint4", 0.1, 7))
    yield "residual", make(bias=True, residual=QType("uint4", 0.1, 7))
    yield "float32", make(y=None, bias=True)


def float_batch_norm(rng) -> Iterator[tuple[str, FloatCase]]:
    for shape, clamp, y in (((3, 4, 4), None, Y), ((7,), (0, 6), Y), ((4,), None, None)):
        tensors = batch_norm_tensors(rng, shape[0])
        attrs = {"eps": 1e-5} | ({"clamp": clamp} if clamp else {})

        def function(x, tensors=tensors, clamp=clamp):
            found = batch_norm_real(x, tensors, 1e-5)
            return np.clip(found, *clamp) if clamp else found

        node = Node("it", "batch_norm", ("x0",), attrs, tensors)
        yield f"{len(shape)}-{clamp}-{y and y.scheme}", FloatCase(node, (Value(shape, X),), Value(shape, y), function)


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


def float_moved(op: str, attrs, shapes, out, function):
    def make(rng) -> Iterator[tuple[str, FloatCase]]:
        node = Node("it", op, tuple(f"x{i}" for i in range(len(shapes))), attrs)
        yield "plain", FloatCase(node, tuple(Value(s, X) for s in shapes), Value(out, X), function)

    return make


def float_unary(op: str, function: Callable[..., float], variants: tuple[dict[str, Any], ...] = ({},)):
    def make(rng) -> Iterator[tuple[str, FloatCase]]:
        for attrs in variants:
            for x, y in (
                (X, Y),
                (QType("uint8", 0.2, 128), QType("uint8", 0.1, 20)),
                (QType("uint3", 1.0, 4), QType("uint4", 0.2, 2)),
            ):
                real = np.vectorize(lambda v, attrs=attrs: function(v, **attrs), otypes=[float])
                label = f"{x.scheme}-{x.scale}-{'-'.join(map(str, attrs.values()))}"
                yield label, FloatCase(Node("it", op, ("x0",), attrs), (Value((300,), x),), Value((300,), y), real)
        real = np.vectorize(lambda v: function(v, **variants[0]), otypes=[float])
        image = (Value((3, 8, 8), IMAGE3),)
        yield "image", FloatCase(Node("it", op, ("x0",), variants[0]), image, Value((3, 8, 8), Y), real)

    return make


def float_dequantize(rng) -> Iterator[tuple[str, FloatCase]]:
    node = Node("it", "dequantize", ("x0",))
    yield "float32", FloatCase(node, (Value((9,), X),), Value((9,), None), lambda v: v)


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


FLOAT_MAKERS: dict[str, Callable[[np.random.Generator], Iterator[tuple[str, FloatCase]]]] = {
    "conv2d": float_conv2d,
    "linear": float_linear,
    "batch_norm": float_batch_norm,
    "add": float_elementwise("add", lambda p, q: p + q),
    "mul": float_elementwise("mul", lambda p, q: p * q),
    "max_pool2d": float_max_pool2d,
    "avg_pool2d": float_avg_pool2d,
    "global_avg_pool2d": float_global_avg_pool2d,
    "concat": float_moved("concat", {"axis": 0}, [(3, 2, 2), (1, 2, 2)], (4, 2, 2), lambda p, q: np.hstack([p, q])),
    "slice": float_moved(
        "slice", {"axis": 1, "start": 1, "stop": 5, "step": 2}, [(2, 6)], (2, 2), lambda v: v[:, :, 1:5:2]
    ),
    "pad": float_moved("pad", {"padding": ((1, 2),)}, [(4,)], (7,), lambda v: np.pad(v, ((0, 0), (1, 2)))),
    "reshape": float_moved("reshape", {"shape": (12,)}, [(3, 2, 2)], (12,), lambda v: v.reshape(len(v), 12)),
    "permute": float_moved("permute", {"dims": (2, 0, 1)}, [(3, 2, 4)], (4, 3, 2), lambda v: np.moveaxis(v, 3, 1)),
    "clamp": float_unary("clamp", clamp_real, ({"clamp": (0, None)}, {"clamp": (0, 6)}, {"clamp": (None, 1.5)})),
    "hardswish": float_unary("hardswish", lambda v: v * relu6(v + 3) / 6),
    "hardsigmoid": float_unary("hardsigmoid", lambda v: relu6(v + 3) / 6),
    "sigmoid": float_unary("sigmoid", sigmoid),
    "silu": float_unary("silu", lambda v: v * sigmoid(v)),
    "gelu": float_unary("gelu", gelu, ({"approximate": "none"}, {"approximate": "tanh"})),
    "quantize": float_unary("quantize", lambda v: v),
    "dequantize": float_dequantize,
    "prelu": float_prelu,
    "leaky_relu": float_unary(
        "leaky_relu", lambda v, slope: v if v > 0 else slope * v, ({"slope": 0.01}, {"slope": -0.3})
    ),
}
FLOAT_CASES = {f"{op}-{label}": c for op, make in FLOAT_MAKERS.items() for label, c in make(np.random.default_rng(3))}

every_float_case = pytest.mark.parametrize("case", FLOAT_CASES.values(), ids=FLOAT_CASES)


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
    assert FLOAT_OPS[case.node.op].infer(case.node, [v.shape for v in case.inputs]) == case.output.shape


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
    assert error.max() < 0.502, "one rounding to nearest, and the float32 roundings before it"
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


def test_ops_that_pass_the_type_leave_codes_as_they_are():
    assert {name for name, op in FLOAT_OPS.items() if op.passes_type} == set(SAME_TYPE)


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in FLOAT_CASES
        if n.split("-")[0] in ("conv2d", "linear", "batch_norm") and n.endswith(("float32", "None"))
    ],
)
def test_a_clamp_is_never_dropped(name):
    """Of a float32 result lo and hi are not used, so a clamp that was fused into it must be refused or kept."""
    c = FLOAT_CASES[name]
    if c.output.type is not None:
        c = replace(c, output=Value(c.output.shape, None))
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
        lower(replace(c, output=Value(c.output.shape, None)))


def test_tables_hold_zero_past_the_greatest_code():
    table = lower(FLOAT_CASES["sigmoid-uint3-1.0-"]).tensors["table"]
    assert table[:8].any()
    assert not table[8:].any()


def test_a_table_rounds_like_to_codes():
    c = FLOAT_CASES["sigmoid-uint8-0.02-"]
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
