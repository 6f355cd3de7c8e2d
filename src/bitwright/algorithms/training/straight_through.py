"""Rounding to codes with a gradient for the values and for the scale, as fused functions: what the algorithms share."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bitwright.algorithms.training import fused
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer, round_ste
from bitwright.schemes import SCHEMES

LEAST = 1e-30
"""Taken away before a sign, so that zero goes to -1, as the schemes have it."""


class _Round(torch.autograd.Function):
    """y = s * (clip(round(x / s + z), 0, hi) - z), with one scale s and zero point z.

    dy/dx = 1 inside, 0 outside;  dy/ds = round(x/s) - x/s inside, -z or hi - z outside
    which is <dL/dy, y> / s - <dL/dx, x / s>: two products of vectors, in place of a table of masks.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: float, hi: int) -> Tensor:
        ctx.codes = (float(scale), round(zero_point), hi) if fused.fits(x) else None
        if ctx.codes is not None:
            ctx.save_for_backward(x, scale)
            return fused.forward(x, *ctx.codes)
        t = x * (1 / scale)
        y = (t + zero_point).round_() if zero_point else t.round()
        y.clamp_(0, hi)
        if zero_point:
            y.sub_(zero_point)
        y.mul_(scale)
        ctx.bounds = (-zero_point, hi - zero_point)
        ctx.save_for_backward(t, y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.codes is not None:
            x, scale = ctx.saved_tensors
            dx, of_scale = fused.backward(x, grads[0], *ctx.codes)
            return dx, torch.full_like(scale, of_scale) if ctx.needs_input_grad[1] else None, None, None
        t, y, scale = ctx.saved_tensors
        dx = torch.ops.aten.hardtanh_backward(grads[0], t, *ctx.bounds)
        ds = None
        if ctx.needs_input_grad[1]:
            ds = _dot(grads[0], y, scale) / scale - _dot(dx, t, scale)
        return dx, ds, None, None


class _Sign(torch.autograd.Function):
    """y = s * sign(x), where 0 counts as negative;  dy/dx = 1 where |x| < s * window, else 0;  dy/ds = sign(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, window: float) -> Tensor:
        t = x * (1 / scale)
        y = (t - LEAST).sign_().mul_(scale)
        ctx.window = window
        ctx.save_for_backward(t, y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        t, y, scale = ctx.saved_tensors
        dx = torch.ops.aten.hardtanh_backward(grads[0], t, -ctx.window, ctx.window)
        return dx, _dot(grads[0], y, scale) / scale if ctx.needs_input_grad[1] else None, None


class _SlopedSign(torch.autograd.Function):
    """y = s * sign(x), where 0 counts as negative;  dy/dx = slope(x / s);  s is a constant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, slope: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.slope = slope
        ctx.save_for_backward(x, scale)
        return (x - LEAST).sign_().mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, scale = ctx.saved_tensors
        return ctx.slope(x * (1 / scale)).mul_(grads[0]), None, None


def sign_activation(x: Tensor, scale: Tensor, slope: Callable[[Tensor], Tensor]) -> Tensor:
    """scale * sign(x), whose derivative is taken to be slope(x / scale), a new tensor; the scale learns nothing."""
    result: Tensor = _SlopedSign.apply(x, scale, slope)  # type: ignore[no-untyped-call]
    return result


def _dot(a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    return (a * b).sum().to(like.dtype)


def round_activation(quantizer: ActivationQuantizer, x: Tensor, scale: Tensor, window: float = 1.0) -> Tensor:
    """The real values of the codes of x, for one scale; gradients pass where nothing is clipped."""
    codes = SCHEMES[quantizer.scheme]
    if codes.step == 1:
        result: Tensor = _Round.apply(x, scale, float(quantizer.zero_point.detach().round()), codes.hi)  # type: ignore[no-untyped-call]
    else:
        result = _Sign.apply(x, scale, window)  # type: ignore[no-untyped-call]
    return result


def round_weight(quantizer: WeightQuantizer, weight: Tensor, scale: Tensor) -> Tensor:
    """scale * codes of a weight; gradients pass where nothing is clipped, and everywhere for `binary`."""
    codes, unit = SCHEMES[quantizer.scheme], weight / scale
    if codes.step == 1:
        return round_ste(unit.clamp(codes.lo, codes.hi)) * scale
    return (unit + (sign(unit) - unit).detach()) * scale


def sign(x: Tensor) -> Tensor:
    """+1 where x > 0, else -1."""
    return (x - LEAST).sign()


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """x, with its gradient multiplied by `factor`."""
    return x.detach() + factor * (x - x.detach())


def lsq_factor(count: int, hi: int) -> float:
    """LSQ's gradient scale for a step size that `count` numbers share.

    Beyond 4 bits it is smaller by (15 / hi)**1.5: steps are so much smaller then, and their gradients larger, that a rate which
    suits 4 bits moves them by many times what they are. The paper has a tenth of the rate at 8 bits.
    """
    return min(1.0, float((15 / max(hi, 1)) ** 1.5)) / math.sqrt(count * max(hi, 1))
