"""What a prepared model rounds: the codes that an op writes (`ActivationQuantizer`), and weights (`WeightQuantizer`).

Scales are NaN until calibration sets them; parameters where a training algorithm (an `Estimator`) learns them, else buffers.
Without such an algorithm, rounding passes gradients straight through (Bengio et al. 2013, "Estimating or Propagating
Gradients Through Stochastic Neurons", the straight-through estimator). A scheme of two or three numbers chooses its own
scales, whatever the range algorithm: what covers everything would leave it nothing.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitwright.algorithms.ranges import Function, Range, identity
from bitwright.errors import CalibrationError
from bitwright.prepared.estimator import Estimator
from bitwright.prepared.histogram import Histogram
from bitwright.qtensor import TINY, QType, affine_qtype
from bitwright.schemes import SCHEMES


def round_ste(x: Tensor) -> Tensor:
    """round(x), half to even, with the gradient of x."""
    return x + (x.round() - x).detach()


def learn(module: nn.Module, name: str) -> None:
    """Make a parameter of the module's buffer `name`."""
    if name in module._buffers:
        tensor = getattr(module, name)
        delattr(module, name)
        module.register_parameter(name, nn.Parameter(tensor))


def spread(scale: Tensor, weight: Tensor) -> Tensor:
    """Scales per output channel [O], or per group of inputs [O, groups], to be broadcast against a weight [O, ...]."""
    if scale.dim() == 2:
        return scale.repeat_interleave(weight.shape[1] // scale.shape[1], dim=1)
    return scale.reshape((-1,) + (1,) * (weight.dim() - 1))


def rows(weight: Tensor, scale: Tensor) -> Tensor:
    """A weight [O, ...] with what shares one of the scales in its last axis: [*scale.shape, count]."""
    return weight.reshape(*scale.shape, -1)


class ActivationQuantizer(nn.Module):
    """The type of one or several values: learns their range while observing, rounds them to codes afterwards."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, name: str, scheme: str) -> None:
        super().__init__()
        self.name = name
        self.scheme = scheme
        self.is_given = False
        self.estimator: Estimator | None = None
        self.progress = 1.0
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
        """Set scale and zero point from what was observed and is read through `function`; CalibrationError if nothing was.

        Those of a quantized file stay.
        """
        if self.is_given:
            return
        values, counts = self.histogram.points()
        if not len(values):
            raise CalibrationError(f"layer {self.name!r} has seen no images; call calibrate first")
        codes = SCHEMES[self.scheme]
        ends = codes.activation_range(values, counts) or algorithm.activation(values, counts, codes, function)
        qtype = affine_qtype(self.scheme, *ends)
        with torch.no_grad():
            self.scale.fill_(float(np.asarray(qtype.scale)))
            self.zero_point.fill_(int(np.asarray(qtype.zero_point)))

    def keep(self, type_: QType) -> None:
        """Have the type that a quantized file gives, whatever is observed."""
        with torch.no_grad():
            self.scale.fill_(type_.one_scale)
            self.zero_point.fill_(type_.one_zero_point)
        self.is_given = True

    @property
    def step(self) -> Tensor:
        """The scale, kept positive: training may push the parameter below zero."""
        return self.scale.abs().clamp_min(TINY)

    @property
    def qtype(self) -> QType:
        """The type; CalibrationError before calibration."""
        if not torch.isfinite(self.scale):
            raise CalibrationError(f"layer {self.name!r} has no range yet; call calibrate first")
        allowed, zero_point = SCHEMES[self.scheme].zero_points, round(float(self.zero_point.detach()))
        return QType(self.scheme, float(self.step.detach()), min(max(zero_point, allowed[0]), allowed[-1]))

    def forward(self, x: Tensor) -> Tensor:
        """Fake quantization: the real values of the nearest codes, differentiable.

        The gradient is 1 where a value is rounded and 0 where it is clipped; for `binary`, 1 where |x| <= scale.
        """
        if self.estimator is not None:
            return self.estimator.activation(self, x)
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
        self.is_given = False
        self.estimator: Estimator | None = None
        self.progress = 1.0
        self._scaled = bool((image_scale != 1).any())
        self.register_buffer("image_scale", image_scale)
        self.register_buffer("scale", torch.full((channels,) if groups == 1 else (channels, groups), math.nan))

    def choose_range(self, algorithm: Range, weight: Tensor) -> None:
        """Set the scales from the weight; a channel of zeros gets scale 1. Those of a quantized file stay."""
        if self.is_given:
            return
        codes = SCHEMES[self.scheme]
        real = (weight.detach().double() * self.image_scale).cpu().numpy().reshape(self.scale.numel(), -1)
        found = codes.weight_scale(real)
        scale = (algorithm.weight(real, codes) / codes.hi if found is None else found).astype(np.float32)
        scale[scale < TINY] = 1.0
        with torch.no_grad():
            self.scale.copy_(torch.from_numpy(scale).reshape(self.scale.shape))

    def keep(self, scale: npt.NDArray[np.float32]) -> bool:
        """Have the scales [O], or one for all, of a quantized file; False where the image's belong in them, and differ."""
        image = self.image_scale.double()
        if not torch.allclose(image, image.mean(), rtol=1e-6, atol=0.0):
            return False
        with torch.no_grad():
            self.scale.copy_(torch.from_numpy(np.float64(scale)) * image.mean())
        self.is_given = True
        return True

    @property
    def reads_image(self) -> bool:
        """Whether the image's scales belong in the weight."""
        return self._scaled or self.image_scale.numel() > 1

    @property
    def scales(self) -> Tensor:
        """The scales, kept positive: training may push the parameters below zero."""
        return self.scale.abs().clamp_min(TINY)

    def effective(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """What is rounded in place of the weight, and by which scales: the weight itself unless training says else."""
        if self.estimator is None:
            return weight, self.scale
        image_scale = self.image_scale.to(weight.dtype)
        effective, scale = self.estimator.effective(self, weight * image_scale)
        return effective / image_scale, scale

    def step(self, weight: Tensor) -> Tensor:
        """What one code of a weight [O, ...] is worth, to be broadcast against it."""
        return spread(self.scale, weight) / self.image_scale.to(weight.dtype)

    def forward(self, weight: Tensor) -> Tensor:
        codes = SCHEMES[self.scheme]
        if self.estimator is not None:
            image_scale = self.image_scale.to(weight.dtype)
            scaled = weight * image_scale if self.reads_image else weight
            rounded = self.estimator.fused_weight(self, scaled)
            if rounded is None:
                effective, scale = self.estimator.effective(self, scaled)
                rounded = self.estimator.rounded(self, effective, spread(scale, weight))
            return rounded / image_scale if self.reads_image else rounded
        step = self.step(weight)
        unit = weight / step
        if codes.step == 1:
            return round_ste(unit).clamp(codes.lo, codes.hi) * step
        return (unit + (torch.where(unit > 0, 1.0, -1.0) - unit).detach()) * step
