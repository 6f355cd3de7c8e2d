"""Float ops in PyTorch, one function each: what a prepared model runs while calibrating and training.

A function takes a `FloatCall` and returns the result in front of the output's quantizer.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.ops.function import compute


@dataclass(frozen=True)
class FloatCall:
    """One float node about to run: its attributes and tensors, its inputs [N, ...], and the channel axis of its result."""

    attrs: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    xs: list[Tensor]
    axis: int = 1
    training: bool = False
    """Whether batch norms use the statistics of the batch."""

    def column(self, name: str) -> Tensor:
        """A tensor with one number for each channel, to be broadcast against the result."""
        return along(self.tensors[name], self.axis, self.xs[0].dim())


FloatFunction = Callable[[FloatCall], Tensor]


def along(numbers: Tensor, axis: int, dim: int) -> Tensor:
    """Numbers [C] in the shape in which they broadcast along one axis of `dim`."""
    return numbers.reshape([-1 if i == axis else 1 for i in range(dim)])


def conv2d(call: FloatCall) -> Tensor:
    attrs, t = call.attrs, call.tensors
    top, left, bottom, right = attrs["padding"]
    x, padding = call.xs[0], (top, left)
    if (top, left) != (bottom, right):
        x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
    if "bn_mean" in t and not call.training and not torch.is_grad_enabled():
        t = _folded(t, attrs["eps"])
    y = F.conv2d(x, t["weight"], t.get("bias"), attrs["stride"], padding, attrs["dilation"], attrs["groups"])
    return _finish(y, replace(call, tensors=t))


def _folded(t: Mapping[str, Tensor], eps: float) -> dict[str, Tensor]:
    """The tensors of a convolution without its batch norm, which its weight and bias do."""
    gain = t["bn_weight"] * torch.rsqrt(t["bn_var"] + eps)
    bias = t["bias"] - t["bn_mean"] if "bias" in t else -t["bn_mean"]
    return {"weight": t["weight"] * gain.reshape(-1, 1, 1, 1), "bias": bias * gain + t["bn_bias"]}


def linear(call: FloatCall) -> Tensor:
    return _finish(F.linear(call.xs[0], call.tensors["weight"], call.tensors.get("bias")), call)


def batch_norm(call: FloatCall) -> Tensor:
    return _finish(call.xs[0], call)


def add(call: FloatCall) -> Tensor:
    return clamp(call.xs[0] + call.xs[1], call.attrs)


def mul(call: FloatCall) -> Tensor:
    return clamp(call.xs[0] * call.xs[1], call.attrs)


def _finish(y: Tensor, call: FloatCall) -> Tensor:
    """Batch norm, residual and clamp, in this order."""
    attrs, t, xs = call.attrs, call.tensors, call.xs
    if "bn_mean" in t:
        training = call.training and not attrs.get("constant", False)
        norm = (
            t["bn_mean"],
            t["bn_var"],
            t["bn_weight"],
            t["bn_bias"],
            training,
            attrs.get("momentum", 0.0),
            attrs["eps"],
        )
        y = (
            F.batch_norm(y, *norm)
            if call.axis == 1
            else F.batch_norm(y.movedim(call.axis, 1), *norm).movedim(1, call.axis)
        )
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


def max_pool2d(call: FloatCall) -> Tensor:
    attrs, x = call.attrs, call.xs[0]
    top, left, bottom, right = attrs["padding"]
    if any(attrs["padding"]):
        x = F.pad(x, (left, right, top, bottom), value=float("-inf"))
    return F.max_pool2d(x, attrs["kernel"], attrs["stride"], 0, attrs["dilation"])


def avg_pool2d(call: FloatCall) -> Tensor:
    attrs = call.attrs
    top, left, bottom, right = attrs["padding"]
    x = F.pad(call.xs[0], (left, right, top, bottom))
    total = F.avg_pool2d(x, attrs["kernel"], attrs["stride"], divisor_override=1)
    return total / call.tensors["divisor"].to(total.dtype)


def slice_(call: FloatCall) -> Tensor:
    a = call.attrs
    return call.xs[0][(slice(None),) * (a["axis"] + 1) + (slice(a["start"], a["stop"], a["step"]),)]


def pad(call: FloatCall) -> Tensor:
    return F.pad(call.xs[0], pad_list(call.attrs))


def pad_list(attrs: Mapping[str, Any]) -> list[int]:
    """The padding of a `pad` node in the order that torch wants: last axis first."""
    return [side for both in reversed(attrs["padding"]) for side in both]


def permute(call: FloatCall) -> Tensor:
    return call.xs[0].permute(0, *(d + 1 for d in call.attrs["dims"]))


def reshape(call: FloatCall) -> Tensor:
    return call.xs[0].reshape(call.xs[0].shape[0], *call.attrs["shape"])


def concat(call: FloatCall) -> Tensor:
    count = max(map(len, call.xs))  # constants are there once for all images
    return torch.cat([x.expand(count, *x.shape[1:]) for x in call.xs], call.attrs["axis"] + 1)


def prelu(call: FloatCall) -> Tensor:
    t = call.tensors
    x = call.xs[0] + call.column("before") if "before" in t else call.xs[0]
    negative = F.hardtanh(x, -math.inf, 0.0)
    y = torch.addcmul(x, negative, call.column("slope") - 1)  # a third of the time that F.prelu and its gradient take
    return y + call.column("after") if "after" in t else y


def unary(function: Callable[[Tensor, Mapping[str, Any]], Tensor]) -> FloatFunction:
    return lambda call: function(call.xs[0], call.attrs)


def _aten(name: str, *args: Any, **kwargs: Any) -> Any:
    """One elementwise function by its ATen name. Constants that were tensors have to be tensors again."""
    numbers = (torch.tensor(arg) if isinstance(arg, np.generic) else arg for arg in args)
    return getattr(torch.ops.aten, name)(*numbers, **kwargs)


FLOAT_FUNCTIONS: dict[str, FloatFunction] = {
    "constant": lambda call: call.tensors["value"][None],
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
