"""conv2d and linear: cases, the contract in plain loops, and their real functions."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from bitwright.graph import Node, Value
from bitwright.qtensor import QType
from bitwright.schemes import SCHEMES
from tests.conformance.ops.case import FULL, IMAGE3, U8, Case, case, f32, signs
from tests.conformance.ops.contract import epilogue, real_code, window, with_residual
from tests.conformance.ops.float_case import EPS, FloatCase, X, Y, batch_norm_real, batch_norm_tensors, column
from tests.conformance.ops.row import Row
from tests.kernels.random_graph import RandomGraph


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
        weight = rng.choice(range(scheme.lo, scheme.hi + 1, scheme.step), (out, x.channels)).astype(np.int8)
        size = size or 1 / (scheme.hi * math.sqrt(x.channels))
        tensors = {"weight": weight, "m": signs(rng, out, size), "b": rng.uniform(0, 255, out).astype(np.float32)}
        inputs = [x]
        if residual is not None:
            inputs.append(Value((*x.shape[:-1], out), residual, x.channel))
            tensors["m_r"] = f32(-0.7)
        output = Value((*x.shape[:-1], out), y, x.channel)
        return case(rng, "linear", inputs, output, {"weights": bits, **bounds}, tensors)

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
    yield "tokens", make(Value((4, 6), U8, 1), 5)
    yield "tokens-residual", make(Value((4, 6), U8, 1), 4, residual=QType("uint8", 1.0, 255))
    yield "map-with-channels-last", make(Value((2, 3, 6), U8, 2), 4, y=None)
    tokens = make(Value((3, 6), U8, 1), 4)
    yield "tokens-groups", tokens.with_tensors(m=signs(rng, 8, 1 / 300).reshape(4, 2))


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
    *place, o = index
    products = [real_code(case, 0, (*place, i)) * w for i, w in enumerate(case.node.tensors["weight"][o].tolist())]
    m = case.node.tensors["m"]
    if m.ndim == 1:
        return epilogue(case, sum(products), index)
    t, size = case.node.tensors["b"][o], len(products) // m.shape[1]
    for g in range(m.shape[1]):
        t = t + np.float32(sum(products[g * size : (g + 1) * size])) * m[o, g]
    return with_residual(case, t, index)


def grow_linear(g: RandomGraph, x: str) -> str:
    return g.with_channel(g.linear(g.with_channel(x, 2), g.values[x].shape[2]), 0)


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
            attrs["eps"] = EPS
        if clamp:
            attrs["clamp"] = clamp

        def function(real, *rest):
            t = conv2d_real(real, weight, attrs["stride"], attrs["padding"], attrs["dilation"], groups, fill)
            if bias:
                t = t + column(tensors["bias"], 4)
            if bn:
                t = batch_norm_real(t, tensors, EPS)
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
    def make(*, y=Y, bits="int8", bias=False, bn=False, residual=None, clamp=None, groups=1, places=()):
        weight, scale = weight_on_the_grid(rng, (5 * groups, 9 // groups), bits)
        weight, scale = weight.reshape(5, 9), scale.reshape(5, groups) if groups > 1 else scale
        tensors, attrs = {"weight": weight, "weight_scale": scale}, {"weights": bits}
        if bias:
            tensors["bias"] = rng.normal(size=5).astype(np.float32)
        if bn:
            tensors |= batch_norm_tensors(rng, 5)
            attrs["eps"] = EPS
        if clamp:
            attrs["clamp"] = clamp

        def function(real, *rest):
            t = real @ weight.T + tensors.get("bias", 0)
            t = np.moveaxis(batch_norm_real(np.moveaxis(t, -1, 1), tensors, EPS), 1, -1) if bn else t
            t = sum(rest, t)
            return np.clip(t, *clamp) if clamp else t

        x, output = (Value((*places, count), channel=len(places)) for count in (9, 5))
        inputs = (replace(x, type=X),) if residual is None else (replace(x, type=X), replace(output, type=residual))
        node = Node("it", "linear", tuple(f"x{i}" for i in range(len(inputs))), attrs, tensors)
        return FloatCase(node, inputs, replace(output, type=y), function)

    yield "plain", make()
    yield "bias-relu", make(bias=True, clamp=(0, None))
    yield "int2-batch-norm", make(bits="int2", bn=True)
    yield "int4-groups-batch-norm", make(bits="int4", bn=True, groups=3, residual=QType("uint4", 0.1, 7))
    yield "residual", make(bias=True, residual=QType("uint4", 0.1, 7))
    yield "float32", make(y=None, bias=True)
    yield "tokens", make(bias=True, bn=True, residual=QType("uint4", 0.1, 7), places=(4,))


ROWS = (
    Row("conv2d", conv2d_cases, slow_conv2d, lambda g, x: g.conv2d(x, 8, 3), float_conv2d),
    Row("linear", linear_cases, slow_linear, grow_linear, float_linear),
)
