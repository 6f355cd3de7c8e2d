"""All that follows the products of a layer in train mode, as one function: batch norm, residual, PReLU, clip and rounding.

    z = (x - mean[c]) * gain[c] + shift[c] + residual,    p = z where z > 0, else slope[c] * z;  + after[c]
    y = rounded(clip(p, low, high))
In PyTorch's own operations each is a pass over memory, and the batch norm is two or three; here one pass forward and two back
do all of it, and one more forward finds a batch's statistics. Between the parts nothing is rounded to bfloat16.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitwright import _native
from bitwright.algorithms.training.fused import Floats, fits, flat, floats, laid_out_as
from bitwright.prepared.ops.op import FloatCall
from bitwright.qtensor import TINY

CODES, SIGN, TRIANGLE = 1, 2, 3
"""To codes; to the sign, whose gradient passes where |x| < scale; to the sign, with the gradient of `approx_slope`."""


@dataclass(frozen=True)
class Rounding:
    """How the result is rounded: one of the kinds above, its scale, the factor of the scale's gradient, the codes' ends."""

    kind: int
    scale: Tensor
    factor: float
    zero_point: int = 0
    hi: int = 1


@dataclass(frozen=True)
class _Plan:
    """What of a call is no tensor that learns: statistics and numbers."""

    channels: int
    norm: bool
    eps: float
    running: tuple[Tensor, Tensor] | None
    momentum: float | None
    """How much of the batch's statistics the running ones learn; None where these are what normalises."""
    low: float
    high: float
    rounding: Rounding

    def numbers(self, mean: Floats | None, columns: list[Floats | None]) -> tuple[Any, ...]:
        """The arguments that both ways have, in the extension's order; columns are gain, shift, slope and after."""
        r = self.rounding
        step = max(abs(float(r.scale.detach())), TINY)
        ends = (self.low, self.high, r.kind, step, r.zero_point, r.hi, torch.get_num_threads())
        return (self.channels, mean, *columns, *ends)


def finish(y: Tensor, call: FloatCall, rounding: Rounding) -> Tensor | None:
    """What `call` makes of y, its products, rounded; None where it has to be done op by op."""
    t, channels, residual = call.tensors, y.shape[call.axis], call.residual
    last = call.axis == y.dim() - 1 and y.is_contiguous()
    image = call.axis == 1 and y.dim() == 4 and y.is_contiguous(memory_format=torch.channels_last)
    if not fits(y) or not (last or image) or (residual is not None and residual.shape != y.shape):
        return None
    norm = "bn_mean" in t
    shift = t.get("bn_bias") if norm else t.get("before")
    columns = [t.get("bn_weight") if norm else None, shift, t.get("slope"), t.get("after")]
    if any(column is not None and (column.numel() != channels or not fits(column)) for column in columns):
        return None
    if columns[2] is not None and columns[3] is None:
        columns[3] = torch.zeros_like(columns[2])
    low, high = call.attrs.get("clamp", (None, None))
    training = norm and call.training and not call.attrs.get("constant", False)
    plan = _Plan(
        channels,
        norm,
        call.attrs.get("eps", 0.0),
        (t["bn_mean"], t["bn_var"]) if norm else None,
        call.attrs.get("momentum", 0.0) if training else None,
        -math.inf if low is None else low,
        math.inf if high is None else high,
        rounding,
    )
    if residual is not None:
        residual = residual.to(y.dtype)
    result: Tensor = _Finish.apply(y, residual, *columns, rounding.scale, plan)  # type: ignore[no-untyped-call]
    return result


class _Finish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor | None, *rest: Any) -> Tensor:
        *columns, scale, plan = rest
        mean, deviation = _statistics(x, plan)
        y = torch.empty_like(x)
        added = None if residual is None else laid_out_as(x, residual)
        numbers: list[Any] = [None if column is None else floats(column) for column in columns]
        if deviation is not None:
            numbers[0] = numbers[0] / deviation
        ctx.plan, ctx.mean, ctx.deviation = plan, mean, deviation
        ctx.numbers = plan.numbers(mean, numbers)
        _native.finish(flat(x), None if added is None else flat(added), flat(y), *ctx.numbers)
        ctx.save_for_backward(x, added, scale, *columns)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x, residual, scale, *columns = ctx.saved_tensors
        plan = ctx.plan
        dz = torch.empty_like(x)
        sums = [np.empty(plan.channels, np.float32) for _ in range(4 if columns[2] is not None else 2)]
        given = None if residual is None else flat(residual)
        ends: tuple[Any, ...] = (*ctx.numbers, flat(laid_out_as(x, grads[0])), *sums, *[None] * (4 - len(sums)))
        of_scale = _native.finish_gradient(flat(x), given, flat(dz), *ends)
        of_z, of_zx = sums[:2]
        dx, found = dz, list[Tensor | None]([None] * 4)
        if plan.norm:
            mean, gain = ctx.numbers[1:3]
            dx = dz if residual is None else torch.empty_like(dz)
            count = math.inf if plan.momentum is None else x.numel() // plan.channels
            of_deviation, of_mean = -gain * of_zx / (ctx.deviation**2 * count), -gain * of_z / count
            of_deviation, of_mean = of_deviation.astype(np.float32), of_mean.astype(np.float32)
            threads = torch.get_num_threads()
            _native.channel_affine(flat(dz), flat(x), flat(dx), mean, gain, of_deviation, of_mean, threads)
            found[0] = torch.from_numpy(of_zx / ctx.deviation)
        found[1:] = [torch.from_numpy(sum_) for sum_ in (of_z, *sums[2:])] + [None] * (4 - len(sums))
        for i, (column, gradient) in enumerate(zip(columns, found, strict=True)):
            if column is None or gradient is None or not ctx.needs_input_grad[2 + i]:
                found[i] = None
            else:
                found[i] = gradient.reshape(column.shape)
        step = float(scale.detach())
        along = 0.0 if abs(step) < TINY else math.copysign(plan.rounding.factor, step)
        ds = torch.full_like(scale, of_scale * along) if ctx.needs_input_grad[6] else None
        return dx, None if residual is None else dz, *found, ds, None


def _statistics(x: Tensor, plan: _Plan) -> tuple[Floats | None, Floats | None]:
    """The mean and the deviation that normalise: those of the batch, from which the running ones learn, or these."""
    if plan.running is None:
        return None, None
    mean, variance = plan.running
    if plan.momentum is None:
        found = floats(mean).copy(), floats(variance)
    else:
        found = np.empty(plan.channels, np.float32), np.empty(plan.channels, np.float32)
        _native.channel_moments(flat(x), *found, torch.get_num_threads())
        count = x.numel() // plan.channels
        with torch.no_grad():
            mean.lerp_(torch.from_numpy(found[0]), plan.momentum)
            variance.lerp_(torch.from_numpy(found[1] * np.float32(count / max(count - 1, 1))), plan.momentum)
    return found[0], np.sqrt(found[1] + np.float32(plan.eps), dtype=np.float32)
