"""The pieces of docs/arithmetic.md that several ops share, for one number at a time, in plain Python."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from bitwright.graph import Value
from tests.conformance.ops.case import Case


def zero_point(value: Value, channel: int) -> int:
    assert value.type is not None
    found = value.type.zero_point
    return found[channel] if isinstance(found, tuple) else found


def real_code(case: Case, i: int, index: tuple[int, ...]) -> int:
    """x_step * x - x_zp at [n, ...] of input i."""
    type_ = case.inputs[i].type
    assert type_ is not None
    return (2 if type_.scheme == "binary" else 1) * int(case.xs[i][index]) - zero_point(
        case.inputs[i], index[case.inputs[i].axis]
    )


def finish(case: Case, t: np.float32, *, add_zero_point: bool) -> float | np.float32:
    """code = clip(rint(t), lo, hi), or t itself."""
    assert isinstance(t, np.float32)
    type_ = case.output.type
    if type_ is None:
        return t
    if add_zero_point:
        t = np.float32(t + np.float32(0.5 if type_.scheme == "binary" else type_.one_zero_point))
    lo, hi = case.node.attrs.get("lo", 0), case.node.attrs.get("hi", type_.codes.hi)
    return min(max(round(float(t)), lo), hi)  # Python rounds half to even


def epilogue(case: Case, acc: int, index: tuple[int, ...]) -> Any:
    tensors, channel = case.node.tensors, index[case.output.axis]
    assert abs(acc) < 2**31
    t = np.float32(np.int32(acc)) * tensors["m"][channel]
    return with_residual(case, t + tensors["b"][channel], index)


def with_residual(case: Case, t: np.float32, index: tuple[int, ...]) -> Any:
    if len(case.inputs) == 2:
        t = t + np.float32(real_code(case, 1, index)) * case.node.tensors["m_r"][0]
    return finish(case, t, add_zero_point=False)


def window(case: Case, index, kernel, dilation=(1, 1)) -> Iterator[tuple[int, int, int, int]]:
    """(i, j, y, x) of every tap inside the image, for the window of output [n, c, oy, ox]."""
    _, height, width = case.inputs[0].shape
    attrs = case.node.attrs
    for i, j in product(range(kernel[0]), range(kernel[1])):
        y = index[2] * attrs["stride"][0] - attrs["padding"][0] + i * dilation[0]
        x = index[3] * attrs["stride"][1] - attrs["padding"][1] + j * dilation[1]
        if 0 <= y < height and 0 <= x < width:
            yield i, j, y, x
