"""`xnor`: binary weights with the scale of least squared error, through which gradients flow as well.

    w_b = a * sign(w),  a = mean |w| of the channel;    d sign(x)/dx = 1 where |x| < 1, for weights and activations
    dL/dw = dL/dw_b * a where |w| < 1,  plus sign(w) / n * sum(dL/dw_b * sign(w)) through a
Rastegari et al. 2016, "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks", section 3.1.
"""

from torch import Tensor

from bitwright.algorithms.training.one_bit import OneBit, hard_tanh, mean_size
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer


class Xnor(OneBit):
    name = "xnor"

    def binary(self, quantizer: WeightQuantizer, weight: Tensor) -> tuple[Tensor, Tensor]:
        return weight, mean_size(quantizer, weight)

    def slope(self, quantizer: ActivationQuantizer, x: Tensor) -> Tensor:
        return (x.abs() < 1).to(x.dtype)

    def soft_weight(self, quantizer: WeightQuantizer, weight: Tensor) -> Tensor:
        return hard_tanh(weight)
