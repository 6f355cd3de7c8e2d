"""`adaround`: round each weight up or down, whichever leaves the layer's output closest to the float one.

    minimise over h in [0, 1]   |d|_G**2 + decay * sum (1 - |2 h - 1|**beta),   d = step * (floor(w / step) + h) - w*
    h = clip(1.2 * sigmoid(v) - 0.1, 0, 1),  beta falls from 20 to 2, so that h ends at 0 or 1
|d|_G**2 = d G d^T is the squared error of a channel, and w* the weight that makes good for the error of the layers before
(moments.py). As G holds all images, each step is Adam's with the exact gradient. Last, single weights are turned over as
long as that lowers the error; the same from the nearest codes, and each channel takes the better of the two.
Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization".
"""

import torch
from torch import Tensor

from bitwright.algorithms.correction.calibration import Calibration
from bitwright.algorithms.correction.correction import Correction
from bitwright.algorithms.correction.importance import Importance
from bitwright.algorithms.correction.moments import round_layers
from bitwright.prepared import PreparedModel

STEPS = 400
RATE = 0.05
DECAY = 0.3
FREE = 0.2
"""The share of the steps without the term that drives h to 0 or 1."""


class AdaRound(Correction):
    name = "adaround"
    rounds = True
    most_images = 1024

    @torch.no_grad()
    def apply(self, prepared: PreparedModel, calibration: Calibration) -> None:
        importance = Importance.of_layers(prepared, calibration, self.most_images)
        round_layers(prepared, calibration, self.most_images, importance, up_or_down)


def up_or_down(weight: Tensor, target: Tensor, gram: Tensor, step: Tensor, hi: int) -> Tensor:
    """Indices [groups, rows, K], for each weight one of the two nearest in 0..hi, with little |step * index - target|_gram."""
    floor = (weight / step).floor().clamp(0, hi - 1)
    start, target = weight / step - floor, target / step - floor
    nearest, relaxed = (
        _turned(h.round(), target, gram, step) for h in (start.clamp(0, 1), _relaxed(start, target, gram, step))
    )
    errors = [(((h - target) * step @ gram) * (h - target) * step).sum(2, keepdim=True) for h in (nearest, relaxed)]
    return floor + torch.where(errors[0] < errors[1], nearest, relaxed)


def _relaxed(start: Tensor, target: Tensor, gram: Tensor, step: Tensor) -> Tensor:
    """h after Adam, which starts where the float weight lies between its codes."""
    size = (step.square() * gram.diagonal(dim1=1, dim2=2)[:, None]).mean(2, keepdim=True)
    gram32, step32, target32 = gram.float(), (step / size.sqrt()).float(), target.float()
    inside = (start.float().clamp(0.01, 0.99) + 0.1) / 1.2
    v = (inside / (1 - inside)).log()
    first, second = torch.zeros_like(v), torch.zeros_like(v)
    for i in range(1, STEPS + 1):
        s = v.sigmoid()
        stretched = 1.2 * s - 0.1
        h = stretched.clamp(0, 1)
        slope = 2 * ((h - target32) * step32) @ gram32 * step32
        progress = (i / STEPS - FREE) / (1 - FREE)
        if progress > 0:
            beta = 20 - 18 * progress
            centred = 2 * h - 1
            slope -= DECAY * 2 * beta * centred.abs().pow(beta - 1) * centred.sign()
        slope = slope * 1.2 * s * (1 - s) * (stretched == h)
        first.lerp_(slope, 0.1)
        second.lerp_(slope.square(), 0.001)
        v -= RATE * (first / (1 - 0.9**i)) / ((second / (1 - 0.999**i)).sqrt() + 1e-8)
    return (1.2 * v.sigmoid() - 0.1).clamp(0, 1).double()


def _turned(h: Tensor, target: Tensor, gram: Tensor, step: Tensor) -> Tensor:
    """h of 0 and 1, after turning over in each row the weight that gains most, until none does."""
    groups, rows, count = h.shape
    error = (((h - target) * step) @ gram).flatten(0, 1)
    own = (step.square() * gram.diagonal(dim1=1, dim2=2)[:, None]).flatten(0, 1)
    change = ((1 - 2 * h) * step).flatten(0, 1)
    least = 1e-12 * own.mean()
    row, group = torch.arange(groups * rows), torch.arange(groups).repeat_interleave(rows)
    turned = h.flatten(0, 1).clone()
    for _ in range(count):
        gain, best = (change * error).mul_(-2).sub_(own).max(dim=1)
        goes_on = gain > least
        if goes_on.sum() <= 0.75 * len(row):  # rows that are done are looked at no more
            row, group, best, error, own, change = (t[goes_on] for t in (row, group, best, error, own, change))
            goes_on = goes_on[goes_on]
        if not len(row):
            break
        delta = change.gather(1, best[:, None]) * goes_on[:, None]
        error += delta * gram[group, best]
        change.scatter_add_(1, best[:, None], -2 * delta)
        turned[row, best] = (turned[row, best] - goes_on.double()).abs()
    return turned.reshape(h.shape)
