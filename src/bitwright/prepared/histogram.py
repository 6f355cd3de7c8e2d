"""A histogram of bounded size over a stream of unknown range: what calibration remembers of an activation.

Bins have a width of 2**k, k just large enough for the largest |x| seen; when that grows, neighbours are merged. So the
result does not depend on the order of the stream, nor on how it is cut into batches or shared by ranks.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from bitwright import _native
from bitwright.ranks import Ranks

SIDE = 4096
"""Bins on either side of zero."""


class Histogram:
    """Counts of x in bins [i * width, (i + 1) * width) for i in -SIDE..SIDE-1, with the exact extremes."""

    def __init__(self) -> None:
        self.counts: npt.NDArray[np.int64] = np.zeros(2 * SIDE, np.int64)
        self.exponent: int | None = None
        self.lo = math.inf
        self.hi = -math.inf

    def add(self, x: Tensor) -> None:
        """Count every number of x; ValueError where one is not finite."""
        order = sorted(range(x.dim()), key=x.stride, reverse=True)
        values = x.detach().permute(order).reshape(-1).cpu()
        if not len(values):
            return
        numbers = values.float().numpy()
        lo, hi = float(numbers.min()), float(numbers.max())
        if not (math.isfinite(lo) and math.isfinite(hi)):
            raise ValueError(f"values range over {lo}..{hi}")
        self.lo, self.hi = min(self.lo, lo), max(self.hi, hi)
        self._widen(max(abs(lo), abs(hi)))
        assert self.exponent is not None
        _native.count_bins(numbers, 2.0**-self.exponent, self.counts)

    def extend(self, lo: float, hi: float) -> None:
        """Let the extremes be these, if they are further out: of numbers that were not counted."""
        self.lo, self.hi = min(self.lo, lo), max(self.hi, hi)
        self._widen(max(abs(lo), abs(hi)))

    def _widen(self, size: float) -> None:
        self._widen_to(max(math.frexp(size)[1] if size else -126, -100) - int(math.log2(SIDE)))

    def _widen_to(self, exponent: int) -> None:
        if self.exponent is None:
            self.exponent = exponent
        while self.exponent < exponent:
            merged = self.counts.reshape(SIDE, 2).sum(axis=1)
            self.counts = np.zeros(2 * SIDE, np.int64)
            self.counts[SIDE // 2 : SIDE // 2 + SIDE] = merged
            self.exponent += 1

    @staticmethod
    def merge(histograms: "Sequence[Histogram]", ranks: Ranks) -> None:
        """Let each of a model's histograms count what every rank's has counted."""
        empty = -(2.0**20)  # below any exponent
        ends = [[-h.lo, h.hi, empty if h.exponent is None else float(h.exponent)] for h in histograms]
        ends = ranks.largest(np.array(ends, np.float64).reshape(-1, 3)).tolist()
        for histogram, (lo, hi, exponent) in zip(histograms, ends, strict=True):
            histogram.lo, histogram.hi = -lo, hi
            if exponent != empty:
                histogram._widen_to(int(exponent))
        counts = ranks.sum(np.array([histogram.counts for histogram in histograms], np.int64).reshape(-1, 2 * SIDE))
        for histogram, count in zip(histograms, counts, strict=True):
            histogram.counts = count

    def points(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The middles of the bins that hold anything, and their counts; float64 [K] each, ascending.

        The exact extremes stand at either end, with a count of 0. Empty before anything was added.
        """
        held = np.flatnonzero(self.counts)
        if not len(held):
            return np.empty(0), np.empty(0)
        middles = np.clip((held - SIDE + 0.5) * 2.0 ** (self.exponent or 0), self.lo, self.hi)
        return np.concatenate([[self.lo], middles, [self.hi]]), np.concatenate([[0.0], self.counts[held], [0.0]])
