"""Attacks on the float model and through the prepared one, whose pictures are then shown to the integers.

    FGSM   x' = x + eps sign(grad_x L(x, y))                                  Goodfellow et al. 2015 (arXiv 1412.6572)
    PGD    x <- clip(x + a sign(grad_x L(x, y)), x0 - eps, x0 + eps)          Madry et al. 2018 (arXiv 1706.06083)
L is the cross-entropy with the label. Pixels stay within 0 and 255, and are whole numbers in the end, so that every model sees
what an attacker could put into a file. The prepared model's gradient is a straight-through estimate, which rounding can
mask (Athalye et al. 2018, "Obfuscated Gradients Give a False Sense of Security"): it is never trusted alone.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from bitwright.prepared import PreparedModel

PGD_STEPS = 10
BATCH = 64
Pixels = npt.NDArray[np.uint8]
Classes = npt.NDArray[np.int64]
Logits = Callable[[Tensor], Tensor]
"""Logits [N, outputs] of pixels as float32 [N, C, H, W] in 0..255, differentiable."""


def through_float(prepared: PreparedModel) -> Logits:
    """The float model inside a prepared model without an encoder."""

    return lambda pixels: prepared.float_logits(pixels * prepared.image_scale + prepared.image_offset)


def through_prepared(prepared: PreparedModel) -> Logits:
    """A calibrated prepared model, with straight-through estimates of its gradient."""
    prepared.train()
    return prepared.of_pixels


def fgsm(logits: Logits, pixels: Pixels, classes: Classes, epsilon: float) -> Pixels:
    """One step of `epsilon`, of 255, along the gradient's sign."""
    return _batched(pixels, classes, lambda x, y: x + epsilon * _sign(logits, x, y))


def pgd(logits: Logits, pixels: Pixels, classes: Classes, epsilon: float, steps: int = PGD_STEPS) -> Pixels:
    """Steps of 2.5 epsilon / steps, each brought back to within `epsilon`, of 255; it starts at the picture itself."""

    def attack(x: Tensor, y: Tensor) -> Tensor:
        found = x
        for _ in range(steps):
            found = found + 2.5 * epsilon / steps * _sign(logits, found, y)
            found = torch.clamp(torch.maximum(torch.minimum(found, x + epsilon), x - epsilon), 0, 255)
        return found

    return _batched(pixels, classes, attack)


ATTACKS = {"fgsm": fgsm, "pgd": pgd}


def _sign(logits: Logits, x: Tensor, y: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        found = logits(x)
        if found.shape[1] == 1:  # of one logit, the other class's is 0
            found = pad(found, (1, 0))
        (gradient,) = torch.autograd.grad(cross_entropy(found, y, reduction="sum"), x)
    return gradient.sign()


def _batched(pixels: Pixels, classes: Classes, attack: Callable[[Tensor, Tensor], Tensor]) -> Pixels:
    done = []
    for i in range(0, len(pixels), BATCH):
        x = torch.from_numpy(pixels[i : i + BATCH]).permute(0, 3, 1, 2).float().contiguous()
        found = attack(x, torch.from_numpy(classes[i : i + BATCH]))
        done.append(found.round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8).numpy())
    return np.concatenate(done)
