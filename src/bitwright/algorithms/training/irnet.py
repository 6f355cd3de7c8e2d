"""`irnet`: binary weights are balanced before the sign, and the sign's gradient sharpens while training goes on.

    w' = (w - mean) / deviation,   scale = 2 ** round(log2(mean |w'|))            of each channel
    d sign(x)/dx = k * t * (1 - tanh(t * x)**2),  t = 10 ** (2 * progress - 1),  k = max(1 / t, 1)
Progress is the share of the training that is done: `PreparedModel.set_progress`. Activations use the same estimator.
Qin et al. 2020, "Forward and Backward Information Retention for Accurate Binary Neural Networks".
"""

import torch
from torch import Tensor

from bitwright.algorithms.training.one_bit import OneBit, mean_size, standardised
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer


class IrNet(OneBit):
    name = "irnet"

    def binary(self, quantizer: WeightQuantizer, weight: Tensor) -> tuple[Tensor, Tensor]:
        balanced = standardised(quantizer, weight)
        return balanced, torch.exp2(torch.log2(mean_size(quantizer, balanced.detach())).round())

    def slope(self, quantizer: ActivationQuantizer, x: Tensor) -> Tensor:
        t = 10 ** (2 * quantizer.progress - 1)
        return (max(1 / t, 1.0) * t) * (1 - torch.tanh(t * x) ** 2)

    def soft_weight(self, quantizer: WeightQuantizer, weight: Tensor) -> Tensor:
        return _error_decay(weight, quantizer.progress)


def _error_decay(x: Tensor, progress: float) -> Tensor:
    t = 10 ** (2 * progress - 1)
    return max(1 / t, 1.0) * torch.tanh(t * x)
