"""A weight's rounding in train mode with what its scales learn, as one function.

    y = s * clip(round(w / s), lo, hi),  s = |scale| of each row;  dy/dw = 1 inside, 0 outside
    dy/ds = round(w / s) - w / s inside, lo or hi outside, times a factor
The result is bfloat16 where autocast would make it so.
"""

from typing import Any

import torch
from torch import Tensor

from bitwright import _native
from bitwright.algorithms.training.fused import fits, flat, floats
from bitwright.prepared.quantizers import WeightQuantizer, spread
from bitwright.qtensor import TINY
from bitwright.schemes import SCHEMES


def round_rows(quantizer: WeightQuantizer, weight: Tensor, factor: float) -> Tensor | None:
    """scale * codes of a weight [O, ...], the scales' gradient times `factor`; None where it has to be done op by op."""
    codes, scale = SCHEMES[quantizer.scheme], quantizer.scale
    if codes.step != 1 or not (fits(weight) and fits(scale)) or weight.dtype != torch.float32:
        return None
    dtype = _dtype(quantizer)
    if not weight.is_contiguous() or dtype not in (torch.float32, torch.bfloat16):
        return None
    result: Tensor = _RoundRows.apply(weight, scale, factor, (TINY, codes.lo, codes.hi), dtype)  # type: ignore[no-untyped-call]
    return result


def sign_rows(quantizer: WeightQuantizer, weight: Tensor, scale: Tensor) -> Tensor | None:
    """scale * sign(w), zero being negative, for a weight [O, ...] and scales [O]; the gradient passes where |w| <= 1 and takes
    the scale for a constant. None where it has to be done op by op."""
    if torch.compiler.is_compiling() or weight.device.type != "cpu":
        return None
    result: Tensor = _SignRows.apply(weight, spread(scale, weight), _dtype(quantizer))  # type: ignore[no-untyped-call]
    return result


def _dtype(quantizer: WeightQuantizer) -> torch.dtype:
    """The type that autocast would make of the result; float32 where it is divided by the image's scales first."""
    low = torch.is_autocast_enabled("cpu") and not quantizer.reads_image
    return torch.get_autocast_dtype("cpu") if low else torch.float32


class _SignRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(weight, scale)
        return torch.where(weight > 0, scale, -scale).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        weight, scale = ctx.saved_tensors
        return torch.where(weight.abs() <= 1, grads[0] * scale, 0.0), None, None


class _RoundRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, scale: Tensor, factor: float, ends: tuple[float, int, int], dtype: torch.dtype
    ) -> Tensor:
        y = torch.empty_like(weight, dtype=dtype)
        _native.round_weight(floats(weight), flat(y), floats(scale), *ends)
        ctx.factor, ctx.ends, ctx.dtype = factor, ends, dtype
        ctx.save_for_backward(weight, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        weight, scale = ctx.saved_tensors
        dw, ds = torch.empty_like(weight), torch.empty_like(scale)
        gradient = flat(grads[0].to(ctx.dtype).contiguous())
        _native.round_weight_gradient(
            floats(weight), gradient, floats(dw), floats(scale), floats(ds), ctx.factor, *ctx.ends
        )
        return dw, ds if ctx.needs_input_grad[1] else None, None, None, None
