"""What a scheme must offer: the numbers that it stands for, where it may be used, and how weights of it lie on disk."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt


class Scheme(ABC):
    """Evenly spaced numbers `lo`, `lo + step`, ..., `hi`; a real value is one of them, less a zero point, times a scale.

    A weight is kept as the number itself, int8. An activation is kept as a code 0..`hi`, uint8: its number is
    step * code - zero_point.
    """

    name: str
    bits: float
    """Bits of each weight on disk."""
    lo: int
    hi: int
    """The greatest number, and the greatest code of an activation."""
    step: ClassVar[int] = 1
    weights: bool
    """True where weights may have this scheme."""
    activations: bool
    """True where activations may have this scheme."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The dtype that `pack` takes and `unpack` gives: that of weights where it is for weights."""
        return np.dtype(np.int8 if self.weights else np.uint8)

    @property
    def zero_points(self) -> range:
        """The zero points that an activation may have."""
        return range(self.hi + 1)

    def nearest(self, x: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
        """The number nearest to each x, as a float; half to even."""
        return np.asarray(np.clip(np.rint(x), self.lo, self.hi))

    def holds(self, numbers: npt.NDArray[np.integer[Any]]) -> bool:
        """True where every number is one of this scheme's."""
        return not numbers.size or bool(self.lo <= int(numbers.min()) and int(numbers.max()) <= self.hi)

    def weight_scale(self, weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        """The scales [O] of least squared error of a weight [O, K], where these numbers are too few for a range; else None."""
        return None

    def activation_range(
        self, values: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]
    ) -> tuple[float, float] | None:
        """(lo, hi) from a histogram, values [K] ascending, where these codes are too few for a range; else None."""
        return None

    @abstractmethod
    def pack(self, codes: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        """Pack codes of any shape into bytes, `bits` bits each, the first in the least significant place."""

    @abstractmethod
    def unpack(self, packed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.generic]:
        """Invert `pack`: return [count] codes. ValueError where `pack` cannot have written this, or the length is wrong."""

    @abstractmethod
    def packed_bytes(self, count: int) -> int:
        """The number of bytes that `count` codes take on disk."""

    def expect_length(self, packed: npt.NDArray[np.uint8], count: int) -> None:
        """ValueError unless there are as many bytes as `count` codes take."""
        if packed.size != self.packed_bytes(count):
            raise ValueError(f"{count} {self.name} codes take {self.packed_bytes(count)} bytes, found {packed.size}")


def best_of_largest(
    x: npt.NDArray[np.float64], counts: npt.NDArray[np.float64] | float = 1.0
) -> npt.NDArray[np.float64]:
    """The s [O] that minimises sum of counts * min(x**2, (x - s)**2) for x [O, K] >= 0: the mean of the k largest x.

    k is the one with the greatest (sum of the k largest)**2 / k, so the k are those above s / 2. 0 where all x are 0.
    """
    order = np.argsort(-x, axis=1, kind="stable")
    weight = np.take_along_axis(np.broadcast_to(counts, x.shape), order, axis=1)
    total = np.cumsum(np.take_along_axis(x, order, axis=1) * weight, axis=1)
    number = np.maximum(np.cumsum(weight, axis=1), 1e-300)
    best = np.argmax(total**2 / number, axis=1)[:, None]
    return np.asarray(np.take_along_axis(total / number, best, axis=1)[:, 0])
