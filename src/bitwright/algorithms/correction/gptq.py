"""`gptq`: round a layer's weights one input after the other, and let the inputs still to come make good for the error.

    for k in order of falling G[k, k]:   code = round(w[k] / step)
                                         w[j] -= (w[k] - step * code) / U[k, k] * U[k, j]   for j behind k
    U: the upper Cholesky factor of (G + ridge)^-1,  G = E[q q^T] of the quantized inputs (moments.py)
A convolution has one G for each group, of its windows. Starts from the weights that make good for the layers before.
Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers".
"""

import torch
from torch import Tensor

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.correction import Correction
from bitwright.algorithms.correction.importance import Importance
from bitwright.algorithms.correction.moments import round_layers
from bitwright.prepared import PreparedModel

BLOCK = 128
"""Inputs whose errors are passed on together to all the later ones: few large products in place of many small ones."""


class Gptq(Correction):
    name = "gptq"
    rounds = True
    most_images = 1024

    @torch.no_grad()
    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        importance = Importance.of_layers(prepared, calibration, self.most_images)
        round_layers(prepared, calibration, self.most_images, importance, one_by_one)


def one_by_one(weight: Tensor, target: Tensor, gram: Tensor, step: Tensor, hi: int) -> Tensor:
    """Indices [groups, rows, K] in 0..hi with little |step * index - target|_gram."""
    order = gram.diagonal(dim1=1, dim2=2).argsort(dim=1, descending=True, stable=True)
    along = order[:, None, :].expand_as(target)
    weight, step = target.gather(2, along), step.gather(2, along)
    gram = gram.gather(1, order[:, :, None].expand_as(gram)).gather(2, order[:, None, :].expand_as(gram))
    factor = torch.linalg.cholesky(torch.linalg.inv(gram), upper=True)
    found = torch.empty_like(weight)
    for start in range(0, weight.shape[2], BLOCK):
        end = min(start + BLOCK, weight.shape[2])
        errors = torch.zeros_like(weight[:, :, start:end])
        for k in range(start, end):
            found[:, :, k] = (weight[:, :, k] / step[:, :, k]).round().clamp(0, hi)
            error = (weight[:, :, k] - found[:, :, k] * step[:, :, k]) / factor[:, k, k, None]
            weight[:, :, k:end] -= error[:, :, None] * factor[:, k, None, k:end]
            errors[:, :, k - start] = error
        weight[:, :, end:] -= errors @ factor[:, start:end, end:]
    return torch.empty_like(found).scatter_(2, along, found)
