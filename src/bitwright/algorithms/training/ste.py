"""`ste`: gradients pass straight through rounding, and stop where values are clipped; the scales stay as calibrated.

    y = s * clip(round(x / s + z), 0, hi) - s * z,    dy/dx = 1 inside, 0 outside
Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation".
"""

from torch import Tensor

from bitwright.algorithms.training.fused_layer import CODES, SIGN, Rounding, finish
from bitwright.algorithms.training.fused_weight import round_rows
from bitwright.algorithms.training.straight_through import round_activation, round_weight
from bitwright.prepared.estimator import Estimator
from bitwright.prepared.ops.op import FloatCall
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer
from bitwright.schemes import SCHEMES


class Ste(Estimator):
    name = "ste"

    def learn_activation(self, quantizer: ActivationQuantizer) -> None:
        pass

    def learn_weight(self, quantizer: WeightQuantizer) -> None:
        pass

    def activation(self, quantizer: ActivationQuantizer, x: Tensor) -> Tensor:
        return round_activation(quantizer, x, quantizer.step)

    def effective(self, quantizer: WeightQuantizer, weight: Tensor) -> tuple[Tensor, Tensor]:
        return weight, quantizer.scales

    def rounded(self, quantizer: WeightQuantizer, effective: Tensor, scale: Tensor) -> Tensor:
        return round_weight(quantizer, effective, scale)

    def fused_activation(self, quantizer: ActivationQuantizer, y: Tensor, call: FloatCall) -> Tensor | None:
        codes = SCHEMES[quantizer.scheme]
        kind, zero_point = (CODES, round(float(quantizer.zero_point.detach()))) if codes.step == 1 else (SIGN, 0)
        return finish(y, call, Rounding(kind, quantizer.scale, 1.0, zero_point, codes.hi))

    def fused_weight(self, quantizer: WeightQuantizer, weight: Tensor) -> Tensor | None:
        return round_rows(quantizer, weight, 1.0)
