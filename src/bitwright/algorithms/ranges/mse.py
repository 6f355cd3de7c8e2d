"""`mse`: the range whose quantization has the least squared error on what was seen.

    minimise over (lo, hi)  sum of count * (f(x) - f(dequantize(quantize(x; lo, hi))))**2
where f is the function through which x is read, mostly the identity.
Activations: the ends of [min, max] shrink in turn over a grid, until neither moves. Weights: one grid over the clip
of each channel. Sung et al. 2015, "Resiliency of Deep Neural Networks under Quantization"; Banner et al. 2019, "Post
Training 4-bit Quantization of Convolutional Networks for Rapid-Deployment" (ACIQ, the same aim in closed form).
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from bitwright.algorithms.ranges.range import Floats, Function, Range, identity
from bitwright.qtensor import TINY, affine_qtype, to_codes, to_real
from bitwright.schemes import Scheme

SHRINK = np.linspace(1.0, 0.1, 91)
ROUNDS = 4
CACHED = 2**16
"""Weights searched at a time: few enough to stay in the cache."""


class Mse(Range):
    name = "mse"

    def activation(
        self, values: Floats, counts: Floats, codes: Scheme, function: Function = identity
    ) -> tuple[float, float]:
        ends = [min(float(values[0]), 0.0), max(float(values[-1]), 0.0)]
        limits, target = tuple(ends), function(values)

        @cache  # behind a relu one end is zero and never moves: most pairs come again
        def error(lo: float, hi: float) -> float:
            return float(counts @ (target - function(_rounded(values, lo, hi, codes))) ** 2)

        for _ in range(ROUNDS):
            before = tuple(ends)
            for side in (1, 0):
                candidates = [[*ends[:side], limits[side] * s, *ends[side + 1 :]] for s in SHRINK]
                ends = candidates[int(np.argmin([error(lo, hi) for lo, hi in candidates]))]
            if tuple(ends) == before:
                break
        return ends[0], ends[1]

    def weight(self, weight: Floats, codes: Scheme) -> Floats:
        best: Floats = np.abs(weight).max(axis=1)
        block = max(1, CACHED // weight.shape[1])
        for start in range(0, len(weight), block):
            part = slice(start, start + block)
            best[part] *= _best_shrink(weight[part].astype(np.float32), best[part, None].astype(np.float32), codes)
        return best


def _best_shrink(weight: npt.NDArray[np.float32], largest: npt.NDArray[np.float32], codes: Scheme) -> Floats:
    """The factor from SHRINK with the least squared error, for each row of a weight [O, K]."""
    unit = weight * np.divide(codes.hi, largest, out=np.zeros_like(largest), where=largest > TINY)
    best, least = np.ones(len(weight)), np.full(len(weight), np.inf)
    scaled, lost = np.empty_like(unit), np.empty_like(unit)
    for shrink in SHRINK:
        np.divide(unit, np.float32(shrink), out=scaled)
        np.clip(np.rint(scaled, out=lost), codes.lo, codes.hi, out=lost)
        np.subtract(scaled, lost, out=lost)
        error = np.einsum("ij,ij->i", lost, lost).astype(np.float64) * shrink**2
        better = error < least
        best[better], least[better] = shrink, error[better]
        rounding = 0.25 * weight.shape[1] * shrink**2  # at most; the rest is clipping, which only grows from here
        if (error - rounding > least).all():
            break
    return best


def _rounded(values: Floats, lo: float, hi: float, codes: Scheme) -> Floats:
    qtype = affine_qtype(codes.name, lo, hi)
    return to_real(to_codes(values, qtype), qtype)
