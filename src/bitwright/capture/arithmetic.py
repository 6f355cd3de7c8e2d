"""Arithmetic of values, constants and numbers as a float graph has it: broadcasting, which axis is the channel, functions.

Shapes and axes leave the batch out. What there are no words for is `Unmapped`.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitwright.capture.draft import Array, Constant, Operand, Unmapped, as_constant, as_value
from bitwright.capture.gathers import Gathers
from bitwright.capture.given import GIVEN
from bitwright.graph import Shape, Value
from bitwright.ops.function import Column, Result, Step
from bitwright.qtensor import QType


class Arithmetic(Gathers):
    """One method for each meaning. Each adds nodes and returns the name of the value that they compute."""

    def affine(self, x: Operand, gain: Operand, shift: Operand) -> str:
        """gain * x + shift with constants: a batch norm of mean 0 and variance 1 if they are one number a channel, else values.

        One that is a parameter of the model stays one.
        """
        name = as_value(x)
        shape = self.values[name].shape
        given = {"bn_weight": as_constant(gain), "bn_bias": as_constant(shift)}
        for part in given.values():
            shape = _widened(part.array, shape)
        name = self.broadcast(name, shape)
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
            return self.emit("add", self._aligned(x, other, one_a_channel=False))
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
            return self.emit("mul", self._aligned(names[0], names[1], one_a_channel=True))
        return self.affine(x, other, 0) if isinstance(x, str) else self.affine(other, x, 0)

    def div(self, x: Operand, other: Operand) -> str:
        """x / other, of which one at least is a value: x times the inverse of other."""
        if isinstance(other, str):
            return self.mul(x, self.function(other, [Step("reciprocal")]))
        return self.affine(x, Constant(1 / as_constant(other).array.astype(np.float64)), 0)

    def _aligned(self, x: str, other: str, *, one_a_channel: bool) -> list[str]:
        """Two values of one shape and channel, each repeated where it has to be; the second may be one number a channel."""
        shapes = self.values[x].shape, self.values[other].shape
        try:
            shape = tuple(np.broadcast_shapes(*shapes))
        except ValueError:
            raise Unmapped(f"values of {shapes[0]} and {shapes[1]}, which do not fit") from None
        x = self.broadcast(x, shape)
        second = (1,) * (len(shape) - len(shapes[1])) + shapes[1]
        varies = [axis for axis, size in enumerate(second) if size > 1]
        if one_a_channel and second != shape and len(varies) <= 1:
            channel = varies[0] if varies else next((a for a, size in enumerate(shape) if size == 1), None)
            if channel is not None:
                return [self.with_channel(x, channel), self.with_channel(self.reshape(other, second), channel)]
        return [x, self.with_channel(self.broadcast(other, shape), self.values[x].channel)]

    def clamp(self, x: Operand, lo: float | None, hi: float | None) -> str:
        """x between these bounds; None where there is none."""
        return self.emit("clamp", [as_value(x)], {"clamp": (lo, hi)})

    def given(self, x: Operand, type_: QType, lo: float, hi: float) -> str:
        """x rounded to codes of a type, in its real form: between the ends of what they hold."""
        return self.emit("clamp", [as_value(x)], {"clamp": (lo, hi), GIVEN: type_})

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

    def power(self, x: Operand, exponent: Operand) -> str:
        """x to the power of a constant: one number, or one for each entry of an axis."""
        name, given = as_value(x), as_constant(exponent).array
        if given.size == 1:
            return self.function(name, [Step("pow", (Result(0), float(given.reshape(())[()])))])
        shape = _widened(given, self.values[name].shape)
        varies = _varies_along(given, shape)
        if len(varies) > 1:
            raise Unmapped(f"exponents of {list(given.shape)}; expected one number, or one for each entry of one axis")
        name = self.with_channel(self.broadcast(name, shape), varies[0])
        numbers = tuple(float(number) for number in given.reshape(-1))
        return self.function(name, [Step("pow", (Result(0), Column(numbers)))])

    def glu(self, x: Operand, axis: int) -> str:
        """The first half along an axis times the sigmoid of the second half."""
        first, second = self.split(x, axis, [self.size_of(x, axis) // 2] * 2)
        return self.mul(first, self.function(second, [Step("sigmoid")]))


def scaled(operand: Operand, by: float) -> Operand:
    """A constant or a number times a number; a parameter stays one."""
    if by == 1:
        return operand
    given = as_constant(operand)
    return (
        Constant(given.array * by, learned=given.learned) if isinstance(operand, Constant) else float(given.array * by)
    )


def _widened(array: Array, shape: Shape) -> Shape:
    """What broadcasting an array against a batch of this shape gives; Unmapped where that can't be."""
    try:
        found = np.broadcast_shapes((1, *shape), array.shape)
    except ValueError:
        raise Unmapped(f"a constant of {array.shape}, which does not fit {shape}") from None
    if found[0] != 1:
        raise Unmapped(f"a constant of {array.shape}, which has several images")
    return tuple(found[1:])


def _varies_along(array: Array, shape: Shape) -> list[int]:
    """The axes along which a constant differs that is broadcast against a batch of this shape."""
    full = (1,) * (len(shape) + 1 - array.ndim) + array.shape
    return [axis - 1 for axis, size in enumerate(full) if size != 1]


def _per_channel(array: Array, value: Value) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(np.broadcast_to(array.reshape(-1), (value.channels,)), np.float32)
