"""What a teacher adds to the loss.

logits      T**2 * KL(softmax(teacher / T) || softmax(student / T))
            Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"
features    mean over layers of |a_t / |a_t| - a_s / |a_s||**2,  a = mean over channels of x**2, at every place
            Zagoruyko and Komodakis 2017, "Paying More Attention to Attention"
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.ops import float_op
from bitwright.prepared import PreparedModel
from bitwright.prepared.class_logits import class_logits


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The KL divergence of logits [N, outputs], scaled so that its gradient does not depend on the temperature."""
    target, found = (F.log_softmax(class_logits(logits) / temperature, 1) for logits in (teacher, student))
    return F.kl_div(found, target, reduction="batchmean", log_target=True) * temperature**2


class Features:
    """Notes what the last convolution at each size of the plane computes, until `collect` is called."""

    def __init__(self, prepared: PreparedModel) -> None:
        weighted = [node.name for node in prepared.graph.nodes if float_op(node).weighted]
        planes = {name: value for name in weighted if (value := prepared.graph.values[name]).channel == 0}
        last = {value.shape[1:]: name for name, value in planes.items() if len(value.shape) == 3 and value.shape[1] > 1}
        self.seen: list[Tensor] = []
        for name in last.values():
            prepared.layer(name).register_forward_hook(lambda module, inputs, output: self.seen.append(output))

    def collect(self) -> list[Tensor]:
        """What was noted since the last call."""
        seen, self.seen = self.seen, []
        return seen


def distance(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """How far the attention maps of layers [N, C, H, W] are from each other."""
    pairs = zip(student, teacher, strict=True)
    return torch.stack([(_attention(s) - _attention(t)).pow(2).sum(1).mean() for s, t in pairs]).mean()


def _attention(x: Tensor) -> Tensor:
    return F.normalize(x.float().pow(2).mean(1).flatten(1), dim=1)
