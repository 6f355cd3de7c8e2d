"""`dorefa`: weights go through tanh before they are rounded; gradients pass straight through the rounding.

    w' = c * tanh(w) / max |tanh(w)|,   scale = c / hi          c = max |w| of the channel
    binary:  w' = w,                    scale = mean |w| of the whole layer
The paper has c = 1 and clips activations to 0..1. Here c keeps a pretrained network where it was (batch norm cancels it),
and activations are clipped where calibration says. Zhou et al. 2016, "DoReFa-Net: Training Low Bitwidth Convolutional
Neural Networks with Low Bitwidth Gradients".
"""

import torch
from torch import Tensor

from bitwright.algorithms.training.ste import Ste
from bitwright.algorithms.training.straight_through import round_weight
from bitwright.prepared.estimator import Estimator
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer, rows, spread
from bitwright.qtensor import TINY
from bitwright.schemes import SCHEMES

STE = Ste()


class Dorefa(Estimator):
    name = "dorefa"

    def learn_activation(self, quantizer: ActivationQuantizer) -> None:
        pass

    def learn_weight(self, quantizer: WeightQuantizer) -> None:
        pass

    def activation(self, quantizer: ActivationQuantizer, x: Tensor) -> Tensor:
        return STE.activation(quantizer, x)

    def effective(self, quantizer: WeightQuantizer, weight: Tensor) -> tuple[Tensor, Tensor]:
        codes = SCHEMES[quantizer.scheme]
        if quantizer.scheme == "binary":
            return weight, weight.detach().abs().mean().clamp_min(TINY).expand_as(quantizer.scale)
        bent = torch.tanh(weight)
        largest, greatest = (rows(w.detach(), quantizer.scale).abs().amax(-1).clamp_min(TINY) for w in (weight, bent))
        return bent * spread(largest / greatest, weight), largest / codes.hi

    def rounded(self, quantizer: WeightQuantizer, effective: Tensor, scale: Tensor) -> Tensor:
        return round_weight(quantizer, effective, scale)
