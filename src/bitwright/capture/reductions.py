"""Sums, means and maxima over axes, linear maps along one, and norms: what mixes numbers without having learned how."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitwright.capture.arithmetic import Arithmetic
from bitwright.capture.draft import Array, Constant, Operand, Unmapped, as_constant, as_value
from bitwright.capture.windows import Pair
from bitwright.graph import Shape
from bitwright.ops.function import Step

MOST_WINDOW = 2**12
MOST_FACTORS = 64
"""So many numbers that are multiplied along an axis: the range of their product squares with every halving."""
MOST_PRODUCTS = 2**24
"""So many numbers a product of two values may be made of."""


class Reductions(Arithmetic):
    """One method for each meaning. Each adds nodes and returns the name of the value that they compute."""

    def mean(self, x: Operand, axes: Sequence[int], *, keep: bool = False) -> str:
        """The mean over axes; with `keep`, those axes stay, one long."""
        name, left = self._kept_first(x, axes, keep)
        return self.reshape(self.emit("global_avg_pool2d", [name]), left)

    def sum(self, x: Operand, axes: Sequence[int], *, keep: bool = False) -> str:
        """The sum over axes, as `mean`."""
        name, left = self._kept_first(x, axes, keep)
        size = self.values[name].shape[1:]
        if max(size) > MOST_WINDOW:
            return self.affine(self.mean(x, axes, keep=keep), math.prod(size), 0)
        attrs = {"kernel": size, "stride": size, "padding": (0, 0, 0, 0)}
        found = self.emit("avg_pool2d", [name], attrs, {"divisor": np.ones((1, 1))})
        return self.reshape(found, left)

    def max(self, x: Operand, axes: Sequence[int], *, keep: bool = False) -> str:
        """The greatest number over axes, as `mean`."""
        name, left = self._kept_first(x, axes, keep)
        size = self.values[name].shape[1:]
        if max(size) > MOST_WINDOW:
            raise Unmapped(f"a maximum over {size}; at most {MOST_WINDOW} along each axis")
        attrs = {"kernel": size, "stride": size, "dilation": (1, 1), "padding": (0, 0, 0, 0)}
        return self.reshape(self.emit("max_pool2d", [name], attrs), left)

    def min(self, x: Operand, axes: Sequence[int], *, keep: bool = False) -> str:
        """The least number over axes, as `mean`."""
        return self.neg(self.max(self.neg(x), axes, keep=keep))

    def maximum(self, x: Operand, other: Operand) -> str:
        """The larger of two numbers: a clamp from below where one is fixed, else the greatest of two that lie side by side."""
        if isinstance(x, str) and isinstance(other, str):
            both = self._aligned(x, other, one_a_channel=False)
            return self.max(self.stack(both, len(self.values[both[0]].shape)), [len(self.values[both[0]].shape)])
        name, number = _value_and_number(x, other)
        return self.clamp(name, number, None)

    def minimum(self, x: Operand, other: Operand) -> str:
        """The smaller of two numbers, as `maximum`."""
        if isinstance(x, str) and isinstance(other, str):
            return self.neg(self.maximum(self.neg(x), self.neg(other)))
        name, number = _value_and_number(x, other)
        return self.clamp(name, None, number)

    def variance(self, x: Operand, axes: Sequence[int], correction: float, *, keep: bool = False) -> str:
        """The mean square of what differs from the mean over axes, times n / (n - correction)."""
        count = math.prod(self.size_of(x, axis) for axis in axes)
        if count <= correction:
            raise Unmapped(f"a variance of {count} numbers with a correction of {correction}, which is not finite")
        apart = self.sub(x, self.mean(x, axes, keep=True))
        mean = self.mean(self.function(apart, [Step("square")]), axes, keep=keep)
        return self.affine(mean, count / (count - correction), 0) if correction else mean

    def log_sum_exp(self, x: Operand, axes: Sequence[int], *, keep: bool = False) -> str:
        """log(sum(exp(x))) over axes, as `mean`: the greatest number, and the logarithm of the sum of shares of it."""
        most = self.max(x, axes, keep=True)
        found = self.add(most, self._log_of_shares(x, most, axes))
        return found if keep else self.reshape(found, self._kept_first(x, axes, False)[1])

    def log_softmax(self, x: Operand, axis: int) -> str:
        """x - log(sum(exp(x))) along an axis, its greatest number taken off first: what is rounded stays small."""
        most = self.max(x, [axis], keep=True)
        return self.sub(self.sub(x, most), self._log_of_shares(x, most, [axis]))

    def _log_of_shares(self, x: Operand, most: str, axes: Sequence[int]) -> str:
        """log(sum(exp(x - most))) over axes, which stay, one long."""
        shares = self.function(self.sub(x, most), [Step("exp")])
        return self.function(self.sum(shares, axes, keep=True), [Step("log")])

    def prod(self, x: Operand, axes: Sequence[int], *, keep: bool = False) -> str:
        """The product over an axis, as `mean`: of its two halves, number by number, as often as it takes."""
        (axis,), name = axes, as_value(x)
        left = self._kept_first(name, axes, keep)[1]
        if (size := self.size_of(name, axis)) > MOST_FACTORS:
            raise Unmapped(f"a product of {size} numbers, which 8 bits cannot hold; at most {MOST_FACTORS}")
        while (size := self.size_of(name, axis)) > 1:
            first, second, *odd = self.split(name, axis, [size // 2] * 2 + [1] * (size % 2))
            product = self.mul(first, second)
            name = self.concat([product, *odd], axis) if odd else product
        return self.reshape(name, left)

    def _kept_first(self, x: Operand, axes: Sequence[int], keep: bool) -> tuple[str, Shape]:
        """x as planes, of which the channels are all that stays; and the shape of the result."""
        name = as_value(x)
        shape, over = self.values[name].shape, sorted(axes)
        if not over or over[0] < 0 or over[-1] >= len(shape):
            raise Unmapped(f"a reduction of {shape} over the axes {over}")
        kept = [axis for axis in range(len(shape)) if axis not in over]
        if [*kept, *over] != list(range(len(shape))):
            name = self.permute(name, (*kept, *over))
        if len(kept) != 1 or len(shape) != 3:
            rows = math.prod(shape[axis] for axis in kept)
            name = self.reshape(name, (rows, math.prod(shape) // rows, 1))
        left = tuple(1 if axis in over else size for axis, size in enumerate(shape) if keep or axis in kept)
        return name, left or (1,)

    def along(self, x: Operand, axis: int, matrix: npt.NDArray[np.float64], bias: Operand | None = None) -> str:
        """matrix [O, I] times the I numbers along an axis, which has O then."""
        name = as_value(x)
        last = len(self.values[name].shape) - 1
        moved = name if axis == last else self.transpose(name, axis, last)
        tensors: dict[str, Constant | Array] = {"weight": np.ascontiguousarray(matrix, np.float32)}
        if bias is not None:
            tensors["bias"] = as_constant(bias)
        found = self.emit("linear", [moved], {}, tensors)
        return found if axis == last else self.transpose(found, axis, last)

    def matmul(self, x: Operand, other: Operand) -> str:
        """Products of two values' last axes, [..., T, D] by [..., D, E]: number by number, and summed up.

        There is no op for it but as a part of attention, so that every product is a number of its own for a moment.
        """
        first, second = self.values[as_value(x)].shape, self.values[as_value(other)].shape
        if len(first) < 2 or len(second) < 2 or first[-1] != second[-2]:
            raise Unmapped(f"a product of {first} and {second}")
        lead = tuple(np.broadcast_shapes(first[:-2], second[:-2]))
        whole = (*lead, first[-2], second[-1], first[-1])
        if math.prod(whole) > MOST_PRODUCTS:
            raise Unmapped(
                f"a product of {first} and {second} outside an attention; expected at most {MOST_PRODUCTS} products"
            )
        turned = self.transpose(other, len(second) - 2, len(second) - 1)
        rows = self.reshape(x, (*first[:-1], 1, first[-1]))
        columns = self.reshape(turned, (*second[:-2], 1, second[-1], second[-2]))
        products = self.mul(self.broadcast(rows, whole), self.broadcast(columns, whole))
        return self.sum(products, [len(whole) - 1])

    def resampled(self, x: Operand, matrices: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]) -> str:
        """Planes whose columns and then rows are mixed by matrices; one that changes nothing is left out."""
        name = as_value(x)
        for axis, matrix in ((1, matrices[0]), (2, matrices[1])):
            if not np.array_equal(matrix, np.eye(self.size_of(name, axis))):
                name = self.along(name, axis, matrix)
        return name

    def uneven_avg_pool2d(self, x: Operand, size: Pair, out: Pair) -> str:
        """The means of windows that share the planes among them and differ in size."""
        return self.resampled(x, (_shares(size[0], out[0]), _shares(size[1], out[1])))

    def rms_norm(self, x: Operand, axis: int, weight: Operand | None, eps: float, times: float = 1.0) -> str:
        """The numbers along an axis with mean square 1, times weight.

        A layer norm of x beside -x, whose mean is 0 whatever x is, and whose variance is the mean square.
        """
        name = as_value(x)
        size = self.size_of(name, axis)
        gain = np.full(size, times, np.float32) if weight is None else times * as_constant(weight).array.reshape(-1)
        if gain.size != size:
            raise Unmapped(f"a norm over {size} numbers with {gain.size} gains")
        both = self.with_channel(self.concat([name, self.neg(name)], axis), axis)
        tensors: dict[str, Constant | Array] = {"bn_weight": np.tile(gain, 2).astype(np.float32)}
        tensors["bn_bias"] = np.zeros(2 * size, np.float32)
        return self.slice(self.emit("layer_norm", [both], {"eps": eps}, tensors), axis, 0, size)

    def l2_normalize(self, x: Operand, axis: int, eps: float) -> str:
        """The numbers along an axis with length 1; `eps` is the least length that they are divided by."""
        size = self.size_of(x, axis)
        return self.rms_norm(x, axis, None, max(eps, 1e-8) ** 2 / size, size**-0.5)

    def length(self, x: Operand, axes: Sequence[int], *, keep: bool = False) -> str:
        """The square root of the sum of squares over axes."""
        name = as_value(x)
        count = math.prod(self.size_of(name, axis) for axis in axes)
        mean = self.mean(self.function(name, [Step("square")]), axes, keep=keep)
        return self.function(self.affine(mean, count, 0), [Step("sqrt")])


def _value_and_number(x: Operand, other: Operand) -> tuple[str, float]:
    name, number = (x, other) if isinstance(x, str) else (other, x)
    if isinstance(number, str) or as_constant(number).array.size != 1:
        raise Unmapped("a value and a constant of several numbers, of which the larger or smaller ones are taken")
    return as_value(name), float(as_constant(number).array.item())


def _shares(size: int, out: int) -> npt.NDArray[np.float64]:
    """[out, size]: what of each number is in the mean of each window."""
    matrix = np.zeros((out, size))
    for i in range(out):
        start, stop = i * size // out, -(-(i + 1) * size // out)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
