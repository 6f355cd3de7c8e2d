"""Rounding of some numbers of a value and not of the others, with gradients for the value and for the scale.

    y = x + mask * (scale * (clip(round(x / scale) + zero_point) - zero_point) - x)
The gradient of y passes to x where it is not clipped; to the scale goes that of LSQ: (y - x) / scale, and y / scale where it is
clipped. Esser et al. 2020, "Learned Step Size Quantization"; the mask is QDrop's (reconstruct.py). One function, in place of a
graph of ten, because memory traffic is what learning costs.
"""

from typing import Any

import torch
from torch import Tensor

from bitwright.prepared.quantizers import ActivationQuantizer
from bitwright.schemes import SCHEMES


class Masks:
    """Random 0 and 1 for values of up to `most` numbers: windows of one long random tensor, at random places."""

    def __init__(self, share: float, most: int, generator: torch.Generator) -> None:
        self._generator, self._room = generator, most + 1
        self._numbers = (torch.rand(2 * most + 1, generator=generator) < share).float()

    def like(self, x: Tensor) -> Tensor:
        """A mask laid out as `x` is, 1 with the chance `share`."""
        start = int(torch.randint(self._room, (), generator=self._generator))
        window: Tensor = self._numbers.as_strided(x.shape, x.stride(), start)
        return window


class _DropRound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, first: float, hi: int, step: int, mask: Tensor | None) -> Tensor:
        ctx.step, ctx.unit = step, float(scale) * step
        y = (x / ctx.unit + first).round_().clamp_(0, hi).sub_(first).mul_(ctx.unit)
        if mask is not None:
            y.sub_(x).mul_(mask).add_(x)
        ctx.save_for_backward(x, y)
        rounded: Tensor = y
        return rounded

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        x, y = ctx.saved_tensors
        difference = y - x
        clipped = torch.where(difference.abs() > 0.501 * ctx.unit, grad, 0.0)
        to_scale = (grad * difference).sum() + (clipped * x).sum()
        return grad - clipped, to_scale * (ctx.step / ctx.unit), None, None, None, None


def drop_round(x: Tensor, quantizer: ActivationQuantizer, mask: Tensor | None = None) -> Tensor:
    """`x` with a quantizer's rounding, everywhere or where `mask` is 1."""
    numbers = SCHEMES[quantizer.scheme]
    first = float(quantizer.zero_point) / numbers.step
    y: Tensor = _DropRound.apply(  # type: ignore[no-untyped-call]
        x, quantizer.scale, first, numbers.hi, numbers.step, mask
    )
    return y
