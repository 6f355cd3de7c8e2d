"""`entropy`: the range that keeps the distribution of what was seen: the least Kullback-Leibler divergence.

    minimise over (lo, hi)  sum P log(P / Q)
P is the histogram with what lies outside moved to the ends; Q the histogram of what lies inside, the mass of each code
spread evenly over the bins that are not empty. The bin nearest to zero counts for nothing: zero is a code of its own, and
behind a relu most numbers are there. The ends shrink in turn over a grid, until neither moves. Weights are covered
whole. What a value is read through makes no difference.
Migacz 2017, "8-bit Inference with TensorRT"; Wu et al. 2020, "Integer Quantization for Deep Learning Inference", section 4.
"""

import math
from functools import cache

import numpy as np

from bitwright.algorithms.ranges.range import Floats, Function, Range, identity
from bitwright.qtensor import affine_qtype, to_codes
from bitwright.schemes import Scheme

SHRINK = np.linspace(1.0, 0.1, 91)
ROUNDS = 4


class Entropy(Range):
    name = "entropy"

    def activation(
        self, values: Floats, counts: Floats, codes: Scheme, function: Function = identity
    ) -> tuple[float, float]:
        limits = (min(float(values[0]), 0.0), max(float(values[-1]), 0.0))
        ends = limits
        if len(values) > 1:
            counts = np.where(np.abs(values) == np.abs(values[counts > 0]).min(), 0.0, counts)

        @cache  # behind a relu one end is zero and never moves: most pairs come again
        def divergence(lo: float, hi: float) -> float:
            return _divergence(values, counts, lo, hi, codes)

        for _ in range(ROUNDS):
            before = ends
            for side in (1, 0):
                candidates = [(ends[0], limits[1] * s) if side else (limits[0] * s, ends[1]) for s in SHRINK]
                ends = candidates[int(np.argmin([divergence(lo, hi) for lo, hi in candidates]))]
            if ends == before:
                break
        return ends

    def weight(self, weight: Floats, codes: Scheme) -> Floats:
        return np.asarray(np.abs(weight).max(axis=1))


def _divergence(values: Floats, counts: Floats, lo: float, hi: float, codes: Scheme) -> float:
    """sum P log(P / Q); infinite where a code stands for what lies outside alone."""
    inside = slice(*np.searchsorted(values, [lo, np.nextafter(hi, math.inf)]))
    kept, held = values[inside], counts[inside]
    below, above = counts[: inside.start].sum(), counts[inside.stop :].sum()
    index = to_codes(np.concatenate([[lo], kept, [hi]]), affine_qtype(codes.name, lo, hi)).astype(np.int64)
    held = np.concatenate([[0.0], held, [0.0]])
    p = held.copy()
    p[0], p[-1] = below, above
    filled = p > 0
    mass, bins = np.bincount(index, held), np.bincount(index, filled)
    p, q = p[filled], (mass / np.maximum(bins, 1))[index][filled]
    if not (q > 0).all():
        return math.inf
    return float((p * np.log(p / p.sum() * (q.sum() / q))).sum())
