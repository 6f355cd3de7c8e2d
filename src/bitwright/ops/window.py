"""Sliding windows, shared by convolution and pools."""

import numpy as np

from bitwright.errors import GraphError
from bitwright.graph import Value
from bitwright.ops.op import Array, integers

Pair = tuple[int, int]
Padding = tuple[int, int, int, int]

STRIDE = integers(2, 1)
KERNEL = integers(2, 1)
MAX_INTERMEDIATE = 2**30
PADDING = integers(4)


def output_size(
    planes: tuple[int, int, int], kernel: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1)
) -> Pair:
    """(OH, OW) of windows over planes (C, H, W), padding (top, left, bottom, right); GraphError where they do not fit."""
    found, size = [], planes[1:]
    padded = (size[0] + padding[0] + padding[2]) * (size[1] + padding[1] + padding[3])
    expect_room(planes[0] * padded, f"{planes} padded by {padding}")
    for axis in (0, 1):
        room = size[axis] + padding[axis] + padding[axis + 2] - dilation[axis] * (kernel[axis] - 1) - 1
        if room < 0:
            raise GraphError(
                f"a window of {kernel} with dilation {dilation} does not fit into {size} padded by {padding}"
            )
        found.append(room // stride[axis] + 1)
    return found[0], found[1]


def expect_room(elements: int, what: str) -> None:
    """Raise GraphError where an intermediate array of one image would claim too much memory."""
    if elements > MAX_INTERMEDIATE:
        raise GraphError(f"{what} would hold {elements} numbers an image; at most {MAX_INTERMEDIATE} are allowed")


def pad(x: Array, padding: Padding, fill: float) -> Array:
    """Pad x [N, C, H, W] by (top, left, bottom, right)."""
    top, left, bottom, right = padding
    if not any(padding):
        return x
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)


def tap(padded: Array, i: int, j: int, size: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Array:
    """What every window of a padded x [N, C, H, W] sees at its tap (i, j): a view [N, C, OH, OW]."""
    top, left = i * dilation[0], j * dilation[1]
    return padded[
        :,
        :,
        top : top + (size[0] - 1) * stride[0] + 1 : stride[0],
        left : left + (size[1] - 1) * stride[1] + 1 : stride[1],
    ]


def columns(padded: Array, kernel: Pair, size: Pair, stride: Pair, dilation: Pair) -> Array:
    """All windows of a padded x [N, C, H, W], as [C, kh, kw, N, OH, OW]: one matrix for the whole batch."""
    found = np.empty((padded.shape[1], *kernel, padded.shape[0], *size), padded.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            found[:, i, j] = tap(padded, i, j, size, stride, dilation).transpose(1, 0, 2, 3)
    return found


def expect_inside(size: int, taps: int, stride: int, before: int, count: int, dilation: int) -> None:
    """Raise GraphError unless each of `count` windows along one axis has a tap inside the image."""
    last_start = (count - 1) * stride - before
    if before > (taps - 1) * dilation or last_start >= size or (before and size < dilation):
        raise GraphError(
            f"a window of {taps} taps, {dilation} apart, lies in the padding alone (size {size}, {before} before)"
        )


def expect_planes(value: Value, what: str) -> tuple[int, int, int]:
    """(C, H, W) of an input that must be planes."""
    if len(value.shape) != 3 or value.channel != 0:
        raise GraphError(
            f"{what} needs an input of C, H, W; found {value.shape} with axis {value.channel} as its channel"
        )
    return value.shape
