"""`mse`: the range whose quantization has the least squared error on what was seen.

    minimise over (lo, hi)  sum of count * (x - dequantize(quantize(x; lo, hi)))**2
Activations: the ends of [min, max] shrink in turn over a grid, until neither moves. Weights: one grid over the clip
of each channel. Sung et al. 2015, "Resiliency of Deep Neural Networks under Quantization"; Banner et al. 2019, "Post
Training 4-bit Quantization of Convolutional Networks for Rapid-Deployment" (ACIQ, the same aim in closed form).
"""

import numpy as np

from bitwright.algorithms.ranges.range import Floats, Range
from bitwright.qtensor import affine_qtype
from bitwright.schemes import Scheme

SHRINK = np.linspace(1.0, 0.1, 91)
ROUNDS = 4


class Mse(Range):
    name = "mse"

    def activation(self, values: Floats, counts: Floats, codes: Scheme) -> tuple[float, float]:
        ends = [min(float(values[0]), 0.0), max(float(values[-1]), 0.0)]
        limits = tuple(ends)
        for _ in range(ROUNDS):
            before = tuple(ends)
            for side in (1, 0):
                candidates = [[*ends[:side], limits[side] * s, *ends[side + 1 :]] for s in SHRINK]
                errors = [_error(values, counts, lo, hi, codes) for lo, hi in candidates]
                ends = candidates[int(np.argmin(errors))]
            if tuple(ends) == before:
                break
        return ends[0], ends[1]

    def weight(self, weight: Floats, codes: Scheme) -> Floats:
        largest = np.abs(weight).max(axis=1)
        best, least = largest.copy(), np.full(len(weight), np.inf)
        for shrink in SHRINK:
            scale = np.maximum(largest * shrink / codes.hi, np.finfo(np.float64).tiny)[:, None]
            rounded = np.clip(np.rint(weight / scale), codes.lo, codes.hi) * scale
            error = ((weight - rounded) ** 2).sum(axis=1)
            better = error < least
            best[better], least[better] = (largest * shrink)[better], error[better]
        return np.asarray(best)


def _error(values: Floats, counts: Floats, lo: float, hi: float, codes: Scheme) -> float:
    qtype = affine_qtype(codes.name, lo, hi)
    code = np.clip(np.rint(values / qtype.scale + qtype.zero_point), codes.lo, codes.hi)
    return float(np.dot(counts, (values - (code - qtype.zero_point) * qtype.scale) ** 2))
