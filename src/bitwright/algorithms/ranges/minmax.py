"""`minmax`: cover everything that was seen.

    lo = min(x), hi = max(x);  for weights max |w| per channel.
Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 3.
"""

import numpy as np

from bitwright.algorithms.ranges.range import Floats, Function, Range, identity
from bitwright.schemes import Scheme


class MinMax(Range):
    name = "minmax"

    def activation(
        self, values: Floats, counts: Floats, codes: Scheme, function: Function = identity
    ) -> tuple[float, float]:
        return float(values[0]), float(values[-1])

    def weight(self, weight: Floats, codes: Scheme) -> Floats:
        return np.asarray(np.abs(weight).max(axis=1))
