"""The table of mappings from ATen ops (functional, as `run_decompositions({})` leaves them) to ours."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitwright.capture import channel_order
from bitwright.capture.builder import Builder, Unmapped
from bitwright.errors import PluginError
from bitwright.graph import Shape, Value
from bitwright.ops.function import Step
from bitwright.ops.functions import FUNCTIONS
from bitwright.registry import Registry

Fx = torch.fx.Node
Mapping = Callable[[Builder, Fx], Any]


def args(fx: Fx, *defaults: Any) -> list[Any]:
    """The arguments of an fx node, by position or name, the last ones filled in from `defaults`."""
    names = [a.name for a in fx.target._schema.arguments]  # type: ignore[union-attr]
    given = dict(zip(names, fx.args, strict=False)) | dict(fx.kwargs)
    required = len(names) - len(defaults)
    return [given.get(name, defaults[i - required] if i >= required else None) for i, name in enumerate(names)]


def pair(value: Any) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else list(value)
    return (values[0], values[-1])


def conv2d(b: Builder, fx: Fx) -> str:
    x, weight, bias, stride, padding, dilation, groups = args(fx, None, 1, 0, 1, 1)
    kernel = b.constant(weight)
    step, spread = pair(stride), pair(dilation)
    if isinstance(padding, str):
        total = [spread[i] * (kernel.shape[2 + i] - 1) if padding == "same" else 0 for i in (0, 1)]
        sides = (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)
    else:
        sides = pair(padding) * 2
    attrs = {"stride": step, "padding": sides, "dilation": spread, "groups": groups}
    return b.emit(fx, "conv2d", [b.value(x)], attrs, _weight_and_bias(b, kernel, bias))


def linear(b: Builder, fx: Fx) -> str:
    x, weight, bias = args(fx, None)
    return b.emit(fx, "linear", [b.value(x)], {}, _weight_and_bias(b, b.constant(weight), bias))


def _weight_and_bias(b: Builder, weight: npt.NDArray[Any], bias: Any) -> dict[str, npt.NDArray[Any]]:
    return {"weight": weight} if bias is None else {"weight": weight, "bias": b.constant(bias)}


def batch_norm(b: Builder, fx: Fx) -> tuple[str]:
    x, weight, bias, mean, var, _, eps = args(fx)
    channels = b.constant(mean).shape
    name = b.with_channel(
        fx, b.value(x), 0
    )  # PyTorch's batch norms are over axis 1 of a batch, whatever comes behind it
    tensors = {
        "bn_weight": np.ones(channels, np.float32) if weight is None else b.constant(weight),
        "bn_bias": np.zeros(channels, np.float32) if bias is None else b.constant(bias),
        "bn_mean": b.constant(mean),
        "bn_var": b.constant(var),
    }
    if wrong := int((tensors["bn_var"] + float(eps) <= 0).sum()):
        raise Unmapped(
            f"its variance is negative, or 0 without an eps, in {wrong} of {tensors['bn_var'].size} channels; is the "
            "checkpoint damaged, or is another tensor in its place?"
        )
    return (b.emit(fx, "batch_norm", [name], {"eps": float(eps)}, tensors),)


def unary(op: str, **attrs: Any) -> Mapping:
    return lambda b, fx: b.emit(fx, op, [b.value(fx.args[0])], attrs)


def clamp(b: Builder, fx: Fx) -> str:
    x, lo, hi = args(fx, None, None)
    return b.emit(fx, "clamp", [b.value(x)], {"clamp": (lo, hi)})


def clamp_min(b: Builder, fx: Fx) -> str:
    x, lo = args(fx)
    return b.emit(fx, "clamp", [b.value(x)], {"clamp": (lo, None)})


def clamp_max(b: Builder, fx: Fx) -> str:
    x, hi = args(fx)
    return b.emit(fx, "clamp", [b.value(x)], {"clamp": (None, hi)})


def bound(side: int) -> Mapping:
    """maximum and minimum with one number: a clamp from below or from above."""

    def mapping(b: Builder, fx: Fx) -> str:
        x, other = fx.args if b.is_value(fx.args[0]) else fx.args[::-1]
        if b.is_value(other) or b.constant(other).size != 1:
            raise Unmapped("two values, of which neither is a number or computed from the other")
        limits: list[float | None] = [None, None]
        limits[side] = float(b.constant(other).item())
        return b.emit(fx, "clamp", [b.value(x)], {"clamp": tuple(limits)})

    return mapping


def hardtanh(b: Builder, fx: Fx) -> str:
    x, lo, hi = args(fx, -1, 1)
    return b.emit(fx, "clamp", [b.value(x)], {"clamp": (lo, hi)})


def prelu(b: Builder, fx: Fx) -> str:
    x, slope = args(fx)
    slopes = np.asarray(b.constant(slope), np.float32)
    name = b.with_channel(fx, b.value(x), 0 if slopes.size > 1 else None)
    return b.emit(fx, "prelu", [name], {}, {"slope": slopes})


def affine(b: Builder, fx: Fx, x: Any, gain: Any, shift: Any, learned: Any = None) -> str:
    """gain * x + shift with constants: a batch norm of mean 0 and variance 1 if they are one number a channel, else values.

    `learned` is the argument that the constant comes from; where it is a parameter of the model, it stays one.
    """
    name = b.value(x)
    shape = b.values[name].shape
    if b.shape(fx) != shape:
        raise Unmapped(f"a constant that widens {shape} to {b.shape(fx)}")
    varies = [axis for constant in (gain, shift) for axis in _varies_along(b.constant(constant), shape)]
    if len(set(varies)) > 1:
        return _with_constants(b, fx, name, gain, shift)
    name = b.with_channel(fx, name, varies[0] if varies else None)
    value = b.values[name]
    channels = value.channels
    tensors = {
        "bn_weight": _per_channel(b.constant(gain), value),
        "bn_bias": _per_channel(b.constant(shift), value),
        "bn_mean": np.zeros(channels, np.float32),
        "bn_var": np.ones(channels, np.float32),
    }
    learns = {"learns": ("bn_bias" if isinstance(gain, int) else "bn_weight",)} if b.is_parameter(learned) else {}
    return b.emit(fx, "batch_norm", [name], {"eps": 0.0, "constant": True, **learns}, tensors)


def _with_constants(b: Builder, fx: Fx, name: str, gain: Any, shift: Any) -> str:
    """gain * x + shift where these differ within a channel: they are values of x's shape, such as a position embedding."""
    for op, source, neutral in (("mul", gain, 1), ("add", shift, 0)):
        if not (isinstance(source, int | float) and source == neutral):
            value = b.values[name]
            name = b.emit(fx, op, [name, b.constant_value(fx, source, value.shape, value.channel)], label=op)
    return name


def _varies_along(constant: npt.NDArray[Any], shape: Shape) -> list[int]:
    """The axes per image along which a constant differs that is broadcast against a batch of this shape."""
    full = (1,) * (len(shape) + 1 - constant.ndim) + constant.shape
    return [axis - 1 for axis, size in enumerate(full) if size != 1]


def _per_channel(constant: npt.NDArray[Any], value: Value) -> npt.NDArray[np.float32]:
    if any(axis != value.channel for axis in _varies_along(constant, value.shape)):
        raise Unmapped(f"a constant of {constant.shape}, which differs within a channel of {value.shape}")
    return np.ascontiguousarray(np.broadcast_to(constant.reshape(-1), (value.channels,)), np.float32)


def add(b: Builder, fx: Fx) -> str:
    x, other, alpha = args(fx, 1)
    if b.is_value(x) and b.is_value(other):
        if alpha != 1:
            raise Unmapped(f"a sum with alpha={alpha}")
        return b.emit(fx, "add", _aligned(b, fx, b.value(x), b.value(other)))
    if b.is_value(x):
        return affine(b, fx, x, 1, other if alpha == 1 else _lift(b, fx, b.constant(other) * alpha), other)
    return affine(b, fx, other, alpha, x, x if alpha == 1 else None)


def _aligned(b: Builder, fx: Fx, x: str, other: str) -> list[str]:
    """Two values, the second one with the axis of the first one as its channel."""
    first, second = b.values[x], b.values[other]
    alike = len(first.shape) == len(second.shape)  # what is not has no meaning, and is refused
    return [x, b.with_channel(fx, other, first.channel if alike else None)]


def sub(b: Builder, fx: Fx) -> str:
    x, other, alpha = args(fx, 1)
    if b.is_value(x) and not b.is_value(other):
        return affine(b, fx, x, 1, _lift(b, fx, -b.constant(other) * alpha), other)
    if not b.is_value(x):
        return affine(b, fx, other, -alpha, x, x)
    return b.emit(fx, "add", [b.value(x), affine(b, fx, other, -alpha, 0)])


def rsub(b: Builder, fx: Fx) -> str:
    x, other, alpha = args(fx, 1)
    return affine(b, fx, x, -alpha, other)


def neg(b: Builder, fx: Fx) -> str:
    return affine(b, fx, fx.args[0], -1, 0)


def _lift(b: Builder, fx: Fx, array: npt.NDArray[Any]) -> Fx | float:
    """Make an array, or a number that NumPy computed, usable as an argument of `affine`."""
    if np.ndim(array) == 0:
        return float(array)
    holder = torch.fx.Graph().placeholder(f"{fx.name}_constant")
    b.env[holder] = array
    return holder


def mul(b: Builder, fx: Fx) -> str:
    x, other = fx.args[0], fx.args[1]
    if b.is_value(x) and b.is_value(other):
        names = [b.value(x), b.value(other)]
        names.sort(key=lambda name: -math.prod(b.values[name].shape))
        return b.emit(fx, "mul", _aligned(b, fx, *names))
    return affine(b, fx, x, other, 0, other) if b.is_value(x) else affine(b, fx, other, x, 0, x)


def glu(b: Builder, fx: Fx) -> str:
    x, dim = args(fx, -1)
    name, axis = b.value(x), _axis(b, fx, dim)
    half = b.values[name].shape[axis] // 2
    first, second = (_slice(b, fx, name, axis, start, start + half, 1) for start in (0, half))
    gate = b.emit(fx, "function", [second], {"steps": (Step("sigmoid"),)}, label="sigmoid")
    return b.emit(fx, "mul", [first, gate])


def div(b: Builder, fx: Fx) -> str:
    x, other = fx.args[0], fx.args[1]
    if not b.is_value(x) or b.is_value(other):
        raise Unmapped("a quotient whose divisor is not a constant")
    inverse = 1 / b.constant(other).astype(np.float64)
    return affine(b, fx, x, _lift(b, fx, inverse), 0)


def concat(b: Builder, fx: Fx) -> str:
    tensors, dim = args(fx, 0)
    channel = next((b.values[b.value(t)].channel for t in tensors if b.is_value(t)), 0)
    parts = [
        b.value(t) if b.is_value(t) else b.constant_value(fx, t, tuple(map(int, t.meta["val"].shape[1:])), channel)
        for t in tensors
    ]
    return b.emit(fx, "concat", parts, {"axis": _axis(b, fx, dim)})


def _axis(b: Builder, fx: Fx, dim: int) -> int:
    """The axis per image that `dim` stands for; Unmapped where it is the batch."""
    rank = fx.meta["val"][0].dim() if isinstance(fx.meta["val"], list | tuple) else fx.meta["val"].dim()
    axis = int(dim % rank)
    if axis == 0:
        raise Unmapped("an operation along the batch axis")
    return axis - 1


def max_pool2d(b: Builder, fx: Fx) -> str:
    x, kernel, stride, padding, dilation, _ = args(fx, [], 0, 1, False)
    name = b.value(x)
    kernel, dilation = pair(kernel), pair(dilation)
    stride = pair(stride or kernel)
    attrs = {
        "kernel": kernel,
        "stride": stride,
        "dilation": dilation,
        "padding": _ceil_padding(b.shape(fx)[1:], b.values[name].shape[1:], kernel, stride, pair(padding), dilation),
    }
    return b.emit(fx, "max_pool2d", [name], attrs)


def _ceil_padding(
    out: Sequence[int],
    size: Sequence[int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) under which flooring gives the output size `out` that ceil_mode gave."""
    ends = []
    for axis in (0, 1):
        needed = (out[axis] - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1
        ends.append(max(padding[axis], needed - size[axis] - padding[axis]))
    return (*padding, ends[0], ends[1])


def avg_pool2d(b: Builder, fx: Fx) -> str:
    x, kernel, stride, padding, _, include_pad, override = args(fx, [], 0, False, True, None)
    name = b.value(x)
    kernel, padding = pair(kernel), pair(padding)
    stride = pair(stride or kernel)
    size, out = b.values[name].shape[1:], b.shape(fx)[1:]
    if kernel == tuple(size) and not any(padding) and not override:
        return b.emit(fx, "global_avg_pool2d", [name])
    rows, columns = (
        _taps(size[i], out[i], kernel[i], stride[i], padding[i], padding[i] if include_pad else 0) for i in (0, 1)
    )
    divisor = np.full(tuple(out), override) if override else np.outer(rows, columns)
    attrs = {"kernel": kernel, "stride": stride, "padding": _ceil_padding(out, size, kernel, stride, padding)}
    return b.emit(fx, "avg_pool2d", [name], attrs, {"divisor": divisor.astype(np.float64)})


def _taps(size: int, out: int, kernel: int, stride: int, padding: int, counted: int) -> npt.NDArray[np.int64]:
    """How many taps of each window along one axis count: those inside the image grown by `counted` on both sides."""
    start = np.arange(out) * stride - padding
    return np.minimum(start + kernel, size + counted) - np.maximum(start, -counted)


def adaptive_avg_pool2d(b: Builder, fx: Fx) -> str:
    name = b.value(fx.args[0])
    size = b.values[name].shape[1:]
    out = b.shape(fx)[1:]
    if tuple(out) == (1, 1):
        return b.emit(fx, "global_avg_pool2d", [name])
    if tuple(out) == tuple(size):
        return name
    if any(s % o for s, o in zip(size, out, strict=True)):
        raise Unmapped(f"an adaptive average of {size} to {list(out)}, whose windows differ in size")
    kernel = (size[0] // out[0], size[1] // out[1])
    divisor = np.full(tuple(out), float(kernel[0] * kernel[1]))
    attrs = {"kernel": kernel, "stride": kernel, "padding": (0, 0, 0, 0)}
    return b.emit(fx, "avg_pool2d", [name], attrs, {"divisor": divisor})


def mean(b: Builder, fx: Fx) -> str:
    x, dims, _, _ = args(fx, False, None)
    name = b.value(x)
    shape = b.values[name].shape
    over = sorted(d % (len(shape) + 1) - 1 for d in dims)
    kept = [axis for axis in range(len(shape)) if axis not in over]
    if len(kept) != 1 or not over or -1 in over:
        raise Unmapped(f"a mean over the axes {dims}; only a mean over all axes but one, the channel, is")
    channel = kept[0]
    if channel != 0:
        name = b.emit(fx, "permute", [name], {"dims": (channel, *over)})
    if len(shape) != 3:
        name = b.emit(fx, "reshape", [name], {"shape": (shape[channel], math.prod(shape) // shape[channel], 1)})
    pooled = b.emit(fx, "global_avg_pool2d", [name])
    same = b.values[pooled].shape == b.shape(fx)
    return pooled if same else b.emit(fx, "reshape", [pooled], {"shape": b.shape(fx)})


def reshape(b: Builder, fx: Fx) -> Any:
    if not b.is_value(fx.args[0]):
        return b.derived(fx, fx.args[0], b.constant(fx.args[0]).reshape([int(size) for size in fx.meta["val"].shape]))
    name, shape = b.value(fx.args[0]), b.shape(fx)
    return name if shape == b.values[name].shape else b.emit(fx, "reshape", [name], {"shape": shape})


def expand(b: Builder, fx: Fx) -> Any:
    """A constant repeated: left as it is, because whoever reads it repeats it."""
    if b.is_value(fx.args[0]):
        raise Unmapped("repeating a value that is computed from the image")
    return b.derived(fx, fx.args[0], b.constant(fx.args[0]))


def permute(b: Builder, fx: Fx) -> str:
    x, dims = fx.args[0], [d % len(fx.args[1]) for d in fx.args[1]]  # type: ignore[union-attr, arg-type, operator]
    if dims[0] != 0:
        raise Unmapped(f"a permutation {dims} that moves the batch axis")
    return b.emit(fx, "permute", [b.value(x)], {"dims": tuple(d - 1 for d in dims[1:])})


def transpose(b: Builder, fx: Fx) -> str:
    x, first, second = fx.args
    axes = [_axis(b, fx, dim) for dim in (first, second)]  # type: ignore[arg-type]
    dims = list(range(len(b.shape(fx))))
    dims[axes[0]], dims[axes[1]] = dims[axes[1]], dims[axes[0]]
    return b.emit(fx, "permute", [b.value(x)], {"dims": tuple(dims)})


def slice_(b: Builder, fx: Fx) -> str:
    x, dim, start, stop, step = args(fx, 0, None, None, 1)
    name = b.value(x)
    if dim == 0:
        whole = stop is None or (isinstance(stop, torch.fx.Node) and b.env[stop] is None) or stop >= 2**62
        if (start or 0) == 0 and whole and step == 1:
            return name
        raise Unmapped("a slice of the batch")
    return _slice(b, fx, name, _axis(b, fx, dim), start, stop, step)


def _slice(b: Builder, fx: Fx, name: str, axis: int, start: int | None, stop: int | None, step: int) -> str:
    size = b.values[name].shape[axis]
    begin, end, _ = slice(start, stop).indices(size)
    if (begin, end, step) == (0, size, 1):
        return name
    return b.emit(fx, "slice", [name], {"axis": axis, "start": begin, "stop": end, "step": step})


def select(b: Builder, fx: Fx) -> str:
    x, dim, index = args(fx)
    name = b.value(x)
    axis = dim - 1 if dim >= 0 else len(b.values[name].shape) + dim
    if axis < 0:
        raise Unmapped("one image picked out of the batch")
    index %= b.values[name].shape[axis]
    part = _slice(b, fx, name, axis, index, index + 1, 1)
    return b.emit(fx, "reshape", [part], {"shape": b.shape(fx)})


def split(b: Builder, fx: Fx) -> tuple[str, ...]:
    x, sizes, dim = args(fx, 0)
    name, axis = b.value(x), _axis(b, fx, dim)
    size = b.values[name].shape[axis]
    if isinstance(sizes, int):
        sizes = [min(sizes, size - start) for start in range(0, size, sizes)]
    ends = np.cumsum(sizes)
    return tuple(_slice(b, fx, name, axis, int(end - n), int(end), 1) for n, end in zip(sizes, ends, strict=True))


def chunk(b: Builder, fx: Fx) -> tuple[str, ...]:
    x, chunks, dim = args(fx, 0)
    name, axis = b.value(x), _axis(b, fx, dim)
    size = b.values[name].shape[axis]
    step = -(-size // chunks)
    return tuple(_slice(b, fx, name, axis, i, min(i + step, size), 1) for i in range(0, size, step))


def pad(b: Builder, fx: Fx) -> str:
    x, padding, mode, value = args(fx, "constant", None)
    name = b.value(x)
    if mode != "constant" or value:
        raise Unmapped(f"padding of mode {mode!r} with {value}; only padding with zero is mapped")
    rank = len(b.values[name].shape)
    sides = [(padding[i], padding[i + 1]) for i in range(0, len(padding), 2)]
    if len(sides) > rank or any(side < 0 for both in sides for side in both):
        raise Unmapped(f"the padding {padding}")
    full = [(0, 0)] * (rank - len(sides)) + sides[::-1]
    return b.emit(fx, "pad", [name], {"padding": tuple(full)})


def same(b: Builder, fx: Fx) -> Any:
    """An op that changes no number: a copy, or dropout outside training."""
    return b.env[fx.args[0]]  # type: ignore[index]


def to_copy(b: Builder, fx: Fx) -> Any:
    if not fx.meta["val"].dtype.is_floating_point:
        raise Unmapped(f"a conversion to {fx.meta['val'].dtype}")
    return same(b, fx)


def getitem(b: Builder, fx: Fx) -> Any:
    found = b.env[fx.args[0]]  # type: ignore[index]
    index: Any = fx.args[1]
    if index >= len(found):
        raise Unmapped(f"output {index} of {fx.args[0]}")
    return found[index]


def batch_size(b: Builder, fx: Fx) -> None:
    """The batch size, or a check: shapes and dtypes are known without it."""


OURS: dict[str, Mapping] = {
    "aten.conv2d.default": conv2d,
    "aten.conv2d.padding": conv2d,
    "aten.linear.default": linear,
    "aten._native_batch_norm_legit_no_training.default": batch_norm,
    "aten.relu.default": unary("clamp", clamp=(0, None)),
    "aten.relu6.default": unary("clamp", clamp=(0, 6)),
    "aten.clamp.default": clamp,
    "aten.clamp_min.default": clamp_min,
    "aten.clamp_max.default": clamp_max,
    "aten.hardtanh.default": hardtanh,
    "aten.prelu.default": prelu,
    "aten.expand.default": expand,
    "aten.add.Tensor": add,
    "aten.add.Scalar": add,
    "aten.sub.Tensor": sub,
    "aten.sub.Scalar": sub,
    "aten.rsub.Scalar": rsub,
    "aten.neg.default": neg,
    "aten.mul.Tensor": mul,
    "aten.mul.Scalar": mul,
    "aten.glu.default": glu,
    "aten.div.Tensor": div,
    "aten.div.Scalar": div,
    "aten.maximum.default": bound(0),
    "aten.minimum.default": bound(1),
    "aten.cat.default": concat,
    "aten.max_pool2d.default": max_pool2d,
    "aten.avg_pool2d.default": avg_pool2d,
    "aten.adaptive_avg_pool2d.default": adaptive_avg_pool2d,
    "aten.mean.dim": mean,
    "aten.view.default": reshape,
    "aten._unsafe_view.default": reshape,
    "aten.reshape.default": reshape,
    "aten.flatten.using_ints": reshape,
    "aten.squeeze.dim": reshape,
    "aten.squeeze.dims": reshape,
    "aten.unsqueeze.default": reshape,
    "aten.permute.default": permute,
    "aten.transpose.int": transpose,
    "aten.slice.Tensor": slice_,
    "aten.select.int": select,
    "aten.split.Tensor": split,
    "aten.split_with_sizes.default": split,
    "aten.chunk.default": chunk,
    "aten.pad.default": pad,
    "aten.flip.default": channel_order.flip,
    "aten.index.Tensor": channel_order.index,
    "aten.index_select.default": channel_order.index_select,
    "aten.clone.default": same,
    "aten.contiguous.default": same,
    "aten.alias.default": same,
    "aten.detach.default": same,
    "aten.dropout.default": same,
    "aten._to_copy.default": to_copy,
    "getitem": getitem,
    "aten.sym_size.int": batch_size,
    "aten._assert_tensor_metadata.default": batch_size,
    "mul": batch_size,
}
ON_CONSTANTS = frozenset(
    name for name, mapping in OURS.items() if mapping in (reshape, expand, same, getitem, batch_size)
)
"""What is mapped for constants as for values: so that a parameter that only changes its shape stays a parameter."""


def _check(name: str, thing: Any) -> Mapping:
    """A mapping from outside, of an op that has none here."""
    if not callable(thing):
        raise PluginError(
            f"the mapping {name!r}: expected a function of a Builder and an fx node, found {thing!r:.100}"
        )
    if name.removeprefix("aten.").split(".")[0] in FUNCTIONS:
        raise PluginError(f"the mapping {name!r}: bitwright has this function of one number; give yours another op")
    return thing  # type: ignore[no-any-return]


ATEN: Registry[Mapping] = Registry("mapping", OURS, _check)
"""The table: by op and overload, as `str(fx.target)` spells them."""
