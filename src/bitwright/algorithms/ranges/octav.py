"""`octav`: the clip whose expected squared error is least, found by a fixed point in place of a search.

    c = sum |x| [|x| > c] / (P(0 < |x| <= c) / (12 n**2) + P(|x| > c))
for weights, per channel; n is the number of codes from zero to the clip.
Activations have two ends, each a fixed point with the other held, a = P(lo <= x <= hi) / (12 n**2), n codes from end to end:
    hi = (sum x [x > hi] + a * lo) / (P(x > hi) + a),   lo likewise
The error of what is inside is taken as step**2 / 12, of zero as none. What a value is read through makes no difference.
Sakr et al. 2022, "Optimal Clipping and Magnitude-aware Differentiation for Improved Quantization-aware Training".
"""

import numpy as np

from bitwright.algorithms.ranges.range import Floats, Function, Range, identity
from bitwright.qtensor import TINY
from bitwright.schemes import Scheme

ROUNDS = 100
CLOSE = 1e-4


class Octav(Range):
    name = "octav"

    def activation(
        self, values: Floats, counts: Floats, codes: Scheme, function: Function = identity
    ) -> tuple[float, float]:
        shares = counts / counts.sum()
        lo, hi = min(float(values[0]), 0.0), max(float(values[-1]), 0.0)
        lowest, highest = lo, hi
        steps = codes.hi - codes.lo
        for _ in range(ROUNDS):
            before = lo, hi
            hi = min(_end(values, shares, lo, hi, steps), highest)
            lo = max(-_end(-values, shares, -hi, -lo, steps), lowest)
            if abs(hi - before[1]) + abs(lo - before[0]) <= CLOSE * (hi - lo):
                break
        return lo, hi

    def weight(self, weight: Floats, codes: Scheme) -> Floats:
        size = np.abs(weight)
        largest = size.max(axis=1)
        clip = size.mean(axis=1)
        for _ in range(ROUNDS):
            beyond = size > clip[:, None]
            out = beyond.mean(axis=1)
            below = ((size > 0) & ~beyond).mean(axis=1) / (12 * codes.hi**2) + out
            found = np.minimum((size * beyond).mean(axis=1) / np.maximum(below, TINY), largest)
            done = np.abs(found - clip) <= CLOSE * largest
            clip = np.where(found > 0, found, clip)
            if done.all():
                break
        return np.asarray(clip)


def _end(values: Floats, shares: Floats, lo: float, hi: float, steps: int) -> float:
    """The upper end that follows from the last one, for x in `values` with these shares."""
    beyond = values > hi
    out = shares @ beyond
    inside = (shares @ ((values >= lo) & (values != 0) & ~beyond)) / (12 * steps**2)
    total = out + inside
    return max(float((shares @ (values * beyond) + inside * lo) / total), 0.0) if total > 0 else hi
