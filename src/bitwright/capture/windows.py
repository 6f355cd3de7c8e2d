"""Where the windows of convolutions and pools lie: how formats say it, and the padding and divisors that our ops want.

Padding is (top, left, bottom, right). Our ops always round the number of windows down; where a format rounds up (`ceil_mode`),
the padding grows at the end instead, and that part of it is never counted by a divisor.
"""

import numpy as np
import numpy.typing as npt

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]
NO_PADDING = (0, 0, 0, 0)


def same_padding(kernel: Pair, dilation: Pair) -> Sides:
    """Padding under which windows one pixel apart are as many as pixels; an odd one goes to the end."""
    total = [dilation[i] * (kernel[i] - 1) for i in (0, 1)]
    return total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2


def rounded_up(size: Pair, kernel: Pair, stride: Pair, padding: Sides, dilation: Pair = (1, 1)) -> Sides:
    """The padding under which rounding down gives as many windows as rounding up gave under `padding`.

    As in PyTorch and ONNX, a window that would start behind the image and its first padding is left out.
    """
    ends = []
    for axis in (0, 1):
        before, after = padding[axis], padding[axis + 2]
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        count = -(-(size[axis] + before + after - reach) // stride[axis]) + 1
        if (count - 1) * stride[axis] >= size[axis] + before:
            count -= 1
        ends.append(max(after, (count - 1) * stride[axis] + reach - size[axis] - before))
    return padding[0], padding[1], ends[0], ends[1]


def divisors(
    out: Pair, size: Pair, kernel: Pair, stride: Pair, padding: Sides, counted: Sides
) -> npt.NDArray[np.int64]:
    """What each window's sum is divided by: how many of its taps lie inside the image grown by `counted`; int64 `out`."""
    rows, columns = (
        _taps(size[i], out[i], kernel[i], stride[i], padding[i], (counted[i], counted[i + 2])) for i in (0, 1)
    )
    return np.outer(rows, columns)


def _taps(size: int, out: int, kernel: int, stride: int, before: int, counted: Pair) -> npt.NDArray[np.int64]:
    start = np.arange(out) * stride - before
    return np.minimum(start + kernel, size + counted[1]) - np.maximum(start, -counted[0])
