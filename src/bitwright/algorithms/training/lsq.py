"""`lsq`: the scales are learned, by the gradient that the rounding error leaves.

    y = s * clip(round(x / s), lo, hi)                     for codes with a zero point z: round(x / s + z) - z
    dy/ds = round(x/s) - x/s inside, lo or hi outside,     times g = 1 / sqrt(count * hi)
                                                           times min(1, (15 / hi)**1.5)
where count is the numbers that share s: the weights of a channel, or the features of an activation. The last factor is ours: a
rate that suits 4 bits moves the small steps of 8 bits by many times what they are (the paper has a tenth of the rate there).
The paper starts at s = 2 * mean|x| / sqrt(hi); here s starts where calibration put it, which the range algorithm decides.
Esser et al. 2020, "Learned Step Size Quantization".
"""

from torch import Tensor

from bitwright.algorithms.training.fused_layer import CODES, SIGN, Rounding, finish
from bitwright.algorithms.training.fused_weight import round_rows
from bitwright.algorithms.training.straight_through import lsq_factor, round_activation, round_weight, scale_gradient
from bitwright.prepared.estimator import Estimator
from bitwright.prepared.ops.op import FloatCall
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer, learn
from bitwright.schemes import SCHEMES


class Lsq(Estimator):
    name = "lsq"

    def learn_activation(self, quantizer: ActivationQuantizer) -> None:
        learn(quantizer, "scale")

    def learn_weight(self, quantizer: WeightQuantizer) -> None:
        learn(quantizer, "scale")

    def activation(self, quantizer: ActivationQuantizer, x: Tensor) -> Tensor:
        factor = lsq_factor(x[0].numel(), SCHEMES[quantizer.scheme].hi)
        return round_activation(quantizer, x, scale_gradient(quantizer.step, factor))

    def effective(self, quantizer: WeightQuantizer, weight: Tensor) -> tuple[Tensor, Tensor]:
        count = weight.numel() // quantizer.scale.numel()
        return weight, scale_gradient(quantizer.scales, lsq_factor(count, SCHEMES[quantizer.scheme].hi))

    def rounded(self, quantizer: WeightQuantizer, effective: Tensor, scale: Tensor) -> Tensor:
        return round_weight(quantizer, effective, scale)

    def fused_activation(self, quantizer: ActivationQuantizer, y: Tensor, call: FloatCall) -> Tensor | None:
        codes = SCHEMES[quantizer.scheme]
        kind, zero_point = (CODES, round(float(quantizer.zero_point.detach()))) if codes.step == 1 else (SIGN, 0)
        factor = lsq_factor(y[0].numel(), codes.hi)
        return finish(y, call, Rounding(kind, quantizer.scale, factor, zero_point, codes.hi))

    def fused_weight(self, quantizer: WeightQuantizer, weight: Tensor) -> Tensor | None:
        count = weight.numel() // quantizer.scale.numel()
        return round_rows(quantizer, weight, lsq_factor(count, SCHEMES[quantizer.scheme].hi))
