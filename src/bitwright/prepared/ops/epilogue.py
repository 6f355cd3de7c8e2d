"""What follows the products of a float op: batch norm, residual and clamp, in this order."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.prepared.ops.op import FloatCall


def finish(y: Tensor, call: FloatCall) -> Tensor:
    """y with the batch norm, the residual and the clamp that were fused into its op, and rounded where that is to be."""
    if (fused := call.fused(y)) is not None:
        return fused
    attrs, t, residual = call.attrs, call.tensors, call.residual
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
    if residual is not None:
        y = y.add_(residual) if fresh and y.dtype == residual.dtype else y + residual
    return call.rounded(clamp(y, attrs, fresh))


def clamp(y: Tensor, attrs: Mapping[str, Any], inplace: bool = False) -> Tensor:
    """Clamped to [lo, hi] where there are bounds; relu and hardtanh, which their gradients make cheaper than `clamp`."""
    lo, hi = attrs.get("clamp", (None, None))
    if lo is None and hi is None:
        return y
    if hi is None and lo == 0:
        return F.relu(y, inplace)
    return y.clamp(lo, hi) if lo is None or hi is None else F.hardtanh(y, lo, hi, inplace)
