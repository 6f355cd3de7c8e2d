"""Moves that repeat numbers, interleave them or let them wrap around, of slices, concats, reshapes and permutations."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from bitwright.capture.draft import Constant, Operand, Unmapped, as_value
from bitwright.capture.moves import Moves
from bitwright.capture.windows import Pair
from bitwright.graph import Shape

Places = npt.NDArray[np.int64]


class Gathers(Moves):
    """Each method returns the name of the value that it makes, or of x where nothing changes."""

    def repeat(self, x: Operand, axis: int, count: int) -> str:
        """x so many times along an axis, whole after whole."""
        name = as_value(x)
        if name in self.inputs:  # as an order of the image's channels, which weights take in
            return self.index_select(name, axis, [*range(self.size_of(name, axis))] * count)
        return name if count == 1 else self.emit("concat", [name] * count, {"axis": axis})

    def broadcast(self, x: Operand, shape: Shape) -> str:
        """x repeated along axes that are one long, or missing at the front, to this shape."""
        name = as_value(x)
        given = self.values[name].shape
        name = self.reshape(name, (1,) * (len(shape) - len(given)) + given)
        for axis, (have, want) in enumerate(zip(self.values[name].shape, shape, strict=True)):
            if have not in (1, want):
                raise Unmapped(f"{given} repeated to {shape}")
            name = self.repeat(name, axis, want // have)
        return name

    def roll(self, x: Operand, axis: int, shift: int) -> str:
        """x moved towards the end of an axis; what leaves it there comes in at its beginning."""
        size = self.size_of(x, axis)
        cut = -shift % size
        if cut == 0:
            return as_value(x)
        return self.concat([self.slice(x, axis, cut, size), self.slice(x, axis, 0, cut)], axis)

    def stack(self, parts: Sequence[Operand], axis: int) -> str:
        """Values and constants [1, ...] of one shape put together along an axis that they don't have."""
        made: list[Operand] = []
        for part in parts:
            if isinstance(part, str):
                shape = self.values[part].shape
                made.append(self.reshape(part, (*shape[:axis], 1, *shape[axis:])))
            elif isinstance(part, Constant):
                made.append(Constant(np.expand_dims(part.array, axis + 1), part.name, part.learned))
            else:
                raise Unmapped("a number among the values that are stacked")
        return self.concat(made, axis)

    def padded(self, x: Operand, sides: Sequence[tuple[int, int]], mode: str, filling: float) -> str:
        """x with more around its last axes, a (before, after) for each of them; negative: less.

        The mode is "constant" (of `filling`), "reflect", "replicate" or "circular".
        """
        name = as_value(x)
        first = len(self.values[name].shape) - len(sides)
        if first < 0:
            raise Unmapped(f"the padding {list(sides)}")
        for axis, (before, after) in enumerate(sides, first):
            size = self.size_of(name, axis)
            name = self.slice(name, axis, max(-before, 0), size - max(-after, 0))
        more = [(max(before, 0), max(after, 0)) for before, after in sides]
        if not any(side for both in more for side in both):
            return name
        if mode == "constant" and filling == 0:
            return self.pad(name, more)
        for axis, (before, after) in enumerate(more, first):
            if mode == "constant":
                name = self._framed(name, axis, before, after, filling)
            else:
                size = self.size_of(name, axis)
                name = self.index_select(name, axis, AROUND[mode](np.arange(-before, size + after), size).tolist())
        return name

    def _framed(self, name: str, axis: int, before: int, after: int, filling: float) -> str:
        shape = self.values[name].shape
        parts: list[Operand] = []
        for count in (before, after):
            frame = np.full((1, *shape[:axis], count, *shape[axis + 1 :]), filling, np.float32)
            parts.append(Constant(frame) if count else "")
        return self.concat([part for part in (parts[0], name, parts[1]) if part != ""], axis)

    def pixel_shuffle(self, x: Operand, factor: int) -> str:
        """[C * factor^2, H, W] as [C, H * factor, W * factor]."""
        channels, height, width = self._expect_planes(x)
        parted = self.reshape(x, (channels // factor**2, factor, factor, height, width))
        moved = self.permute(parted, (0, 3, 1, 4, 2))
        return self.reshape(moved, (channels // factor**2, height * factor, width * factor))

    def pixel_unshuffle(self, x: Operand, factor: int) -> str:
        """[C, H * factor, W * factor] as [C * factor^2, H, W]."""
        channels, height, width = self._expect_planes(x)
        parted = self.reshape(x, (channels, height // factor, factor, width // factor, factor))
        moved = self.permute(parted, (0, 2, 4, 1, 3))
        return self.reshape(moved, (channels * factor**2, height // factor, width // factor))

    def channel_shuffle(self, x: Operand, groups: int) -> str:
        """The first channels of all groups, then the second ones, and so on."""
        channels, *rest = self.values[as_value(x)].shape
        parted = self.reshape(x, (groups, channels // groups, *rest))
        return self.reshape(self.transpose(parted, 0, 1), (channels, *rest))

    def upsample_nearest(self, x: Operand, places: tuple[Sequence[int], Sequence[int]]) -> str:
        """Planes in another size: `places` says for each row, and for each column, which one it is."""
        name = as_value(x)
        for axis, taken in enumerate(places, 1):
            have, out = self.size_of(name, axis), len(taken)
            if out > have and list(taken) == [i // (out // have) for i in range(out)]:
                shape = self.values[name].shape
                apart = self.reshape(name, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
                name = self.reshape(self.repeat(apart, axis + 1, out // have), (*shape[:axis], out, *shape[axis + 1 :]))
            else:
                name = self.index_select(name, axis, taken)
        return name

    def windows(self, x: Operand, axis: int, size: int, step: int) -> str:
        """All windows along an axis, which counts them then; what is in them lies along a new last axis."""
        count = (self.size_of(x, axis) - size) // step + 1
        taps = [self.slice(x, axis, i, i + (count - 1) * step + 1, step) for i in range(size)]
        return self.stack(taps, len(self.values[as_value(x)].shape))

    def patches(self, x: Operand, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair) -> str:
        """Every window of planes as a column, [C * kh * kw, windows]: what ATen calls im2col."""
        name = self.pad(x, [(side, side) for side in padding]) if any(padding) else as_value(x)
        channels, *size = self._expect_planes(name)
        out = [(size[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
        taps = []
        for place in np.ndindex(*kernel):
            part = name
            for i in (0, 1):
                start = place[i] * dilation[i]
                part = self.slice(part, i + 1, start, start + (out[i] - 1) * stride[i] + 1, stride[i])
            taps.append(part)
        return self.reshape(self.stack(taps, 1), (channels * math.prod(kernel), math.prod(out)))

    def _expect_planes(self, x: Operand) -> tuple[int, int, int]:
        shape = self.values[as_value(x)].shape
        if len(shape) != 3:
            raise Unmapped(f"a value of {shape}; expected planes [C, H, W]")
        return shape


def _reflected(places: Places, size: int) -> Places:
    there = np.abs(places)
    return np.where(there >= size, 2 * (size - 1) - there, there)


def _replicated(places: Places, size: int) -> Places:
    return np.clip(places, 0, size - 1)


def _circular(places: Places, size: int) -> Places:
    return places % size


AROUND: dict[str, Callable[[Places, int], Places]] = {
    "reflect": _reflected,
    "replicate": _replicated,
    "circular": _circular,
}
"""By the mode of a padding: where what is at places around an axis comes from."""
