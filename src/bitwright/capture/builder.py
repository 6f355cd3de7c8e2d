"""`Builder`: what the ops of classifiers mean, in words that every format shares, and the float graph that they become.

A frontend (`aten.py`) is a table from its format's ops to these methods. They hold the rules: padding, divisors, broadcasting,
which axis is the channel. Shapes and axes leave the batch out. What there are no words for is `Unmapped`.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bitwright.capture import windows
from bitwright.capture.draft import Array, Constant, Operand, Unmapped, as_constant, as_value
from bitwright.capture.moves import Moves
from bitwright.capture.windows import NO_PADDING, Pair, Sides
from bitwright.graph import Shape, Value
from bitwright.ops.function import Step
from bitwright.ops.window import output_size


class Builder(Moves):
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

    # arithmetic of values, constants and numbers, which are broadcast

    def affine(self, x: Operand, gain: Operand, shift: Operand) -> str:
        """gain * x + shift with constants: a batch norm of mean 0 and variance 1 if they are one number a channel, else values.

        One that is a parameter of the model stays one.
        """
        name = as_value(x)
        shape = self.values[name].shape
        given = {"bn_weight": as_constant(gain), "bn_bias": as_constant(shift)}
        for part in given.values():
            _expect_no_wider(part.array, shape)
        varies = [axis for part in given.values() for axis in _varies_along(part.array, shape)]
        if len(set(varies)) > 1:
            return self._with_constants(name, gain, shift)
        name = self.with_channel(name, varies[0] if varies else None)
        moved = self.values[name]
        tensors: dict[str, Constant | Array] = {key: _per_channel(part.array, moved) for key, part in given.items()}
        tensors |= {"bn_mean": np.zeros(moved.channels, np.float32), "bn_var": np.ones(moved.channels, np.float32)}
        learns = tuple(key for key, part in given.items() if part.learned)
        attrs = {"eps": 0.0, "constant": True, **({"learns": learns} if learns else {})}
        return self.emit("batch_norm", [name], attrs, tensors)

    def _with_constants(self, name: str, gain: Operand, shift: Operand) -> str:
        """gain * x + shift where these differ within a channel: they are values of x's shape, such as a position embedding."""
        for op, source, neutral in (("mul", gain, 1), ("add", shift, 0)):
            if not (isinstance(source, int | float) and source == neutral):
                x = self.values[name]
                name = self.emit(op, [name, self.constant_value(source, x.shape, x.channel)], label=op)
        return name

    def add(self, x: Operand, other: Operand) -> str:
        """x + other, of which one at least is a value."""
        if isinstance(x, str) and isinstance(other, str):
            return self.emit("add", self._aligned(x, other))
        return self.affine(x, 1, other) if isinstance(x, str) else self.affine(other, 1, x)

    def sub(self, x: Operand, other: Operand) -> str:
        """x - other, of which one at least is a value."""
        if isinstance(x, str):
            return self.add(x, self.neg(other) if isinstance(other, str) else scaled(other, -1))
        return self.affine(other, -1, x)

    def neg(self, x: Operand) -> str:
        return self.affine(x, -1, 0)

    def mul(self, x: Operand, other: Operand) -> str:
        """x * other, of which one at least is a value."""
        if isinstance(x, str) and isinstance(other, str):
            names = sorted([x, other], key=lambda name: -math.prod(self.values[name].shape))
            return self.emit("mul", self._aligned(*names))
        return self.affine(x, other, 0) if isinstance(x, str) else self.affine(other, x, 0)

    def div(self, x: Operand, other: Operand) -> str:
        """x / other, where other is a constant."""
        if not isinstance(x, str) or isinstance(other, str):
            raise Unmapped("a quotient whose divisor is not a constant")
        return self.affine(x, Constant(1 / as_constant(other).array.astype(np.float64)), 0)

    def _aligned(self, x: str, other: str) -> list[str]:
        """Two values, the second one with the axis of the first one as its channel."""
        first, second = self.values[x], self.values[other]
        alike = len(first.shape) == len(second.shape)  # what is not has no meaning, and is refused
        return [x, self.with_channel(other, first.channel if alike else None)]

    # functions of one number

    def clamp(self, x: Operand, lo: float | None, hi: float | None) -> str:
        """x between these bounds; None where there is none."""
        return self.emit("clamp", [as_value(x)], {"clamp": (lo, hi)})

    def maximum(self, x: Operand, other: Operand) -> str:
        """The larger one of a value and a number: a clamp from below."""
        name, number = _value_and_number(x, other)
        return self.clamp(name, number, None)

    def minimum(self, x: Operand, other: Operand) -> str:
        """The smaller one of a value and a number: a clamp from above."""
        name, number = _value_and_number(x, other)
        return self.clamp(name, None, number)

    def prelu(self, x: Operand, slope: Operand) -> str:
        """x where it is positive, else slope * x; one slope, or one for each entry of the first axis."""
        given = as_constant(slope)
        if given.array.dtype != np.float32:
            given = Constant(given.array.astype(np.float32))
        name = self.with_channel(as_value(x), 0 if given.array.size > 1 else None)
        return self.emit("prelu", [name], {}, {"slope": given})

    def function(self, x: Operand, steps: Sequence[Step]) -> str:
        """Any function of one number, as the steps that compute it."""
        return self.emit("function", [as_value(x)], {"steps": tuple(steps)}, label=steps[-1].name)

    def glu(self, x: Operand, axis: int) -> str:
        """The first half along an axis times the sigmoid of the second half."""
        first, second = self.split(x, axis, [self.size_of(x, axis) // 2] * 2)
        return self.mul(first, self.function(second, [Step("sigmoid")]))

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


def scaled(operand: Operand, by: float) -> Operand:
    """A constant or a number times a number; a parameter stays one."""
    if by == 1:
        return operand
    given = as_constant(operand)
    return (
        Constant(given.array * by, learned=given.learned) if isinstance(operand, Constant) else float(given.array * by)
    )


def _gain_and_shift(channels: Shape, weight: Operand | None, bias: Operand | None) -> dict[str, Constant | Array]:
    return {
        "bn_weight": np.ones(channels, np.float32) if weight is None else as_constant(weight),
        "bn_bias": np.zeros(channels, np.float32) if bias is None else as_constant(bias),
    }


def _weight_and_bias(weight: Operand, bias: Operand | None) -> Mapping[str, Constant]:
    return (
        {"weight": as_constant(weight)} if bias is None else {"weight": as_constant(weight), "bias": as_constant(bias)}
    )


def _value_and_number(x: Operand, other: Operand) -> tuple[str, float]:
    name, number = (x, other) if isinstance(x, str) else (other, x)
    if isinstance(number, str) or as_constant(number).array.size != 1:
        raise Unmapped("two values, of which neither is a number or computed from the other")
    return as_value(name), float(as_constant(number).array.item())


def _expect_no_wider(array: Array, shape: Shape) -> None:
    """Unmapped where an array cannot be broadcast against a batch of this shape, or makes it larger."""
    try:
        found = np.broadcast_shapes((1, *shape), array.shape)
    except ValueError:
        raise Unmapped(f"a constant of {array.shape}, which does not fit {shape}") from None
    if found != (1, *shape):
        raise Unmapped(f"a constant that widens {shape} to {found[1:]}")


def _varies_along(array: Array, shape: Shape) -> list[int]:
    """The axes along which a constant differs that is broadcast against a batch of this shape."""
    full = (1,) * (len(shape) + 1 - array.ndim) + array.shape
    return [axis - 1 for axis, size in enumerate(full) if size != 1]


def _per_channel(array: Array, value: Value) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(np.broadcast_to(array.reshape(-1), (value.channels,)), np.float32)


def _planes(shape: Shape) -> tuple[int, int, int]:
    """(C, H, W) of planes; Unmapped for anything else."""
    if len(shape) != 3:
        raise Unmapped(f"a pool over {list(shape)}; expected planes [C, H, W]")
    return shape
