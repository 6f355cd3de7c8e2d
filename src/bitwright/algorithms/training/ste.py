"""`ste`: gradients pass straight through rounding, and stop where values are clipped; the scales stay as calibrated.

    y = s * clip(round(x / s + z), 0, hi) - s * z,    dy/dx = 1 inside, 0 outside
Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation".
"""

from torch import Tensor

from bitwright.algorithms.training.straight_through import round_activation, round_weight
from bitwright.prepared.estimator import Estimator
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer


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
