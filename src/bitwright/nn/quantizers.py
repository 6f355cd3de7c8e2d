"""The two places where a prepared model rounds: the codes that an op writes (`Edge`), and weights (`WeightQuantizer`).

Scales are buffers, NaN until calibration sets them. Rounding passes gradients straight through (Bengio et al. 2013,
"Estimating or Propagating Gradients Through Stochastic Neurons", the straight-through estimator). A scheme of two or three
numbers chooses its own scales, whatever the range algorithm: what covers everything would leave it nothing.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from bitwright.algorithms.ranges import Function, Range, identity
from bitwright.errors import CalibrationError
from bitwright.nn.histogram import Histogram
from bitwright.qtensor import TINY, QType, affine_qtype
from bitwright.schemes import SCHEMES


def round_ste(x: Tensor) -> Tensor:
    """round(x), half to even, with the gradient of x."""
    return x + (x.round() - x).detach()


class Edge(nn.Module):
    """The type of one or several values: learns their range while observing, rounds them to codes afterwards."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, name: str, scheme: str) -> None:
        super().__init__()
        self.name = name
        self.scheme = scheme
        self.histogram = Histogram()
        self.register_buffer("scale", torch.tensor(math.nan))
        self.register_buffer("zero_point", torch.tensor(0.0))

    def observe(self, x: Tensor) -> None:
        """Add to the histogram; CalibrationError where a value is not finite."""
        try:
            self.histogram.add(x)
        except ValueError as error:
            raise CalibrationError(
                f"layer {self.name!r}: {error}; the float model overflows on these images"
            ) from error

    def choose_range(self, algorithm: Range, function: Function = identity) -> None:
        """Set scale and zero point from what was observed and is read through `function`; CalibrationError if nothing was."""
        values, counts = self.histogram.points()
        if not len(values):
            raise CalibrationError(f"layer {self.name!r} has seen no images; call calibrate first")
        codes = SCHEMES[self.scheme]
        ends = codes.activation_range(values, counts) or algorithm.activation(values, counts, codes, function)
        qtype = affine_qtype(self.scheme, *ends)
        self.scale.fill_(float(np.asarray(qtype.scale)))
        self.zero_point.fill_(int(np.asarray(qtype.zero_point)))

    @property
    def qtype(self) -> QType:
        """The type; CalibrationError before calibration."""
        if not torch.isfinite(self.scale):
            raise CalibrationError(f"layer {self.name!r} has no range yet; call calibrate first")
        return QType(self.scheme, float(self.scale), int(self.zero_point))

    def forward(self, x: Tensor) -> Tensor:
        """Fake quantization: the real values of the nearest codes, differentiable.

        The gradient is 1 where a value is rounded and 0 where it is clipped; for `binary`, 1 where |x| <= scale.
        """
        codes = SCHEMES[self.scheme]
        if codes.step == 1:
            q = round_ste(x / self.scale + self.zero_point).clamp(0, codes.hi)
        else:
            q = round_ste(((x / self.scale + self.zero_point) / codes.step).clamp(0, codes.hi))
        return (codes.step * q - self.zero_point) * self.scale


class WeightQuantizer(nn.Module):
    """Numbers of a scheme with one scale per output channel, for a weight [O, ...] times `image_scale`.

    `groups` > 1, for a weight [O, I]: one scale for each I / groups neighbouring inputs of a channel, [O, groups].
    """

    scale: Tensor
    image_scale: Tensor

    def __init__(self, scheme: str, image_scale: Tensor, channels: int, groups: int = 1) -> None:
        super().__init__()
        self.scheme = scheme
        self.register_buffer("image_scale", image_scale)
        self.register_buffer("scale", torch.full((channels,) if groups == 1 else (channels, groups), math.nan))

    def choose_range(self, algorithm: Range, weight: Tensor) -> None:
        """Set the scales from the weight; a channel of zeros gets scale 1."""
        codes = SCHEMES[self.scheme]
        real = (weight.detach().double() * self.image_scale).cpu().numpy().reshape(self.scale.numel(), -1)
        found = codes.weight_scale(real)
        scale = (algorithm.weight(real, codes) / codes.hi if found is None else found).astype(np.float32)
        scale[scale < TINY] = 1.0
        self.scale.copy_(torch.from_numpy(scale).reshape(self.scale.shape))

    def step(self, weight: Tensor) -> Tensor:
        """What one code of a weight [O, ...] is worth, to be broadcast against it."""
        if self.scale.dim() == 2:
            return self.scale.repeat_interleave(weight.shape[1] // self.scale.shape[1], dim=1)
        return self.scale.reshape((-1,) + (1,) * (weight.dim() - 1)) / self.image_scale.to(weight.dtype)

    def forward(self, weight: Tensor) -> Tensor:
        codes, step = SCHEMES[self.scheme], self.step(weight)
        unit = weight / step
        if codes.step == 1:
            return round_ste(unit).clamp(codes.lo, codes.hi) * step
        return (unit + (torch.where(unit > 0, 1.0, -1.0) - unit).detach()) * step
