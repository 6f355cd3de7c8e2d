"""`Builder`: what the ops of classifiers mean, in words that every format shares, and the float graph that they become.

A frontend (`aten.py`) is a table from its format's ops to these methods. They hold the rules: padding and divisors here,
broadcasting in `arithmetic.py`, what only moves numbers in `moves.py`. Shapes and axes leave the batch out. What there are no
words for is `Unmapped`.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bitwright.capture import windows
from bitwright.capture.arithmetic import Arithmetic
from bitwright.capture.draft import Array, Constant, Operand, Unmapped, as_constant, as_value
from bitwright.capture.windows import NO_PADDING, Pair, Sides
from bitwright.graph import Shape
from bitwright.ops.window import output_size


class Builder(Arithmetic):
    """One method for each meaning. Each adds nodes and returns the name of the value that they compute."""

    # layers with weights

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

    def linear(self, x: Operand, weight: Operand, bias: Operand | None = None) -> str:
        """x W^T + bias over the last axis, weight [O, I] and bias [O]."""
        return self.emit("linear", [as_value(x)], {}, _weight_and_bias(weight, bias))

    def batch_norm(
        self, x: Operand, weight: Operand | None, bias: Operand | None, mean: Operand, var: Operand, eps: float
    ) -> str:
        """(x - mean) / sqrt(var + eps) * weight + bias over the first axis, whatever comes behind it; all of them [C]."""
        channels = as_constant(mean).array.shape
        name = self.with_channel(as_value(x), 0)
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
        if len(shape) != 3:
            raise Unmapped(f"a norm of the groups of {shape}; expected planes, C, H, W")
        attrs = {"groups": shape[0] if groups is None else groups, "eps": eps}
        return self.emit("group_norm", [name], attrs, _gain_and_shift(shape[:1], weight, bias))

    def layer_norm(self, x: Operand, axes: int, weight: Operand | None, bias: Operand | None, eps: float) -> str:
        """The numbers along the last axis with mean 0 and variance 1, times weight plus bias, both as long as that axis."""
        name = as_value(x)
        shape = self.values[name].shape
        if axes != 1:
            raise Unmapped(f"a layer norm over the last {axes} axes of {shape}; only one over the last axis is mapped")
        name = self.with_channel(name, len(shape) - 1)
        return self.emit("layer_norm", [name], {"eps": eps}, _gain_and_shift(shape[-1:], weight, bias))

    def attention(self, query: Operand, key: Operand, value: Operand, scale: float | None) -> str:
        """softmax(scale * query key^T) value, of tokens [..., T, D]: axes in front of them are heads. None: 1 / sqrt(D)."""
        names = [as_value(x) for x in (query, key, value)]
        shapes = [self.values[name].shape for name in names]
        if any(len(shape) < 2 or shape[:-2] != shapes[0][:-2] for shape in shapes):
            raise Unmapped(f"an attention of {shapes}; expected tokens [..., T, D] with the same heads")
        scale = shapes[0][-1] ** -0.5 if scale is None else scale
        if scale <= 0:
            raise Unmapped(f"an attention with scores times {scale}; expected a factor above 0")
        heads = math.prod(shapes[0][:-2])
        tokens = [self._side_by_side(name, heads) for name in names]
        found = self.emit("attention", tokens, {"heads": heads, "scale": float(scale)})
        count, width = shapes[0][-2], shapes[2][-1]
        parted = self.permute(self.reshape(found, (count, heads, width)), (1, 0, 2))
        return self.reshape(parted, (*shapes[0][:-1], width))

    def _side_by_side(self, name: str, heads: int) -> str:
        """Tokens of heads, [..., T, D], as tokens with the channels of all heads, [T, heads * D]."""
        *_, count, width = self.values[name].shape
        parted = self.permute(self.reshape(name, (heads, count, width)), (1, 0, 2))
        return self.reshape(parted, (count, heads * width))

    # pools

    def max_pool2d(
        self,
        x: Operand,
        kernel: Pair,
        stride: Pair,
        padding: Sides = NO_PADDING,
        dilation: Pair = (1, 1),
        *,
        ceil: bool = False,
    ) -> str:
        """The maxima of windows; `ceil` rounds their number up."""
        name = as_value(x)
        if ceil:
            padding = windows.rounded_up(_planes(self.values[name].shape)[1:], kernel, stride, padding, dilation)
        attrs = {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}
        return self.emit("max_pool2d", [name], attrs)

    def avg_pool2d(
        self,
        x: Operand,
        kernel: Pair,
        stride: Pair,
        padding: Sides = NO_PADDING,
        *,
        ceil: bool = False,
        count_padding: bool = True,
        divisor: int | None = None,
    ) -> str:
        """The means of windows: sums over `divisor`, else over the number of taps in the image, or in its padding as well."""
        name = as_value(x)
        planes = _planes(self.values[name].shape)
        size = planes[1:]
        if kernel == size and not any(padding) and not divisor:
            return self.global_avg_pool2d(name)
        counted = padding if count_padding else NO_PADDING
        if ceil:
            padding = windows.rounded_up(size, kernel, stride, padding)
        out = output_size(planes, kernel, stride, padding)
        by = np.full(out, divisor) if divisor else windows.divisors(out, size, kernel, stride, padding, counted)
        attrs = {"kernel": kernel, "stride": stride, "padding": padding}
        return self.emit("avg_pool2d", [name], attrs, {"divisor": by.astype(np.float64)})

    def adaptive_avg_pool2d(self, x: Operand, out: Pair) -> str:
        """The means of `out` windows that share the image among them."""
        name = as_value(x)
        size = _planes(self.values[name].shape)[1:]
        if out == (1, 1):
            return self.global_avg_pool2d(name)
        if out == size:
            return name
        if any(s % o for s, o in zip(size, out, strict=True)):
            raise Unmapped(f"an adaptive average of {list(size)} to {list(out)}, whose windows differ in size")
        kernel = (size[0] // out[0], size[1] // out[1])
        return self.avg_pool2d(name, kernel, kernel, divisor=kernel[0] * kernel[1])

    def global_avg_pool2d(self, x: Operand) -> str:
        """The mean of each plane, [C, 1, 1]."""
        return self.emit("global_avg_pool2d", [as_value(x)])

    def mean(self, x: Operand, axes: Sequence[int], *, keep: bool = False) -> str:
        """The mean over all axes but one, the channel; with `keep`, those axes stay, one long."""
        name = as_value(x)
        shape, over = self.values[name].shape, sorted(axes)
        kept = [axis for axis in range(len(shape)) if axis not in over]
        if len(kept) != 1 or not over or over[0] < 0:
            counted = [axis + 1 for axis in axes]
            raise Unmapped(f"a mean over the axes {counted}; only a mean over all axes but one, the channel, is")
        channel = kept[0]
        if channel != 0:
            name = self.permute(name, (channel, *over))
        if len(shape) != 3:
            name = self.emit("reshape", [name], {"shape": (shape[channel], math.prod(shape) // shape[channel], 1)})
        left = tuple(size if axis == channel else 1 for axis, size in enumerate(shape) if keep or axis == channel)
        return self.reshape(self.global_avg_pool2d(name), left)


def _gain_and_shift(channels: Shape, weight: Operand | None, bias: Operand | None) -> dict[str, Constant | Array]:
    return {
        "bn_weight": np.ones(channels, np.float32) if weight is None else as_constant(weight),
        "bn_bias": np.zeros(channels, np.float32) if bias is None else as_constant(bias),
    }


def _weight_and_bias(weight: Operand, bias: Operand | None) -> Mapping[str, Constant]:
    return (
        {"weight": as_constant(weight)} if bias is None else {"weight": as_constant(weight), "bias": as_constant(bias)}
    )


def _planes(shape: Shape) -> tuple[int, int, int]:
    """(C, H, W) of planes; Unmapped for anything else."""
    if len(shape) != 3:
        raise Unmapped(f"a pool over {list(shape)}; expected planes [C, H, W]")
    return shape
