"""`Builder`: what the ops of classifiers mean, in words that every format shares, and the float graph that they become.

A frontend (`aten.py`) is a table from its format's ops to these methods. They hold the rules: padding and divisors in
`pools.py`, broadcasting in `arithmetic.py`, what only moves numbers in `moves.py`. Shapes and axes leave the batch out. What
there are no words for is `Unmapped`.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bitwright.capture.draft import Array, Constant, Operand, Unmapped, as_constant, as_value
from bitwright.capture.pools import Pools
from bitwright.capture.windows import NO_PADDING, Pair, Sides
from bitwright.graph import Shape


class Builder(Pools):
    """One method for each meaning. Each adds nodes and returns the name of the value that they compute."""

    def conv2d(
        self,
        x: Operand,
        weight: Operand,
        bias: Operand | None = None,
        *,
        stride: Pair = (1, 1),
        padding: Sides = NO_PADDING,
        dilation: Pair = (1, 1),
        groups: int = 1,
    ) -> str:
        """A convolution, weight [O, I / groups, kh, kw] and bias [O]."""
        attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return self.emit("conv2d", [as_value(x)], attrs, _weight_and_bias(weight, bias))

    def conv1d(
        self, x: Operand, weight: Operand, bias: Operand | None, stride: int, padding: Pair, dilation: int, groups: int
    ) -> str:
        """A convolution along one axis, of [C, L], weight [O, I / groups, k]: that of planes of one row."""
        channels, length = self.values[as_value(x)].shape
        given = as_constant(weight)
        kernel = Constant(given.array[:, :, None], given.name, given.learned)
        found = self.conv2d(
            self.reshape(x, (channels, 1, length)),
            kernel,
            bias,
            stride=(1, stride),
            padding=(0, padding[0], 0, padding[1]),
            dilation=(1, dilation),
            groups=groups,
        )
        rows, _, columns = self.values[found].shape
        return self.reshape(found, (rows, columns))

    def conv_transpose2d(
        self,
        x: Operand,
        weight: Operand,
        bias: Operand | None,
        *,
        stride: Pair,
        padding: Pair,
        more: Pair,
        dilation: Pair,
        groups: int,
    ) -> str:
        """A transposed convolution, weight [I, O / groups, kh, kw]: a convolution of pixels with zeros between them.

        `more` is how many further rows and columns there are at the end.
        """
        name, given = as_value(x), as_constant(weight)
        for axis in (1, 2):
            step, size = stride[axis - 1], self.size_of(name, axis)
            if step > 1:
                shape = self.values[name].shape
                apart = self.reshape(name, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
                spread = self.pad(apart, [(0, step - 1), *((0, 0),) * (2 - axis)])
                spread = self.reshape(spread, (*shape[:axis], size * step, *shape[axis + 1 :]))
                name = self.slice(spread, axis, 0, (size - 1) * step + 1)
        inputs, outputs, *kernel = given.array.shape
        parted = given.array.reshape(groups, inputs // groups, outputs, *kernel).swapaxes(1, 2)
        turned = parted.reshape(groups * outputs, inputs // groups, *kernel)[:, :, ::-1, ::-1]
        before = [dilation[i] * (kernel[i] - 1) - padding[i] for i in (0, 1)]
        name = self.padded(name, [(before[i], before[i] + more[i]) for i in (0, 1)], "constant", 0)
        return self.conv2d(
            name,
            Constant(np.ascontiguousarray(turned), given.name, given.learned),
            bias,
            dilation=dilation,
            groups=groups,
        )

    def linear(self, x: Operand, weight: Operand, bias: Operand | None = None) -> str:
        """x W^T + bias over the last axis, weight [O, I] and bias [O]."""
        return self.emit("linear", [as_value(x)], {}, _weight_and_bias(weight, bias))

    def batch_norm(
        self,
        x: Operand,
        weight: Operand | None,
        bias: Operand | None,
        mean: Operand,
        var: Operand,
        eps: float,
        axis: int = 0,
    ) -> str:
        """(x - mean) / sqrt(var + eps) * weight + bias for each entry of an axis, the first one; all of them [C]."""
        channels = as_constant(mean).array.shape
        name = self.with_channel(as_value(x), axis)
        statistics = {"bn_mean": as_constant(mean), "bn_var": as_constant(var)}
        tensors: dict[str, Constant | Array] = {**_gain_and_shift(channels, weight, bias), **statistics}
        spread = as_constant(var).array
        if wrong := int((spread + eps <= 0).sum()):
            raise Unmapped(
                f"its variance is negative, or 0 without an eps, in {wrong} of {spread.size} channels; is the "
                "checkpoint damaged, or is another tensor in its place?"
            )
        return self.emit("batch_norm", [name], {"eps": eps}, tensors)

    def group_norm(
        self, x: Operand, groups: int | None, weight: Operand | None, bias: Operand | None, eps: float
    ) -> str:
        """Each group of channels with mean 0 and variance 1, times weight [C] plus bias [C]; None: each channel by itself."""
        name = as_value(x)
        shape = self.values[name].shape
        attrs = {"groups": shape[0] if groups is None else groups, "eps": eps}
        planes = name if len(shape) == 3 else self.reshape(name, (shape[0], math.prod(shape[1:]), 1))
        return self.reshape(self.emit("group_norm", [planes], attrs, _gain_and_shift(shape[:1], weight, bias)), shape)

    def layer_norm(self, x: Operand, axes: int, weight: Operand | None, bias: Operand | None, eps: float) -> str:
        """The numbers along the last axes with mean 0 and variance 1, times weight plus bias, both of their shape."""
        name = as_value(x)
        shape = self.values[name].shape
        if axes == 1:
            return self.layer_norm_along(x, len(shape) - 1, weight, bias, eps)
        rows = math.prod(shape[:-axes])
        found = self.group_norm(self.reshape(name, (rows, math.prod(shape) // rows, 1)), rows, None, None, eps)
        gain, shift = (1 if weight is None else weight), (0 if bias is None else bias)
        return self.affine(self.reshape(found, shape), gain, shift)

    def layer_norm_along(self, x: Operand, axis: int, weight: Operand | None, bias: Operand | None, eps: float) -> str:
        """The same along any axis."""
        name = self.with_channel(as_value(x), axis)
        size = self.values[name].shape[axis]
        return self.emit("layer_norm", [name], {"eps": eps}, _gain_and_shift((size,), weight, bias))

    def attention(
        self, query: Operand, key: Operand, value: Operand, scale: float | None, bias: Array | None = None
    ) -> str:
        """softmax(scale * query key^T + bias) value, of tokens [..., T, D]: axes in front of them are heads.

        No scale: 1 / sqrt(D). A bias is [B, T, S], for heads in turn; minus infinity hides a key.
        """
        names = [as_value(x) for x in (query, key, value)]
        shapes = [self.values[name].shape for name in names]
        if any(len(shape) < 2 or len(shape) != len(shapes[0]) for shape in shapes):
            raise Unmapped(f"an attention of {shapes}; expected tokens [..., T, D] with the same heads")
        heads = tuple(np.broadcast_shapes(*(shape[:-2] for shape in shapes)))
        names = [self.broadcast(name, (*heads, *shape[-2:])) for name, shape in zip(names, shapes, strict=True)]
        scale = shapes[0][-1] ** -0.5 if scale is None else scale
        if scale <= 0:
            raise Unmapped(f"an attention with scores times {scale}; expected a factor above 0")
        count, width = shapes[0][-2], shapes[2][-1]
        tokens = [self._side_by_side(name, math.prod(heads)) for name in names]
        tensors = {} if bias is None or not bias.any() else {"score_bias": hidden(bias)}
        found = self.emit("attention", tokens, {"heads": math.prod(heads), "scale": float(scale)}, tensors)
        parted = self.permute(self.reshape(found, (count, math.prod(heads), width)), (1, 0, 2))
        return self.reshape(parted, (*heads, count, width))

    def softmax(self, x: Operand, axis: int) -> str:
        """exp(x) over its sum along an axis: attention, with x as queries, and keys and values that name each number."""
        name = as_value(x)
        last = len(self.values[name].shape) - 1
        size = self.size_of(name, axis)
        if size > MOST_SOFTMAX:
            raise Unmapped(f"a softmax of {size} numbers outside an attention; expected at most {MOST_SOFTMAX}")
        moved = name if axis == last else self.transpose(name, axis, last)
        shape = self.values[moved].shape
        rows = self.reshape(moved, (math.prod(shape) // size, size))
        each = self.constant_value(Constant(np.eye(size, dtype=np.float32)[None]), (size, size), 1)
        attrs = {"heads": 1, "scale": 1.0}
        found = self.reshape(self.emit("attention", [rows, each, each], attrs, label="softmax"), shape)
        return found if axis == last else self.transpose(found, axis, last)

    def _side_by_side(self, name: str, heads: int) -> str:
        """Tokens of heads, [..., T, D], as tokens with the channels of all heads, [T, heads * D]."""
        *_, count, width = self.values[name].shape
        parted = self.permute(self.reshape(name, (heads, count, width)), (1, 0, 2))
        return self.reshape(parted, (count, heads * width))

    def folded(self, x: Operand, size: Pair, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair) -> str:
        """Columns [C * kh * kw, windows] as planes [C, H, W]: windows lie where they were, and add up where they overlap."""
        rows, _ = self.values[as_value(x)].shape
        out = [(size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
        taps = kernel[0] * kernel[1]
        covered = all(out[i] * kernel[i] == size[i] for i in (0, 1))
        if stride == kernel and dilation == (1, 1) and padding == (0, 0) and covered:
            parted = self.permute(self.reshape(x, (rows // taps, *kernel, *out)), (0, 3, 1, 4, 2))
            return self.reshape(parted, (rows // taps, *size))
        weight = np.tile(np.eye(taps, dtype=np.float32).reshape(taps, 1, *kernel), (rows // taps, 1, 1, 1))
        reach = [(out[i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i] for i in (0, 1)]
        more = (size[0] - reach[0], size[1] - reach[1])
        return self.conv_transpose2d(
            self.reshape(x, (rows, out[0], out[1])),
            Constant(weight),
            None,
            stride=stride,
            padding=padding,
            more=more,
            dilation=dilation,
            groups=rows // taps,
        )


MOST_SOFTMAX = 1024
"""Numbers that a softmax is taken of, since it multiplies by a matrix of so many rows and columns."""
HIDDEN = -1e9
"""What is added to the score of a key that is hidden: as good as minus infinity, and a number."""


def hidden(bias: Array) -> Array:
    """A bias without infinite numbers."""
    return np.maximum(bias, HIDDEN).astype(np.float32)


def _gain_and_shift(channels: Shape, weight: Operand | None, bias: Operand | None) -> dict[str, Constant | Array]:
    return {
        "bn_weight": np.ones(channels, np.float32) if weight is None else _one_a_channel(channels, weight),
        "bn_bias": np.zeros(channels, np.float32) if bias is None else _one_a_channel(channels, bias),
    }


def _one_a_channel(channels: Shape, operand: Operand) -> Constant:
    """One number for all stands for each of them."""
    given = as_constant(operand)
    return given if given.array.size != 1 else replace(given, array=np.full(channels, given.array.reshape(())))


def _weight_and_bias(weight: Operand, bias: Operand | None) -> Mapping[str, Constant]:
    return (
        {"weight": as_constant(weight)} if bias is None else {"weight": as_constant(weight), "bias": as_constant(bias)}
    )
