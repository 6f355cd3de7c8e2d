"""`percentile`: leave out the rarest 0.01 % of the values, half of them at either end.

    lo, hi = quantiles of x at 0.005 % and 99.995 %;  for weights the 99.99 % quantile of |w| per channel.
Wu et al. 2020, "Integer Quantization for Deep Learning Inference: Principles and Empirical Evaluation", section 4.
"""

import numpy as np

from bitwright.algorithms.ranges.range import Floats, Function, Range, identity
from bitwright.schemes import Scheme

LEFT_OUT = 1e-4


class Percentile(Range):
    name = "percentile"

    def activation(
        self, values: Floats, counts: Floats, codes: Scheme, function: Function = identity
    ) -> tuple[float, float]:
        below = np.cumsum(counts) / counts.sum()
        first = int(np.searchsorted(below, LEFT_OUT / 2, side="right"))
        last = min(int(np.searchsorted(below, 1 - LEFT_OUT / 2)), len(values) - 1)
        return float(values[first]), float(values[last])

    def weight(self, weight: Floats, codes: Scheme) -> Floats:
        return np.asarray(np.quantile(np.abs(weight), 1 - LEFT_OUT, axis=1))
