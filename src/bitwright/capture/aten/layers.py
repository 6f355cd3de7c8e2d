"""Convolutions, linear layers, batch norms and sums, as ATen spells them."""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from bitwright.capture.aten.arguments import args, pair
from bitwright.capture.aten.idioms import tokens
from bitwright.capture.aten.scores import product
from bitwright.capture.draft import Constant, Operand, Unmapped, as_constant
from bitwright.capture.program import Fx, Program
from bitwright.capture.tail import op_name
from bitwright.capture.windows import NO_PADDING, Pair, Sides, same_padding


def conv2d(p: Program, fx: Fx) -> str:
    x, weight, bias, stride, padding, dilation, groups = args(fx, None, 1, 0, 1, 1)
    planes, kernel, shift, spread = p.value(x), p.operand(weight), p.optional(bias), pair(dilation)
    sides = _sides(padding, pair(as_constant(kernel).array.shape[2:]), spread)
    convolve = partial(p.builder.conv2d, stride=pair(stride), padding=sides, dilation=spread)
    count, *rest = p.builder.values[planes].shape
    if len(rest) < 3:
        return convolve(planes, kernel, shift, groups=groups)
    # Each image has several planes, of windows or heads, and all of them the same weights: a group for each.
    many = p.builder.reshape(planes, (count * rest[0], *rest[1:]))
    shifts = None if shift is None else repeated(shift, count)
    found = convolve(many, repeated(kernel, count), shifts, groups=count * groups)
    channels, *size = p.builder.values[found].shape
    return p.builder.reshape(found, (count, channels // count, *size))


def repeated(operand: Operand, count: int) -> Constant:
    """What belongs to the channels of one plane, for so many planes."""
    given = as_constant(operand)
    return Constant(np.tile(given.array, (count,) + (1,) * (given.array.ndim - 1)), learned=given.learned)


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
    return p.builder.batch_norm(p.operand(x), *learned, p.operand(mean), p.operand(var), float(eps), p.axis(x, 1))


def native_batch_norm(p: Program, fx: Fx) -> tuple[str]:
    x, weight, bias, mean, var, _, eps = args(fx)
    learned = p.optional(weight), p.optional(bias)
    return (p.builder.batch_norm(p.operand(x), *learned, p.operand(mean), p.operand(var), float(eps), p.axis(x, 1)),)


def avg_pool3d(p: Program, fx: Fx) -> str:
    """The mean of neighbouring channels, as a local response norm has it: by a matrix."""
    x, kernel, stride, padding, ceil, _, divisor = args(fx, [], 0, False, True, None)
    size, *other = kernel
    steps, around = stride or kernel, [padding] if isinstance(padding, int) else list(padding)
    if other != [1, 1] or list(steps) != [1, 1, 1] or any(around) or ceil or p.value_shape(x)[0] != 1:
        raise Unmapped(f"an average over windows of {kernel}; only one over neighbouring channels is mapped")
    count = p.value_shape(x)[1]
    matrix = np.tri(count - size + 1, count, size - 1) - np.tri(count - size + 1, count, -1)
    return p.builder.along(p.operand(x), 1, matrix / (divisor or size))


def conv1d(p: Program, fx: Fx) -> str:
    x, weight, bias, stride, padding, dilation, groups = args(fx, None, 1, 0, 1, 1)
    kernel, spread = p.operand(weight), pair(dilation)[0]
    total = spread * (as_constant(kernel).array.shape[2] - 1) if padding == "same" else 0
    sides = (total // 2, total - total // 2) if isinstance(padding, str) else (pair(padding)[0],) * 2
    return p.builder.conv1d(p.operand(x), kernel, p.optional(bias), pair(stride)[0], sides, spread, groups)


def conv_transpose2d(p: Program, fx: Fx) -> str:
    x, weight, bias, stride, padding, more, groups, dilation = args(fx, None, 1, 0, 0, 1, 1)
    return p.builder.conv_transpose2d(
        p.operand(x),
        p.operand(weight),
        p.optional(bias),
        stride=pair(stride),
        padding=pair(padding),
        more=pair(more),
        groups=groups,
        dilation=pair(dilation),
    )


def conv_transpose1d(p: Program, fx: Fx) -> str:
    """That of planes of one row."""
    x, weight, bias, stride, padding, more, groups, dilation = args(fx, None, 1, 0, 0, 1, 1)
    channels, length = p.value_shape(x)
    given = as_constant(p.operand(weight))
    found = p.builder.conv_transpose2d(
        p.builder.reshape(p.operand(x), (channels, 1, length)),
        replace(given, array=given.array[:, :, None]),
        p.optional(bias),
        stride=(1, pair(stride)[0]),
        padding=(0, pair(padding)[0]),
        more=(0, pair(more)[0]),
        groups=groups,
        dilation=(1, pair(dilation)[0]),
    )
    outputs, _, columns = p.builder.values[found].shape
    return p.builder.reshape(found, (outputs, columns))


def resampled(p: Program, fx: Fx) -> str:
    """Bilinear and bicubic resizing mix rows, and columns, by matrices: they are what becomes of one pixel after another."""
    _, height, width = p.shape(fx)
    name = op_name(fx)
    mode = "bicubic" if "bicubic" in name else "bilinear"
    _, _, corners, factors = args(fx, None, False, None)
    how = {"mode": mode, "align_corners": bool(corners), "antialias": name.endswith("_aa")}
    _, *sizes = p.value_shape(fx.args[0])
    by_rows, by_columns = (
        _resizing(size, out, factor, how)
        for size, out, factor in zip(sizes, (height, width), factors or (None, None), strict=True)
    )
    return p.builder.resampled(p.operand(fx.args[0]), (by_rows, by_columns))


def _resizing(size: int, out: int, factor: float | None, how: dict[str, Any]) -> npt.NDArray[np.float64]:
    """[out, size]: a factor says where pixels come from, more exactly than the two sizes do."""
    to: Any = {"size": (out, size)} if factor is None else {"scale_factor": (factor, 1.0)}
    found: npt.NDArray[np.float64] = F.interpolate(torch.eye(size)[None, None], **to, **how)[0, 0].double().numpy()
    return found


def upsample_nearest(p: Program, fx: Fx) -> str:
    """PyTorch says which pixel is taken: its own rounding decides where two are as near."""
    _, height, width = p.shape(fx)
    _, _, *factors = args(fx, None, None)
    if len(factors) == 1:  # upsample_nearest2d.vec has them as a list
        factors = factors[0] or [None, None]
    _, *sizes = p.value_shape(fx.args[0])
    mode = "nearest-exact" if "exact" in op_name(fx) else "nearest"
    rows, columns = (
        _nearest(size, out, factor, mode) for size, out, factor in zip(sizes, (height, width), factors, strict=True)
    )
    return p.builder.upsample_nearest(p.operand(fx.args[0]), (rows, columns))


def _nearest(size: int, out: int, factor: float | None, mode: str) -> list[int]:
    to: Any = {"size": (1, out)} if factor is None else {"scale_factor": (1.0, factor)}
    line = torch.arange(size, dtype=torch.float32)[None, None, None]
    places: list[int] = F.interpolate(line, mode=mode, **to)[0, 0, 0].int().tolist()
    return places


def rms_norm(p: Program, fx: Fx) -> str:
    x, sizes, weight, eps = args(fx, None, None)
    shape, gain = p.value_shape(x), p.optional(weight)
    if not isinstance(gain, str | None):
        gain = replace(as_constant(gain), array=np.broadcast_to(as_constant(gain).array, sizes).reshape(-1))
    rows = shape[: len(shape) - len(sizes)]
    flat = p.builder.reshape(p.operand(x), (*rows, math.prod(sizes)))
    found = p.builder.rms_norm(flat, len(rows), gain, 1.2e-7 if eps is None else eps)
    return p.builder.reshape(found, shape)


def matmul(p: Program, fx: Fx) -> str:
    """A product of matrices; by one that belongs to the model it is a linear layer."""
    found = product(fx, apart=False)
    if found is None:
        return einsum(p, fx)
    sides = (found.first, found.first_turned), (found.second, found.second_turned)
    for read, turned in sides:
        constant = p.env.get(read)
        if isinstance(constant, Constant) and constant.array.ndim == 1 and read is found.second:
            row = Constant(constant.array[None], constant.name, constant.learned)
            name = p.builder.linear(_matrix(p, found.first, found.first_turned), row)
            return p.builder.reshape(name, p.builder.values[name].shape[:-1])
        if isinstance(constant, Constant) and math.prod(constant.array.shape[:-2]) == 1:
            matrix = constant.array.reshape(constant.array.shape[-2:])
            matrix = matrix.T if turned else matrix
            (other, other_turned) = sides[1] if read is found.first else sides[0]
            name = _matrix(p, other, other_turned)
            rank = len(p.builder.values[name].shape)
            if read is found.first:
                return p.builder.along(name, rank - 2, matrix)
            weight = Constant(np.ascontiguousarray(matrix.T), constant.name, constant.learned)
            return p.builder.linear(name, weight)
    first, second = (_matrix(p, read, turned) for read, turned in sides)
    return p.builder.matmul(first, second)


def einsum(p: Program, fx: Fx) -> str:
    """Sums of products of two operands, in any order of axes: a product of matrices for each place that both have."""
    given, operands = args(fx)[:2]
    reads, _, result = given.replace(" ", "").partition("->")
    parts = reads.split(",")
    if len(parts) != 2 or not result or "." in given or any(len({*part}) < len(part) for part in (*parts, result)):
        raise Unmapped(f"the einsum {given!r}; only those of two operands, without a diagonal, are mapped")
    batch = result[0] if p.displaced is None else ""
    names, letters, b = [], [], p.builder
    for read, part in zip(operands, parts, strict=True):
        found = p.operand(read)
        fixed = isinstance(found, Constant) and all(isinstance(size, int) for size in read.meta["val"].shape)
        letters.append(part if fixed else part.replace(batch, ""))
        if isinstance(found, Constant) and fixed:
            whole = Constant(found.array[None], found.name, found.learned)
            names.append(b.constant_value(whole, found.array.shape, found.array.ndim - 1))
        else:
            names.append(tokens(p, read))
    first, second = letters
    result = result.replace(batch, "") if batch else result
    both = [c for c in first if c in second and c in result]
    summed = [c for c in first if c in second and c not in result]
    rows, columns = ([c for c in part if c not in both and c not in summed] for part in (first, second))
    sizes = {c: b.values[name].shape[part.index(c)] for name, part in zip(names, letters, strict=True) for c in part}
    if {*result} != {*both, *rows, *columns}:
        raise Unmapped(f"the einsum {given!r}, in which an operand alone is summed up")
    x, y = (
        b.permute(name, [part.index(c) for c in order])
        for name, part, order in zip(names, letters, ((*both, *rows, *summed), (*both, *summed, *columns)), strict=True)
    )
    lead = tuple(sizes[c] for c in both)
    count = [math.prod(sizes[c] for c in part) for part in (rows, summed, columns)]
    made = b.matmul(b.reshape(x, (*lead, count[0], count[1])), b.reshape(y, (*lead, count[1], count[2])))
    order = [*both, *rows, *columns]
    return b.permute(b.reshape(made, tuple(sizes[c] for c in order)), [order.index(c) for c in result])


def _matrix(p: Program, fx: Fx, turned: bool) -> str:
    found, sizes = p.operand(fx), fx.meta["val"].shape
    if isinstance(found, Constant) and all(isinstance(size, int) for size in sizes):  # it knows of no batch
        shape = found.array.shape[1:] if p.displaced is None and len(sizes) > 3 else found.array.shape
        whole = Constant(found.array.reshape(1, *shape), found.name, found.learned)
        name = p.builder.constant_value(whole, shape, len(shape) - 1)
    else:
        name = tokens(p, fx)
    rank = len(p.builder.values[name].shape)
    return p.builder.transpose(name, rank - 2, rank - 1) if turned else name
