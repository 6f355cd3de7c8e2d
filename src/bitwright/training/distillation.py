"""What a teacher adds to the loss.

logits      T**2 * KL(softmax(teacher / T) || softmax(student / T))
            Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"
features    mean over layers of |a_t / |a_t| - a_s / |a_s||**2,  a = mean over channels of x**2, at every pixel or token
            Zagoruyko and Komodakis 2017, "Paying More Attention to Attention"
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.graph import Shape, Value
from bitwright.ops import float_op
from bitwright.prepared import PreparedModel
from bitwright.prepared.class_logits import class_logits


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The KL divergence of logits [N, outputs], scaled so that its gradient does not depend on the temperature."""
    target, found = (F.log_softmax(class_logits(logits) / temperature, 1) for logits in (teacher, student))
    return F.kl_div(found, target, reduction="batchmean", log_target=True) * temperature**2


class Features:
    """Notes the attention map of the last weighted layer of each size, in pixels or tokens, until `collect` is called."""

    def __init__(self, prepared: PreparedModel) -> None:
        weighted = [node.name for node in prepared.graph.nodes if float_op(node).weighted]
        values = {name: value for name in weighted if (value := prepared.graph.values[name]).pixels > 1}
        last = {_without_channels(value): (name, value.axis) for name, value in values.items()}
        self.seen: list[Tensor] = []
        for name, axis in last.values():
            prepared.layer(name).register_forward_hook(self._noting(axis))

    def _noting(self, axis: int) -> Callable[[Any, Any, Tensor], None]:
        return lambda module, inputs, output: self.seen.append(attention_map(output, axis))

    def collect(self) -> list[Tensor]:
        """What was noted since the last call."""
        seen, self.seen = self.seen, []
        return seen


def distance(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """How far the attention maps [N, pixels] of layers are from each other."""
    pairs = zip(student, teacher, strict=True)
    return torch.stack([(s - t).pow(2).sum(1).mean() for s, t in pairs]).mean()


def attention_map(x: Tensor, axis: int) -> Tensor:
    """The mean of squares over the channels, which are axis `axis`, for each pixel or token, of length 1: [N, pixels]."""
    return F.normalize(x.float().pow(2).mean(axis).flatten(1), dim=1)


def _without_channels(value: Value) -> Shape:
    return value.shape[: value.channel] + value.shape[value.channel + 1 :]
