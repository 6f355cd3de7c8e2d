"""Pools of planes and of lines, as ATen spells them."""

import math

from bitwright.capture.aten import pads
from bitwright.capture.aten.arguments import Mapping, args, pair
from bitwright.capture.program import Fx, Program
from bitwright.graph import Shape


def max_pool2d(p: Program, fx: Fx) -> str:
    x, kernel, stride, padding, dilation, ceil = args(fx, [], 0, 1, False)
    windows = pair(kernel), pair(stride or kernel), pads.of_max_pool2d(fx, padding, ceil), pair(dilation)
    return p.builder.max_pool2d(p.operand(x), *windows, ceil=ceil)


def avg_pool2d(p: Program, fx: Fx) -> str:
    x, kernel, stride, padding, ceil, count_padding, divisor = args(fx, [], 0, False, True, None)
    windows = pair(kernel), pair(stride or kernel), pair(padding) * 2
    return p.builder.avg_pool2d(p.operand(x), *windows, ceil=ceil, count_padding=count_padding, divisor=divisor)


def avg_pool1d(p: Program, fx: Fx) -> str:
    x, kernel, stride, padding, ceil, count_padding = args(fx, [], 0, False, True)
    (size,), (step,), around = kernel, stride or kernel, (padding if isinstance(padding, int) else padding[0])
    windows = (1, size), (1, step), (0, around, 0, around)
    row, shape = _as_row(p, x)
    return _as_line(p, p.builder.avg_pool2d(row, *windows, ceil=ceil, count_padding=count_padding), shape)


def max_pool1d(p: Program, fx: Fx) -> str:
    x, kernel, stride, padding, dilation, ceil = args(fx, [], 0, 1, False)
    (size,), (step,), (around,), (apart,) = (
        [given] if isinstance(given, int) else given for given in (kernel, stride or kernel, padding, dilation)
    )
    row, shape = _as_row(p, x)
    windows = (1, size), (1, step), (0, around, 0, around), (1, apart)
    return _as_line(p, p.builder.max_pool2d(row, *windows, ceil=ceil), shape)


def _as_row(p: Program, x: Fx) -> tuple[str, Shape]:
    """[C, L] as planes of one row, and its shape."""
    shape = p.value_shape(x)
    return p.builder.reshape(p.operand(x), (*shape[:-1], 1, shape[-1])), shape


def _as_line(p: Program, found: str, shape: Shape) -> str:
    return p.builder.reshape(found, (*shape[:-1], p.builder.values[found].shape[-1]))


def uneven_max_pool2d(p: Program, fx: Fx) -> str:
    """A pool of `capture/onnx/windows.py`."""
    x, kernel, stride, sides, dilation, ceil = args(fx)
    windows = pair(kernel), pair(stride), tuple(sides), pair(dilation)
    return p.builder.max_pool2d(p.operand(x), *windows, ceil=ceil)


def uneven_avg_pool2d(p: Program, fx: Fx) -> str:
    x, kernel, stride, sides, ceil, counts = args(fx)
    windows = pair(kernel), pair(stride), tuple(sides)
    return p.builder.avg_pool2d(p.operand(x), *windows, ceil=ceil, count_padding=counts)


def adaptive_avg_pool2d(p: Program, fx: Fx) -> str:
    return p.builder.adaptive_avg_pool2d(p.operand(fx.args[0]), pair(p.shape(fx)[1:]))


def adaptive_avg_pool1d(p: Program, fx: Fx) -> str:
    """That of planes of one row; planes are [..., L] here."""
    x = fx.args[0]
    shape, out = p.value_shape(x), p.shape(fx)[-1]
    rows = p.builder.reshape(p.operand(x), (math.prod(shape[:-1]), 1, shape[-1]))
    return p.builder.reshape(p.builder.adaptive_avg_pool2d(rows, (1, out)), (*shape[:-1], out))


def adaptive_max_pool1d(p: Program, fx: Fx) -> tuple[str]:
    """Likewise; where the maxima are is not known."""
    x, out = args(fx)
    row, shape = _as_row(p, x)
    return (_as_line(p, p.builder.adaptive_max_pool2d(row, (1, pair(out)[0])), shape),)


def with_indices(p: Program, fx: Fx) -> tuple[str]:
    """A max pool; where its maxima are is not known."""
    return (max_pool2d(p, fx),)


def adaptive_max_pool2d(p: Program, fx: Fx) -> tuple[str]:
    return (p.builder.adaptive_max_pool2d(p.operand(fx.args[0]), pair(fx.args[1])),)


POOLS: dict[str, Mapping] = {
    "aten.max_pool2d.default": max_pool2d,
    "aten.max_pool2d_with_indices.default": with_indices,
    "aten.avg_pool2d.default": avg_pool2d,
    "aten.adaptive_avg_pool2d.default": adaptive_avg_pool2d,
    "bitwright.max_pool2d.default": uneven_max_pool2d,
    "bitwright.avg_pool2d.default": uneven_avg_pool2d,
    "aten.adaptive_max_pool2d.default": adaptive_max_pool2d,
    "aten.avg_pool1d.default": avg_pool1d,
    "aten.max_pool1d.default": max_pool1d,
    "aten.adaptive_avg_pool1d.default": adaptive_avg_pool1d,
    "aten.adaptive_max_pool1d.default": adaptive_max_pool1d,
}
"""What of the table is a pool."""
