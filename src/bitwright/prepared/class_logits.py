"""`class_logits` of `bitwright.prediction`, for tensors: losses of one logit are those of the two logits (0, x)."""

from torch import Tensor
from torch.nn import functional as F


def class_logits(logits: Tensor) -> Tensor:
    """A logit for each class, [N, classes], from those of a model, [N, outputs]."""
    return F.pad(logits, (1, 0)) if logits.shape[1] == 1 else logits
