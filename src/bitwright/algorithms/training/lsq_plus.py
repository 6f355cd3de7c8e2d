"""`lsq_plus`: as `lsq`, and the zero points of activations are learned as well.

    y = s * (clip(round(x / s + z), 0, hi) - z),   z = clip(round(zero_point), 0, hi) with a straight-through gradient
    dy/dz = 0 inside, -s outside,                  times g = 1 / sqrt(count * hi)
The paper learns an offset -s * z that is not a multiple of s; here the zero point is a code, so that zero stays exact.
One-bit schemes keep theirs. Bhalgat et al. 2020, "LSQ+: Improving low-bit quantization
through learnable offsets and better initialization".
"""

from torch import Tensor

from bitwright.algorithms.training.lsq import Lsq
from bitwright.algorithms.training.straight_through import lsq_factor, scale_gradient
from bitwright.prepared.estimator import Estimator
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer, learn, round_ste
from bitwright.schemes import SCHEMES

LSQ = Lsq()


class LsqPlus(Estimator):
    name = "lsq_plus"

    def learn_activation(self, quantizer: ActivationQuantizer) -> None:
        learn(quantizer, "scale")
        if SCHEMES[quantizer.scheme].bits > 1:
            learn(quantizer, "zero_point")

    def learn_weight(self, quantizer: WeightQuantizer) -> None:
        LSQ.learn_weight(quantizer)

    def activation(self, quantizer: ActivationQuantizer, x: Tensor) -> Tensor:
        codes = SCHEMES[quantizer.scheme]
        if codes.bits == 1:
            return LSQ.activation(quantizer, x)
        factor = lsq_factor(x[0].numel(), codes.hi)
        s = scale_gradient(quantizer.step, factor)
        z = round_ste(scale_gradient(quantizer.zero_point, factor)).clamp(0, codes.hi)
        return s * (round_ste((x / s + z).clamp(0, codes.hi)) - z)

    def effective(self, quantizer: WeightQuantizer, weight: Tensor) -> tuple[Tensor, Tensor]:
        return LSQ.effective(quantizer, weight)

    def rounded(self, quantizer: WeightQuantizer, effective: Tensor, scale: Tensor) -> Tensor:
        return LSQ.rounded(quantizer, effective, scale)
