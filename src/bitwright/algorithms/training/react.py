"""`react`: ReActNet's binary layers: a sign whose threshold is learned, in front of weights scaled by mean |w|.

    activations  sign(x - a[c]),  d sign(x)/dx = 2 - 2|x| in -1..1                  weights  a * sign(w), a = mean |w|
The learned thresholds a[c] and the shifted PReLU are parameters of the network (`x + parameter`, `nn.PReLU`), which capture
knows and the lowering folds into integers exactly; a gives no gradient to w. With Bi-Real Net's gradient of the sign.
Liu et al. 2020, "ReActNet: Towards Precise Binary Neural Network with Generalized Activation Functions".
"""

from torch import Tensor

from bitwright.algorithms.training.fused_weight import sign_rows
from bitwright.algorithms.training.one_bit import OTHERS, OneBit, approx_slope, hard_tanh, mean_size
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer


class React(OneBit):
    name = "react"
    is_triangle = True

    def binary(self, quantizer: WeightQuantizer, weight: Tensor) -> tuple[Tensor, Tensor]:
        return weight, mean_size(quantizer, weight).detach()

    def fused_weight(self, quantizer: WeightQuantizer, weight: Tensor) -> Tensor | None:
        if quantizer.scheme != "binary":
            return OTHERS.fused_weight(quantizer, weight)
        return sign_rows(quantizer, weight, mean_size(quantizer, weight.detach()))

    def slope(self, quantizer: ActivationQuantizer, x: Tensor) -> Tensor:
        return approx_slope(x)

    def soft_weight(self, quantizer: WeightQuantizer, weight: Tensor) -> Tensor:
        return hard_tanh(weight)
