"""`conv2d` in PyTorch; `bitwright/ops/conv2d.py` defines it."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.graph import Node
from bitwright.prepared.ops.epilogue import finish
from bitwright.prepared.ops.op import FloatCall, IntegerCall, TorchOp


def float_function(call: FloatCall) -> Tensor:
    attrs, t = call.attrs, call.tensors
    top, left, bottom, right = attrs["padding"]
    x, padding = call.xs[0], (top, left)
    if (top, left) != (bottom, right):
        x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
    if "bn_mean" in t and not call.training and not torch.is_grad_enabled():
        t = _folded(t, attrs["eps"])
    y = F.conv2d(x, t["weight"], t.get("bias"), attrs["stride"], padding, attrs["dilation"], attrs["groups"])
    return finish(y, replace(call, tensors=t))


def _folded(t: Mapping[str, Tensor], eps: float) -> dict[str, Tensor]:
    """The tensors of a convolution without its batch norm, which its weight and bias do."""
    gain = t["bn_weight"] * torch.rsqrt(t["bn_var"] + eps)
    bias = t["bias"] - t["bn_mean"] if "bias" in t else -t["bn_mean"]
    return {"weight": t["weight"] * gain.reshape(-1, 1, 1, 1), "bias": bias * gain + t["bn_bias"]}


def integer_function(call: IntegerCall) -> Tensor:
    attrs, dtype = call.node.attrs, call.exact_dtype
    top, left, bottom, right = attrs["padding"]
    x = F.pad(call.centred(), (left, right, top, bottom)).to(dtype)
    weight = call.tensors["weight"].to(dtype)
    acc = F.conv2d(x, weight, None, attrs["stride"], 0, attrs["dilation"], attrs["groups"])
    return call.epilogue(acc)


def windows(node: Node, x: Tensor) -> Tensor:
    attrs = node.attrs
    top, left, bottom, right = attrs["padding"]
    kernel = node.tensors["weight"].shape[2:]
    x = F.pad(x, (left, right, top, bottom))
    columns = F.unfold(x, kernel, attrs["dilation"], 0, attrs["stride"])
    columns = columns.reshape(len(x), attrs["groups"], -1, columns.shape[-1])
    return columns.permute(1, 2, 0, 3).reshape(attrs["groups"], columns.shape[2], -1)


OP = TorchOp("conv2d", float_function, integer_function, rounds=True, windows=windows)
