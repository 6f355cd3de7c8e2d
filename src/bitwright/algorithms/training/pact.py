"""`pact`: the level that activations are clipped at is learned, from those beyond it; weights are those of `dorefa`.

    y = round(clip(x, -s * z, a)) to codes,  a = s * (hi - z);    dy/da = 1 where x >= a, else 0;    dy/dx = 1 inside
Unlike lsq's, the gradient knows nothing of the rounding error. The paper's L2 penalty on a is left to the user's loss.
Choi et al. 2018, "PACT: Parameterized Clipping Activation for Quantized Neural Networks".
"""

from torch import Tensor

from bitwright.algorithms.training.dorefa import Dorefa
from bitwright.algorithms.training.straight_through import round_activation
from bitwright.prepared.estimator import Estimator
from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer, learn
from bitwright.schemes import SCHEMES

DOREFA = Dorefa()


class Pact(Estimator):
    name = "pact"

    def learn_activation(self, quantizer: ActivationQuantizer) -> None:
        learn(quantizer, "scale")

    def learn_weight(self, quantizer: WeightQuantizer) -> None:
        pass

    def activation(self, quantizer: ActivationQuantizer, x: Tensor) -> Tensor:
        codes, zero_point = SCHEMES[quantizer.scheme], quantizer.zero_point
        greatest = quantizer.step * (codes.step * codes.hi - zero_point)
        clipped = x.clamp(-quantizer.step * zero_point, greatest)
        return clipped + (round_activation(quantizer, clipped.detach(), quantizer.step.detach()) - clipped).detach()

    def effective(self, quantizer: WeightQuantizer, weight: Tensor) -> tuple[Tensor, Tensor]:
        return DOREFA.effective(quantizer, weight)

    def rounded(self, quantizer: WeightQuantizer, effective: Tensor, scale: Tensor) -> Tensor:
        return DOREFA.rounded(quantizer, effective, scale)
