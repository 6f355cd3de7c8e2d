"""What the algorithms for 1-bit networks share: they train `binary`, and leave every other scheme to `lsq`."""

from abc import abstractmethod
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from bitwright.algorithms.training.fused_layer import TRIANGLE, Rounding, finish
from bitwright.algorithms.training.lsq import Lsq
from bitwright.algorithms.training.straight_through import sign, sign_activation
from bitwright.prepared.estimator import Estimator
from bitwright.prepared.ops.op import FloatCall
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer, rows, spread
from bitwright.qtensor import TINY

OTHERS = Lsq()


class OneBit(Estimator):
    """sign(x) in forward; `slope` of an activation, and the derivative of a weight's `soft_weight`, stand for its own."""

    is_triangle: ClassVar[bool] = False
    """Whether the slope is `approx_slope`."""

    def learn_activation(self, quantizer: ActivationQuantizer) -> None:
        OTHERS.learn_activation(quantizer)

    def learn_weight(self, quantizer: WeightQuantizer) -> None:
        if quantizer.scheme != "binary":
            OTHERS.learn_weight(quantizer)

    def activation(self, quantizer: ActivationQuantizer, x: Tensor) -> Tensor:
        if quantizer.scheme != "binary":
            return OTHERS.activation(quantizer, x)
        return sign_activation(x, quantizer.step.detach(), partial(self.slope, quantizer))

    def effective(self, quantizer: WeightQuantizer, weight: Tensor) -> tuple[Tensor, Tensor]:
        if quantizer.scheme != "binary":
            return OTHERS.effective(quantizer, weight)
        return self.binary(quantizer, weight)

    def rounded(self, quantizer: WeightQuantizer, effective: Tensor, scale: Tensor) -> Tensor:
        if quantizer.scheme != "binary":
            return OTHERS.rounded(quantizer, effective, scale)
        return harden(self.soft_weight(quantizer, effective), effective) * scale

    def fused_activation(self, quantizer: ActivationQuantizer, y: Tensor, call: FloatCall) -> Tensor | None:
        if quantizer.scheme != "binary":
            return OTHERS.fused_activation(quantizer, y, call)
        return finish(y, call, Rounding(TRIANGLE, quantizer.scale.detach(), 0.0)) if self.is_triangle else None

    def fused_weight(self, quantizer: WeightQuantizer, weight: Tensor) -> Tensor | None:
        return None if quantizer.scheme == "binary" else OTHERS.fused_weight(quantizer, weight)

    @abstractmethod
    def binary(self, quantizer: WeightQuantizer, weight: Tensor) -> tuple[Tensor, Tensor]:
        """`effective` for binary weights."""

    @abstractmethod
    def slope(self, quantizer: ActivationQuantizer, x: Tensor) -> Tensor:
        """The derivative that stands for the sign's, at x in units of the scale; a new tensor."""

    @abstractmethod
    def soft_weight(self, quantizer: WeightQuantizer, weight: Tensor) -> Tensor:
        """A smooth sign of an effective weight."""


def harden(soft: Tensor, x: Tensor) -> Tensor:
    """sign(x), with the gradient of `soft`."""
    return soft + (sign(x) - soft).detach()


def hard_tanh(x: Tensor) -> Tensor:
    """clip(x, -1, 1): its derivative is 1 where |x| < 1, the straight-through estimator of XNOR-Net."""
    return x.clamp(-1, 1)


def approx_slope(x: Tensor) -> Tensor:
    """2 - 2|x| in -1..1, else 0: the derivative of x * (2 - |x|). Liu et al. 2018, "Bi-Real Net", section 3.3."""
    return x.abs().mul_(-2).add_(2).clamp_min_(0)


def mean_size(quantizer: WeightQuantizer, weight: Tensor) -> Tensor:
    """mean |w| of the numbers that share a scale."""
    return rows(weight, quantizer.scale).abs().mean(-1).clamp_min(TINY)


def standardised(quantizer: WeightQuantizer, weight: Tensor) -> Tensor:
    """(w - mean) / deviation of the numbers that share a scale: as many of either sign, roughly."""
    parts = rows(weight, quantizer.scale)
    mean, deviation = parts.mean(-1), parts.std(-1, correction=0).clamp_min(TINY)
    return torch.div(weight - spread(mean, weight), spread(deviation, weight))
