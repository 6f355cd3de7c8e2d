"""Maxima and means of windows, in words that every format shares."""

import numpy as np

from bitwright.capture import windows
from bitwright.capture.draft import Operand, Unmapped, as_value
from bitwright.capture.reductions import Reductions
from bitwright.capture.windows import NO_PADDING, Pair, Sides
from bitwright.graph import Shape
from bitwright.ops.window import output_size


class Pools(Reductions):
    """One method for each meaning. Each adds nodes and returns the name of the value that they compute."""

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
        several, *shape = self.values[name].shape
        if len(shape) == 3:  # of several planes of channels
            merged = self.reshape(name, (several * shape[0], *shape[1:]))
            found = self.max_pool2d(merged, kernel, stride, padding, dilation, ceil=ceil)
            return self.reshape(found, (several, shape[0], *self.values[found].shape[1:]))
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
        if ceil and not any(padding) and kernel[0] >= size[0] and kernel[1] >= size[1] and kernel == stride:
            return self.global_avg_pool2d(name)
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
            return self.uneven_avg_pool2d(name, size, out)
        kernel = (size[0] // out[0], size[1] // out[1])
        return self.avg_pool2d(name, kernel, kernel, divisor=kernel[0] * kernel[1])

    def adaptive_max_pool2d(self, x: Operand, out: Pair) -> str:
        """The maxima of `out` windows that share the planes among them; of shorter windows the last number counts twice."""
        name, kernel = as_value(x), []
        for axis, count in ((1, out[0]), (2, out[1])):
            size = self.size_of(name, axis)
            edges = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
            most = max(stop - start for start, stop in edges)
            if size % count:
                places = [min(start + i, stop - 1) for start, stop in edges for i in range(most)]
                name = self.index_select(name, axis, places)
            kernel.append(most)
        return self.max_pool2d(name, (kernel[0], kernel[1]), (kernel[0], kernel[1]))

    def global_avg_pool2d(self, x: Operand) -> str:
        """The mean of each plane, [C, 1, 1]."""
        return self.emit("global_avg_pool2d", [as_value(x)])


def _planes(shape: Shape) -> tuple[int, int, int]:
    """(C, H, W) of planes; Unmapped for anything else."""
    if len(shape) != 3:
        raise Unmapped(f"a pool over {list(shape)}; expected planes [C, H, W]")
    return shape
