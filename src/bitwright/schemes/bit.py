"""`bit`: 0 and 1, one bit on disk. For activations that are never negative, as behind a relu, and for weights.

Weights: number = 1 where w > scale / 2, else 0. Activations: the same, with zero point 0. The scale is the one of least
squared error: the mean of the k largest values, for the best k (Lloyd 1982, "Least Squares Quantization in PCM", two levels).
"""

import numpy as np
import numpy.typing as npt

from bitwright.schemes import bitstream
from bitwright.schemes.scheme import Scheme, best_of_largest


class Bit(Scheme):
    name = "bit"
    bits = 1
    lo, hi = 0, 1
    weights = activations = True

    def weight_scale(self, weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return best_of_largest(np.maximum(weight, 0.0))

    def activation_range(self, values: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> tuple[float, float]:
        return 0.0, float(best_of_largest(np.maximum(values, 0.0)[None], counts)[0])

    def packed_bytes(self, count: int) -> int:
        return (count + 7) // 8

    def pack(self, codes: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        return bitstream.write(np.asarray(codes, np.uint8).reshape(-1), 1)

    def unpack(self, packed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.generic]:
        self.expect_length(packed, count)
        return bitstream.read(packed, 1, count).astype(np.int8)
