"""`recu`: weights far out, which hardly ever change sign, are pulled back to where they can: dead weights revive.

    w' = clip((w - mean) / deviation, -q, q),  q = -m * ln(2 - 2 * tau),  m = mean |w'|          of each channel
    scale = mean |w'|,   tau = 0.85 + 0.14 * progress     (q is the quantile tau of a Laplace distribution)
Activations are signs with Bi-Real Net's gradient. Progress is the share of the training that is done:
`PreparedModel.set_progress`. Xu et al. 2021, "ReCU: Reviving the Dead Weights in Binary Neural Networks".
"""

import math

import torch
from torch import Tensor

from bitwright.algorithms.training.one_bit import OneBit, approx_slope, mean_size, standardised
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer, spread

FIRST_TAU, LAST_TAU = 0.85, 0.99


class ReCu(OneBit):
    name = "recu"
    is_triangle = True

    def binary(self, quantizer: WeightQuantizer, weight: Tensor) -> tuple[Tensor, Tensor]:
        balanced = standardised(quantizer, weight)
        tau = FIRST_TAU + (LAST_TAU - FIRST_TAU) * quantizer.progress
        bound = spread(mean_size(quantizer, balanced.detach()) * -math.log(2 - 2 * tau), weight)
        revived = torch.clamp(balanced, -bound, bound)
        return revived, mean_size(quantizer, revived).detach()

    def slope(self, quantizer: ActivationQuantizer, x: Tensor) -> Tensor:
        return approx_slope(x)

    def soft_weight(self, quantizer: WeightQuantizer, weight: Tensor) -> Tensor:
        return weight
