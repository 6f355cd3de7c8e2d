"""`binary`: -1 and +1, one bit on disk (1 for +1). Zero goes to -1, in weights as in activations.

Weights: number = +1 where w > 0, else -1; scale = mean |w| of the output channel, which has the least squared error.
Activations: codes 0 and 1 with zero point 1, number = 2 * code - 1; scale = mean |x|. Real zero is no code of it.
Rastegari et al. 2016, "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks", section 3.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.schemes import bitstream
from bitwright.schemes.scheme import Scheme


class Binary(Scheme):
    name = "binary"
    bits = 1
    lo, hi, step = -1, 1, 2
    weights = activations = True

    @property
    def zero_points(self) -> range:
        return range(1, 2)

    def nearest(self, x: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
        return np.where(x > 0, 1.0, -1.0)

    def holds(self, numbers: npt.NDArray[np.integer[Any]]) -> bool:
        return super().holds(numbers) and np.count_nonzero(numbers) == numbers.size

    def weight_scale(self, weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.abs(weight).mean(axis=1))

    def activation_range(self, values: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> tuple[float, float]:
        scale = float(np.abs(values) @ counts / counts.sum())
        return -scale, scale

    def packed_bytes(self, count: int) -> int:
        return (count + 7) // 8

    def pack(self, codes: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        return bitstream.write((np.asarray(codes, np.int8).reshape(-1) > 0).astype(np.uint8), 1)

    def unpack(self, packed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.generic]:
        self.expect_length(packed, count)
        codes: npt.NDArray[np.int8] = bitstream.read(packed, 1, count).view(np.int8)
        codes *= 2  # in place: weights of a bit take eight times their file as it is
        codes -= 1
        return codes
