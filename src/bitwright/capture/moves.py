"""Numbers that change their places: reshapes, permutations, slices, and values put together."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from bitwright.capture.draft import Draft, Operand, Unmapped, as_constant, as_value
from bitwright.graph import Shape


class Moves(Draft):
    """A draft that knows moves. Each method returns the name of the value that it makes, or of x where nothing moves."""

    def reshape(self, x: Operand, shape: Shape) -> str:
        name = as_value(x)
        return name if shape == self.values[name].shape else self.emit("reshape", [name], {"shape": shape})

    def permute(self, x: Operand, dims: Sequence[int]) -> str:
        """Axis i of the result is axis dims[i] of x."""
        return self.emit("permute", [as_value(x)], {"dims": tuple(dims)})

    def transpose(self, x: Operand, first: int, second: int) -> str:
        """Two axes change places."""
        dims = list(range(len(self.values[as_value(x)].shape)))
        dims[first], dims[second] = dims[second], dims[first]
        return self.permute(x, dims)

    def concat(self, parts: Sequence[Operand], axis: int) -> str:
        """Values and constants [1, ...] put together along an axis."""
        channel = next((self.values[part].channel for part in parts if isinstance(part, str)), 0)
        names = [
            part if isinstance(part, str) else self.constant_value(part, as_constant(part).array.shape[1:], channel)
            for part in parts
        ]
        return self.emit("concat", names, {"axis": axis})

    def slice(self, x: Operand, axis: int, start: int | None, stop: int | None, step: int = 1) -> str:
        """x[start:stop:step] along an axis, as Python means it."""
        name = as_value(x)
        size = self.values[name].shape[axis]
        begin, end, _ = slice(start, stop).indices(size)
        if (begin, end, step) == (0, size, 1):
            return name
        return self.emit("slice", [name], {"axis": axis, "start": begin, "stop": end, "step": step})

    def select(self, x: Operand, axis: int, index: int) -> str:
        """x[index] along an axis, which goes away."""
        index %= self.size_of(x, axis)
        part = self.slice(x, axis, index, index + 1)
        shape = self.values[part].shape
        return self.emit("reshape", [part], {"shape": (*shape[:axis], *shape[axis + 1 :])})

    def split(self, x: Operand, axis: int, sizes: Sequence[int]) -> tuple[str, ...]:
        """Parts of x of these sizes along an axis, one behind the other."""
        ends = np.cumsum(sizes)
        return tuple(self.slice(x, axis, int(end - n), int(end)) for n, end in zip(sizes, ends, strict=True))

    def index_select(self, x: Operand, axis: int, order: Sequence[int]) -> str:
        """The entries of x at these positions along an axis, in this order."""
        if list(order) == list(range(self.size_of(x, axis))):
            return as_value(x)
        starts = [0, *(i for i, (a, c) in enumerate(pairwise(order), 1) if c != a + 1), len(order)]
        runs = [(order[a], order[z - 1] + 1) for a, z in pairwise(starts)]
        attrs = [{"axis": axis, "start": start, "stop": stop, "step": 1} for start, stop in runs]
        parts = [self.emit("slice", [as_value(x)], run) for run in attrs]
        return parts[0] if len(parts) == 1 else self.emit("concat", parts, {"axis": axis})

    def pad(self, x: Operand, sides: Sequence[tuple[int, int]]) -> str:
        """Zeros before and behind x along its last axes, one pair for each of them."""
        name = as_value(x)
        rank = len(self.values[name].shape)
        if len(sides) > rank or any(side < 0 for both in sides for side in both):
            raise Unmapped(f"the padding {list(sides)}")
        return self.emit("pad", [name], {"padding": ((0, 0),) * (rank - len(sides)) + tuple(sides)})

    def size_of(self, x: Operand, axis: int) -> int:
        return self.values[as_value(x)].shape[axis]
