"""Pools whose padding differs from side to side, or is wide, as operators of PyTorch, which has none: `torch.ops.bitwright`.

They compute on -inf or a count of pixels around the image; capture maps them to the builder's methods, which have sides.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.capture.windows import rounded_up

_LIBRARY = torch.library.Library("bitwright", "DEF")
_LIBRARY.define("max_pool2d(Tensor x, int[] kernel, int[] stride, int[] sides, int[] dilation, bool ceil) -> Tensor")
_LIBRARY.define("avg_pool2d(Tensor x, int[] kernel, int[] stride, int[] sides, bool ceil, bool counts) -> Tensor")


def _padded(
    x: Tensor, kernel: list[int], stride: list[int], sides: list[int], dilation: list[int], ceil: bool
) -> list[int]:
    """F.pad's padding under which the number of windows need not be rounded up."""
    size = int(x.shape[2]), int(x.shape[3])
    top, left, bottom, right = sides
    if ceil:
        whole = rounded_up(size, _pair(kernel), _pair(stride), (top, left, bottom, right), _pair(dilation))
        top, left, bottom, right = whole
    return [left, right, top, bottom]


def _pair(numbers: list[int]) -> tuple[int, int]:
    return numbers[0], numbers[1]


def _max_pool2d(
    x: Tensor, kernel: list[int], stride: list[int], sides: list[int], dilation: list[int], ceil: bool
) -> Tensor:
    around = _padded(x, kernel, stride, sides, dilation, ceil)
    return F.max_pool2d(F.pad(x, around, value=-torch.inf), kernel, stride, 0, dilation)


def _avg_pool2d(x: Tensor, kernel: list[int], stride: list[int], sides: list[int], ceil: bool, counts: bool) -> Tensor:
    around = _padded(x, kernel, stride, sides, [1, 1], ceil)
    top, left, bottom, right = sides
    inside = F.pad(torch.ones_like(x[:1, :1]), (left, right, top, bottom), value=float(counts))
    rest = [around[1] - right, around[3] - bottom]
    taps = F.avg_pool2d(F.pad(inside, (0, rest[0], 0, rest[1])), kernel, stride)
    return F.avg_pool2d(F.pad(x, around), kernel, stride) / taps


for _name, _function in (("max_pool2d", _max_pool2d), ("avg_pool2d", _avg_pool2d)):
    _LIBRARY.impl(_name, _function, "CPU")
    torch.library.register_fake(f"bitwright::{_name}", _function, lib=_LIBRARY)
