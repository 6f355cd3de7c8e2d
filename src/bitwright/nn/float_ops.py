"""Float ops in PyTorch, one function each: what a prepared model runs while calibrating and training.

A function takes a layer (its node's attributes, its parameters), whether batch norms use the batch's statistics, and the
inputs [N, ...]; it returns the result in front of the output's quantizer.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.ops.function import compute

FloatFunction = Callable[[Mapping[str, Any], Mapping[str, Tensor], bool, list[Tensor]], Tensor]


def conv2d(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    top, left, bottom, right = attrs["padding"]
    x, padding = xs[0], (top, left)
    if (top, left) != (bottom, right):
        x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
    if "bn_mean" in t and not training and not torch.is_grad_enabled():
        t = _folded(t, attrs["eps"])
    y = F.conv2d(x, t["weight"], t.get("bias"), attrs["stride"], padding, attrs["dilation"], attrs["groups"])
    return _finish(y, attrs, t, training, xs)


def _folded(t: Mapping[str, Tensor], eps: float) -> dict[str, Tensor]:
    """The tensors of a convolution without its batch norm, which its weight and bias do."""
    gain = t["bn_weight"] * torch.rsqrt(t["bn_var"] + eps)
    bias = t["bias"] - t["bn_mean"] if "bias" in t else -t["bn_mean"]
    return {"weight": t["weight"] * gain.reshape(-1, 1, 1, 1), "bias": bias * gain + t["bn_bias"]}


def linear(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    return _finish(F.linear(xs[0], t["weight"], t.get("bias")), attrs, t, training, xs)


def batch_norm(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    return _finish(xs[0], attrs, t, training, xs)


def add(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    return clamp(xs[0] + xs[1], attrs)


def mul(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    return clamp(xs[0] * xs[1], attrs)


def _finish(y: Tensor, attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    """Batch norm, residual and clamp, in this order."""
    if "bn_mean" in t:
        training = training and not attrs.get("constant", False)
        momentum = attrs.get("momentum", 0.0)
        y = F.batch_norm(y, t["bn_mean"], t["bn_var"], t["bn_weight"], t["bn_bias"], training, momentum, attrs["eps"])
    fresh = not torch.is_grad_enabled()  # nobody else needs y, so it is overwritten
    if len(xs) == 2:
        y = y.add_(xs[1]) if fresh and y.dtype == xs[1].dtype else y + xs[1]
    return clamp(y, attrs, fresh)


def clamp(y: Tensor, attrs: Mapping[str, Any], inplace: bool = False) -> Tensor:
    """Clamped to [lo, hi] where there are bounds; relu and hardtanh, which their gradients make cheaper than `clamp`."""
    lo, hi = attrs.get("clamp", (None, None))
    if lo is None and hi is None:
        return y
    if hi is None and lo == 0:
        return F.relu(y, inplace)
    return y.clamp(lo, hi) if lo is None or hi is None else F.hardtanh(y, lo, hi, inplace)


def max_pool2d(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    top, left, bottom, right = attrs["padding"]
    x = F.pad(xs[0], (left, right, top, bottom), value=float("-inf")) if any(attrs["padding"]) else xs[0]
    return F.max_pool2d(x, attrs["kernel"], attrs["stride"], 0, attrs["dilation"])


def avg_pool2d(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    top, left, bottom, right = attrs["padding"]
    total = F.avg_pool2d(F.pad(xs[0], (left, right, top, bottom)), attrs["kernel"], attrs["stride"], divisor_override=1)
    return total / t["divisor"].to(total.dtype)


def slice_(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    return xs[0][(slice(None),) * (attrs["axis"] + 1) + (slice(attrs["start"], attrs["stop"], attrs["step"]),)]


def pad(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    return F.pad(xs[0], pad_list(attrs))


def pad_list(attrs: Mapping[str, Any]) -> list[int]:
    """The padding of a `pad` node in the order that torch wants: last axis first."""
    return [side for both in reversed(attrs["padding"]) for side in both]


def permute(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    return xs[0].permute(0, *(d + 1 for d in attrs["dims"]))


def reshape(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    return xs[0].reshape(xs[0].shape[0], *attrs["shape"])


def concat(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    return torch.cat(xs, attrs["axis"] + 1)


def prelu(attrs: Mapping[str, Any], t: Mapping[str, Tensor], training: bool, xs: list[Tensor]) -> Tensor:
    column = (-1,) + (1,) * (xs[0].dim() - 2)
    x = xs[0] + t["before"].reshape(column) if "before" in t else xs[0]
    negative = F.hardtanh(x, -math.inf, 0.0)
    y = torch.addcmul(
        x, negative, t["slope"].reshape(column) - 1
    )  # a third of the time that F.prelu and its gradient take
    return y + t["after"].reshape(column) if "after" in t else y


def unary(function: Callable[[Tensor, Mapping[str, Any]], Tensor]) -> FloatFunction:
    return lambda attrs, t, training, xs: function(xs[0], attrs)


def _aten(name: str, *args: Any, **kwargs: Any) -> Any:
    """One elementwise function by its ATen name. Constants that were tensors have to be tensors again."""
    numbers = (torch.tensor(arg) if isinstance(arg, np.generic) else arg for arg in args)
    return getattr(torch.ops.aten, name)(*numbers, **kwargs)


FLOAT_FUNCTIONS: dict[str, FloatFunction] = {
    "conv2d": conv2d,
    "linear": linear,
    "batch_norm": batch_norm,
    "add": add,
    "mul": mul,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "global_avg_pool2d": unary(lambda x, _: x.mean((2, 3), keepdim=True)),
    "concat": concat,
    "slice": slice_,
    "pad": pad,
    "reshape": reshape,
    "permute": permute,
    "clamp": unary(lambda x, attrs: x.clamp(*attrs["clamp"])),
    "function": unary(lambda x, attrs: compute(attrs["steps"], x, _aten).to(x.dtype)),
    "prelu": prelu,
    "quantize": unary(lambda x, _: x),
    "dequantize": unary(lambda x, _: x),
}
