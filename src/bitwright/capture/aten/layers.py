"""Convolutions, linear layers, batch norms and pools, as ATen spells them."""

from typing import Any

from bitwright.capture.aten.arguments import args, pair
from bitwright.capture.draft import as_constant
from bitwright.capture.program import Fx, Program
from bitwright.capture.windows import NO_PADDING, Pair, Sides, same_padding


def conv2d(p: Program, fx: Fx) -> str:
    x, weight, bias, stride, padding, dilation, groups = args(fx, None, 1, 0, 1, 1)
    kernel, spread = p.operand(weight), pair(dilation)
    return p.builder.conv2d(
        p.operand(x),
        kernel,
        p.optional(bias),
        stride=pair(stride),
        padding=_sides(padding, pair(as_constant(kernel).array.shape[2:]), spread),
        dilation=spread,
        groups=groups,
    )


def _sides(padding: Any, kernel: Pair, dilation: Pair) -> Sides:
    if isinstance(padding, str):
        return same_padding(kernel, dilation) if padding == "same" else NO_PADDING
    return pair(padding) * 2


def linear(p: Program, fx: Fx) -> str:
    x, weight, bias = args(fx, None)
    return p.builder.linear(p.operand(x), p.operand(weight), p.optional(bias))


def batch_norm(p: Program, fx: Fx) -> str:
    """Outside training: `made_functional` leaves no other one."""
    x, weight, bias, mean, var, _, _, eps, _ = args(fx)
    learned = p.optional(weight), p.optional(bias)
    return p.builder.batch_norm(p.operand(x), *learned, p.operand(mean), p.operand(var), float(eps))


def native_batch_norm(p: Program, fx: Fx) -> tuple[str]:
    x, weight, bias, mean, var, _, eps = args(fx)
    learned = p.optional(weight), p.optional(bias)
    return (p.builder.batch_norm(p.operand(x), *learned, p.operand(mean), p.operand(var), float(eps)),)


def max_pool2d(p: Program, fx: Fx) -> str:
    x, kernel, stride, padding, dilation, ceil = args(fx, [], 0, 1, False)
    windows = pair(kernel), pair(stride or kernel), pair(padding) * 2, pair(dilation)
    return p.builder.max_pool2d(p.operand(x), *windows, ceil=ceil)


def avg_pool2d(p: Program, fx: Fx) -> str:
    x, kernel, stride, padding, ceil, count_padding, divisor = args(fx, [], 0, False, True, None)
    windows = pair(kernel), pair(stride or kernel), pair(padding) * 2
    return p.builder.avg_pool2d(p.operand(x), *windows, ceil=ceil, count_padding=count_padding, divisor=divisor)


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


def mean(p: Program, fx: Fx) -> str:
    x, dims, keep, _ = args(fx, False, None)
    rank = len(p.value_shape(x)) + 1
    return p.builder.mean(p.operand(x), [dim % rank - 1 for dim in dims], keep=keep)
