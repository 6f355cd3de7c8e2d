"""What a training algorithm must offer: how codes are made of real values in train mode, and how gradients pass through.

Eval mode and the artifact use the same scales and the same `effective` weights, rounded by the one definition in `ops/`.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

if TYPE_CHECKING:
    from bitwright.prepared.ops.op import FloatCall
    from bitwright.prepared.quantizers import ActivationQuantizer, WeightQuantizer


class Estimator(ABC):
    """Fake quantization of activations and weights. It holds no state: what is learned is parameters of the quantizers."""

    name: ClassVar[str]

    @abstractmethod
    def learn_activation(self, quantizer: "ActivationQuantizer") -> None:
        """Register what this algorithm learns for a value as parameters of its quantizer."""

    @abstractmethod
    def learn_weight(self, quantizer: "WeightQuantizer") -> None:
        """Register what this algorithm learns for a weight as parameters of its quantizer."""

    @abstractmethod
    def activation(self, quantizer: "ActivationQuantizer", x: Tensor) -> Tensor:
        """The real values of the codes of x [N, ...], differentiable."""

    @abstractmethod
    def effective(self, quantizer: "WeightQuantizer", weight: Tensor) -> tuple[Tensor, Tensor]:
        """What is rounded in place of a weight [O, ...] (times its image scale), and the scales [O]; both differentiable."""

    @abstractmethod
    def rounded(self, quantizer: "WeightQuantizer", effective: Tensor, scale: Tensor) -> Tensor:
        """scale * codes of an effective weight [O, ...], with scale [O, 1, ...]; differentiable."""

    def fused_activation(self, quantizer: "ActivationQuantizer", y: Tensor, call: "FloatCall") -> Tensor | None:
        """`activation` of what a float op makes of y [N, ...] after its products, in one pass; None where it cannot be."""
        return None

    def fused_weight(self, quantizer: "WeightQuantizer", weight: Tensor) -> Tensor | None:
        """`rounded` of what is `effective` of a weight [O, ...], in one pass; None where it cannot be."""
        return None
