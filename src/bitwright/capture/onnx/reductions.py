"""Sums and the like over axes, and norms that ATen has no one op for, as ONNX spells them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.capture.onnx.call import Call, Function, Unread, rank_of

Reduction = Callable[[Tensor, list[int], bool], Tensor]
"""Of a tensor, axes, and whether these stay, one long."""


def over_axes(function: Reduction) -> Function:
    """A reduction whose axes are an operand, or in older opsets an attribute."""

    def run(call: Call) -> Tensor:
        x, axes = call.tensor(0), call.sizes(1, "axes")
        if not axes and call.attr("noop_with_empty_axes", 0):
            return x
        if not axes:
            raise Unread("a reduction over all axes, the batch among them")
        return function(x, rank_of(x, axes), bool(call.attr("keepdims", 1)))

    return run


def _mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.mean(axes, keepdim=keep)


def _sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.sum(axes, keepdim=keep)


def _max(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.amax(axes, keepdim=keep)


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _length(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(x, dim=axes, keepdim=keep)
    return found


def over_planes(function: Reduction) -> Function:
    """A reduction over all axes but those of images and channels."""
    return lambda call: function(call.tensor(0), list(range(2, call.tensor(0).dim())), True)


def lp_normalization(call: Call) -> Tensor:
    x, order = call.tensor(0), call.attr("p", 2)
    (axis,) = rank_of(x, [call.attr("axis", -1)])
    if order == 2:
        return F.normalize(x, dim=axis)
    if order != 1:
        raise Unread(f"a norm of order {order}; only 1 and 2 are known")
    return x / x.abs().sum(axis, keepdim=True).clamp(min=1e-12)


def local_response_norm(call: Call) -> Tensor:
    """PyTorch's; of an even number of channels ONNX takes the one more behind, PyTorch before."""
    x, size = call.tensor(0), call.attr("size")
    numbers = size, call.attr("alpha", 1e-4), call.attr("beta", 0.75), call.attr("bias", 1.0)
    if size % 2:
        return F.local_response_norm(x, *numbers)
    return F.local_response_norm(x.flip(1), *numbers).flip(1)


def rms_norm(call: Call) -> Tensor:
    x = call.tensor(0)
    (axis,) = rank_of(x, [call.attr("axis", -1)])
    shape = [int(size) for size in x.shape[axis:]]
    return F.rms_norm(x, shape, call.tensor(1).expand(shape), call.attr("epsilon", 1e-5))


def mean_variance(call: Call) -> Tensor:
    """Of each image by itself; the op's own default counts in the other images, too."""
    x, axes = call.tensor(0), call.attr("axes", [0, 2, 3])
    if 0 in (axes := rank_of(x, axes)):
        raise Unread("a mean and a variance over the images of a batch")
    apart = x - x.mean(axes, keepdim=True)
    return apart / (apart.square().mean(axes, keepdim=True).sqrt() + 1e-9)


def cumsum(call: Call) -> Tensor:
    x, axis = call.tensor(0), call.scalar(1, None)
    if axis is None:
        raise Unread("an axis that is left out")
    (dim,) = rank_of(x, [int(axis)])
    turned = x.flip(dim) if call.attr("reverse", 0) else x
    found = turned.cumsum(dim)
    found = found - turned if call.attr("exclusive", 0) else found
    return found.flip(dim) if call.attr("reverse", 0) else found


def einsum(call: Call) -> Tensor:
    return torch.einsum(call.attr("equation"), *(call.tensor(i) for i in range(len(call.operands))))


def mean_of(call: Call) -> Tensor:
    """Of any number of operands."""
    count = len(call.operands)
    found: Any = sum(call.tensor(i) for i in range(count))
    return found / count  # type: ignore[no-any-return]


REDUCTIONS: dict[str, Function] = {
    "CumSum": cumsum,
    "Einsum": einsum,
    "GlobalAveragePool": over_planes(_mean),
    "GlobalMaxPool": over_planes(_max),
    "LRN": local_response_norm,
    "LpNormalization": lp_normalization,
    "Mean": mean_of,
    "MeanVarianceNormalization": mean_variance,
    "RMSNormalization": rms_norm,
    "ReduceL1": over_axes(lambda x, axes, keep: _sum(x.abs(), axes, keep)),
    "ReduceL2": over_axes(_length),
    "ReduceLogSum": over_axes(lambda x, axes, keep: _sum(x, axes, keep).log()),
    "ReduceLogSumExp": over_axes(lambda x, axes, keep: x.logsumexp(axes, keepdim=keep)),
    "ReduceMax": over_axes(_max),
    "ReduceMean": over_axes(_mean),
    "ReduceMin": over_axes(lambda x, axes, keep: -_max(-x, axes, keep)),
    "ReduceProd": over_axes(_product),
    "ReduceSum": over_axes(_sum),
    "ReduceSumSquare": over_axes(lambda x, axes, keep: _sum(x.square(), axes, keep)),
}
